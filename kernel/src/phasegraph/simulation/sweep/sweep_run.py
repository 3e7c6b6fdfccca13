"""A sweep from its jobs to their outcomes: what is in the file already is kept, the rest is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..._core.errors import GraphError, Problem
from .results_file import ResultsFile, read_outcomes
from .sweep_jobs import SweepJob, SweepOutcome, load_job
from .worker_pools import Outcomes


def check_jobs(jobs: Sequence[SweepJob]) -> None:
    """Raises GraphError with the problems of the first job that cannot be run, before any is."""
    seed = jobs[0].seed
    for job in jobs:
        if job.seed == seed:
            graph, _, deployment = load_job(job)
            deployment.check(graph)


def run_sweep(
    jobs: Sequence[SweepJob],
    path: Path,
    pool: Callable[[Sequence[SweepJob]], Outcomes],
    show: Callable[[int], object],
) -> dict[str, SweepOutcome]:
    """The outcomes of all jobs, by their keys. Jobs whose results are in the file ``path`` are not run again.

    ``pool`` runs jobs and yields their outcomes; ``show`` is called with the number of jobs that have ended. Raises
    GraphError where the file is no sweep's, or another one's.
    """
    kept = read_outcomes(path)
    by_key = {job.key: job for job in jobs}
    if others := kept.keys() - by_key:
        message = f"{path} has results of another sweep: {len(others)} of {len(kept)}"
        raise GraphError([Problem("--results", message, "give this sweep a file of its own, or remove that one")])
    outcomes = {key: outcome for key, outcome in kept.items() if not outcome.failure}
    left = [job for job in jobs if job.key not in outcomes]
    show(len(outcomes))
    with ResultsFile(path, [(by_key[key], outcome) for key, outcome in outcomes.items()]) as file:
        for outcome in pool(left):
            outcomes[outcome.key] = outcome
            file.append(by_key[outcome.key], outcome)
            show(len(outcomes))
    return outcomes
