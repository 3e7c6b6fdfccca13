"""Where the jobs of a sweep run: in processes of this machine, or on a Dask cluster. Nothing here schedules."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ..._core.errors import GraphError, Problem
from ..._core.invocation import install_command
from .sweep_jobs import SweepJob, SweepOutcome, run_job

MOST_BROKEN_POOLS = 10
"""Times that processes may die before the jobs that were under way count as failed."""
CONNECT_S = 20.0

Outcomes = Generator[SweepOutcome, None, None]


def default_processes() -> int:
    """One for each core that this process may use, where the system says which; else one for each core."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(
    jobs: Sequence[SweepJob],
    processes: int,
    warn: Callable[[str], object],
    run: Callable[[SweepJob], SweepOutcome] = run_job,
) -> Outcomes:
    """Run jobs in ``processes`` processes of this machine, and yield their outcomes as they come.

    Where a process dies, the jobs that have no outcome yet are run again. ``warn`` is called with a sentence then.
    """
    left = {job.key: job for job in jobs}
    context = multiprocessing.get_context("spawn")
    for broken in range(MOST_BROKEN_POOLS):
        pool = ProcessPoolExecutor(processes, mp_context=context)
        try:
            for future in as_completed([pool.submit(run, job) for job in left.values()]):
                outcome = future.result()
                del left[outcome.key]
                yield outcome
            return
        except BrokenProcessPool:
            warn(f"a worker process died; its simulations start again ({broken + 1} of {MOST_BROKEN_POOLS})")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    for key in left:
        yield SweepOutcome(key=key, failure="worker processes died again and again")


def on_cluster(jobs: Sequence[SweepJob], address: str) -> Outcomes:
    """Run jobs on the workers of a Dask scheduler, and yield their outcomes as they come. Raises GraphError.

    Dask runs the jobs of a worker that dies on another one.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        hint = install_command("phasegraph[cluster]")
        raise GraphError([Problem("--cluster", "dask.distributed is not installed", hint)]) from None
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        hint = "`dask scheduler` prints its address"
        raise GraphError([Problem("--cluster", f"there is no scheduler at {address}: {error}", hint)]) from error
    with client:
        futures = client.map(run_job, jobs, key=[job.key for job in jobs], pure=False, retries=2)
        for future in distributed.as_completed(futures, loop=client.loop):
            outcome: SweepOutcome = future.result()
            yield outcome
            future.release()
