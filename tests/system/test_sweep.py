"""Sweeps give the same numbers wherever they run, and lose nothing that was done when a part of them is killed."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.kernel import EXAMPLE, KERNEL
from tests.support.process import Running, running

pytestmark = pytest.mark.realtime
pa = pytest.importorskip("pyarrow", reason="a sweep needs pyarrow: dev.py add 'phasegraph[cluster]'")
SEEDS = 50
OPTIONS = ("--strategies", "combined,buffer-feedback", "--scenarios", "studio,usb-card", "--for", "3s")
PATIENCE_S = 600.0


@pytest.fixture(autouse=True)
def only_idle_processors() -> Iterator[None]:
    """In a lane, take the processor time that the tests in the others leave: nothing here depends on time."""
    if "PHASEGRAPH_LANES" not in os.environ:
        yield
        return
    faulthandler.dump_traceback_later(4 * PATIENCE_S, exit=True, file=sys.__stderr__)  # in place of pytest's limit
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def sweep(results: str, *options: object, seeds: int = SEEDS) -> list[str]:
    graph = EXAMPLE.parent / "speakers.toml"
    return [*map(str, [*KERNEL, "sweep", graph, *OPTIONS, "--seeds", seeds, "--results", results, *options])]


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file in order of their keys."""
    with pa.ipc.open_stream(str(path)) as reader:
        return sorted(reader.read_all().to_pylist(), key=lambda row: row["key"])


def finish(run: Running) -> None:
    code = run.wait(PATIENCE_S)
    assert code == 0, run.told()


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A Dask scheduler with two workers; yields its address."""
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed: dev.py add 'phasegraph[cluster]'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(folder)
    ) as made:
        yield made.scheduler_address


@pytest.mark.filterwarnings("ignore")  # of dask's own
def test_200_simulations_give_the_same_numbers_on_one_core_on_two_and_on_a_cluster(tmp_path: Path) -> None:
    for name, options in (("one", ["--processes", 1]), ("two", ["--processes", 2])):
        with running(sweep(f"{name}.arrows", *options), tmp_path, name=name) as run:
            finish(run)
    with cluster(tmp_path) as address, running(sweep("dask.arrows", "--cluster", address), tmp_path) as run:
        finish(run)
    one = rows(tmp_path / "one.arrows")
    assert len(one) == 4 * SEEDS == 200
    assert rows(tmp_path / "two.arrows") == one
    assert rows(tmp_path / "dask.arrows") == one


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_a_killed_process_and_a_killed_command_lose_nothing_that_was_done(tmp_path: Path) -> None:
    with running(sweep("whole.arrows", seeds=8), tmp_path, name="whole") as run:
        finish(run)
    whole, path = rows(tmp_path / "whole.arrows"), tmp_path / "cut.arrows"

    with running(sweep("cut.arrows", seeds=8), tmp_path, name="killed") as run:
        run.wait_until(lambda: bool(_children(run.process.pid)), "its processes run", 60.0)
        empty = path.stat().st_size
        run.wait_until(lambda: path.stat().st_size > empty, "a first result", PATIENCE_S)
        os.kill(_children(run.process.pid)[0], signal.SIGKILL)
        run.wait_until(lambda: "a worker process died" in run.stderr, "it says so", 60.0)
        run.signal(signal.SIGKILL)
        run.wait(10.0)
    time.sleep(0.2)
    done = path.read_bytes()
    with running(sweep("cut.arrows", seeds=8), tmp_path, name="resumed") as run:
        finish(run)
    assert rows(path) == whole
    assert path.read_bytes().startswith(done[:empty])


def test_a_comparison_gives_the_same_numbers_in_one_process_and_in_two(tmp_path: Path) -> None:
    graph = EXAMPLE.parent / "speakers.toml"
    words = ["compare", graph, "--scenario", "studio", "--for", "3s", "--seeds", 2, "--format", "json", "--processes"]
    written = []
    for processes in (1, 2):
        with running([*map(str, [*KERNEL, *words, processes])], tmp_path, name=str(processes)) as run:
            finish(run)
            written.append(run.stdout)
    one, two = written
    assert one == two
    assert json.loads(one)["recommendation"]["seeds"] == 2
