"""The simulations of a sweep, and what one of them does. A job is a value that any process on any machine can run."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from ..._core.errors import GraphError, NodeError
from ..._graph_file.graph import Graph
from ..._graph_file.toml_file import read_text
from ..._graph_file.validate import parse_graph
from ..._plugins.loader import Registry
from ..._run.logging import make_log
from ..compare.comparison import Result, run_strategy, with_strategy
from ..scenario import Deployment, parse_scenario, scenario_text


class SweepJob(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation. It has the text of the graph and of the scenario, so that other machines need not have them."""

    graph_text: str
    folder: str
    """Where relative paths of the graph start."""
    working_folder: str
    """Where those of overrides start."""
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    """Laid over the graph, as ``PATH=VALUE``: those of the call, then those of the sweep."""
    combination: tuple[tuple[str, str], ...] = ()
    """The options of the sweep with their values here."""
    strategy: str
    scenario: str
    scenario_text: str
    seed: int
    for_ns: int

    @property
    def key(self) -> str:
        """Names the job by all that its result follows from."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:32]

    @property
    def candidate(self) -> str:
        """What the job is a trial of: the strategy, with the options of the sweep."""
        return " ".join([self.strategy, *(f"{path.rpartition('.')[2]}={value}" for path, value in self.combination)])


class SweepOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job."""

    key: str
    result: Result | None = None
    failure: str = ""
    """Why there is no result."""


def plan_jobs(
    path: Path,
    *,
    profile: str | None,
    overrides: Sequence[str],
    over: Mapping[str, Sequence[str]],
    strategies: Sequence[str],
    scenarios: Sequence[str],
    seeds: Sequence[int],
    for_ns: int,
) -> list[SweepJob]:
    """All combinations, the seeds outermost: of a sweep that is stopped every candidate has the same seeds.

    ``over`` has the values of each option, by its path. Raises GraphError where a file cannot be read.
    """
    combinations = [tuple(zip(over, values, strict=True)) for values in itertools.product(*over.values())]
    texts = {scenario: scenario_text(scenario) for scenario in scenarios}
    graph_text = read_text(path)
    return [
        SweepJob(
            graph_text=graph_text,
            folder=str(path.resolve().parent),
            working_folder=str(Path.cwd()),
            profile=profile,
            overrides=(*overrides, *(f"{option}={value}" for option, value in combination)),
            combination=combination,
            strategy=strategy,
            scenario=scenario,
            scenario_text=texts[scenario],
            seed=seed,
            for_ns=for_ns,
        )
        for seed in seeds
        for scenario in scenarios
        for combination in combinations
        for strategy in strategies
    ]


def load_job(job: SweepJob) -> tuple[Graph, Registry, Deployment]:
    """What a job simulates. Raises GraphError with every problem."""
    from ..._plugins import loader

    registry = loader.load()
    graph = parse_graph(
        job.graph_text,
        registry,
        Path(job.folder),
        profile=job.profile,
        overrides=job.overrides,
        cwd=Path(job.working_folder),
    )
    return with_strategy(graph, registry, job.strategy), registry, parse_scenario(job.scenario_text, job.scenario)


def run_job(job: SweepJob, *, keep_points_of: int | None = None) -> SweepOutcome:
    """Run one simulation. A failure of the graph or of a node is its outcome, not an exception.

    With the seed ``keep_points_of`` the result has its `Result.points`.
    """
    try:
        graph, registry, deployment = load_job(job)
        result = run_strategy(
            graph,
            registry,
            deployment,
            job.strategy,
            for_ns=job.for_ns,
            seed=job.seed,
            log=make_log(level="error"),
            keep_points=job.seed == keep_points_of,
            signals=False,
        )
        return SweepOutcome(key=job.key, result=result)
    except (GraphError, NodeError) as error:
        return SweepOutcome(key=job.key, failure=" ".join(str(error).split()))
