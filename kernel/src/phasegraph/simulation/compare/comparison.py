"""Each strategy on the same simulated deployments, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from ..._core.clock import NS_PER_S
from ..._core.errors import GraphError, NodeError, Problem
from ..._core.kinds import CompensatorKind
from ..._graph_file.graph import Graph, GraphNode
from ..._option_types.wording import did_you_mean, format_value, join_words
from ..._plugins.loader import Registry
from ..._run.session import Session
from ..scenario import Deployment
from ..simulation_run import Simulation
from ..tone_signal import NOTCH_HZ, tone_hz

DEFAULT_SCENARIOS = ("studio", "usb-card", "hot-card", "gm-loss")
"""The scenarios of a comparison that names none: they differ in card and clock, and need no long link offset."""
RENDERED_NS = 20 * NS_PER_S
"""The end of each run that is rendered, to measure the THD+N of a tone."""
Point = tuple[float, float, float]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy in one scenario: the worst of the graph's crossings. None stands for an event that never came."""

    strategy: str
    scenario: str
    time_to_lock_s: float | None
    """Until the alignment error stayed below one frame."""
    time_to_rate_lock_s: float | None
    """Until the ratio, averaged over 5 s, stayed within 1 ppm."""
    alignment_error_rms_frames: float
    alignment_error_max_frames: float
    wander_rms_frames: float
    """The alignment error about its mean."""
    wander_pp_frames: float
    pitch_slope_max_ppb_per_s: float
    """Rate of change of the ratio, below 5 Hz; after lock, as all errors."""
    ratio_error_rms_ppb: float
    underruns: int
    resyncs: int
    missing_frames: int
    latency_ns: int
    thd_n_db: float | None
    apart_p99_ns: float | None = None
    apart_max_ns: float | None = None
    """Between what any two sound cards play, while all compensators are locked; None with one card."""
    points: list[Point] = []
    """See `CrossingTruth.points`, of the crossing with the largest error; empty unless asked for."""


class StrategyComparison(msgspec.Struct, frozen=True, kw_only=True):
    """All results, by strategy and then scenario, in the requested order."""

    duration_s: float
    seed: int
    tone_hz: float
    notch_hz: float
    results: tuple[Result, ...]
    left_out: Mapping[str, str]
    """Strategies that cannot take the graph's crossing, and why."""
    later: tuple[tuple[Result, ...], ...] = ()
    """The same results with each of the seeds that follow `seed`."""

    @property
    def strategies(self) -> list[str]:
        """The compared strategies."""
        return list(dict.fromkeys(result.strategy for result in self.results))

    def of(self, strategy: str, scenario: str) -> list[Result]:
        """A strategy's results in a scenario, by seed."""
        return [
            result
            for results in (self.results, *self.later)
            for result in results
            if (result.strategy, result.scenario) == (strategy, scenario)
        ]

    @property
    def seeds(self) -> list[int]:
        """All seeds."""
        return list(range(self.seed, self.seed + 1 + len(self.later)))

    @property
    def scenarios(self) -> list[str]:
        """The scenarios of the comparison."""
        return list(dict.fromkeys(result.scenario for result in self.results))


class StrategyTrial(NamedTuple):
    """One simulation of a comparison."""

    strategy: str
    scenario: str
    """The name of a deployment."""
    seed: int


def compare(
    graph: Graph,
    registry: Registry,
    deployments: Sequence[Deployment],
    *,
    strategies: Sequence[str] | None,
    for_ns: int,
    seed: int,
    log: Any,
    seeds: int = 1,
    keep_points: bool = False,
    on_run: Callable[[str, str], Any] = lambda strategy, scenario: None,
    elsewhere: Callable[[Sequence[StrategyTrial]], Mapping[StrategyTrial, Result]] | None = None,
) -> StrategyComparison:
    """Run each strategy in each deployment, with ``seeds`` seeds from ``seed`` on.

    ``strategies`` are kinds or ids of compensators; None for all kinds that can take the crossing. ``elsewhere`` runs
    several trials, in other processes; without it they run here, one after another, and ``on_run`` is called before
    each with strategy and scenario, and returns the run's status function or None. Raises GraphError if nothing can be
    compared, and NodeError if a node fails.
    """
    by_name = {deployment.name: deployment for deployment in deployments}
    if len(by_name) < len(deployments):
        raise _equal_names([deployment.name for deployment in deployments])
    _check_comparable(graph, registry, deployments, seed=seed, log=log)
    graphs, left_out, rate = _graphs_by_strategy(graph, registry, deployments, strategies, seed=seed, log=log)

    def run_here(trial: StrategyTrial) -> Result:
        return run_strategy(
            graphs[trial.strategy],
            registry,
            by_name[trial.scenario],
            trial.strategy,
            for_ns=for_ns,
            seed=trial.seed,
            log=log,
            keep_points=keep_points and trial.seed == seed,
            status=on_run(trial.strategy, trial.scenario),
        )

    by_seed = [
        [StrategyTrial(strategy, scenario, each) for strategy in graphs for scenario in by_name]
        for each in range(seed, seed + seeds)
    ]
    trials = [trial for of_seed in by_seed for trial in of_seed]
    if elsewhere is None or len(trials) == 1:
        results: Mapping[StrategyTrial, Result] = {trial: run_here(trial) for trial in trials}
    else:
        results = elsewhere(trials)
    first, *later = (tuple(results[trial] for trial in of_seed) for of_seed in by_seed)
    return StrategyComparison(
        duration_s=for_ns / NS_PER_S,
        seed=seed,
        tone_hz=tone_hz(rate),
        notch_hz=NOTCH_HZ,
        results=first,
        left_out=left_out,
        later=tuple(later),
    )


def run_strategy(
    graph: Graph,
    registry: Registry,
    deployment: Deployment,
    strategy: str,
    *,
    for_ns: int,
    seed: int,
    log: Any,
    keep_points: bool = False,
    status: Callable[[Session], None] | None = None,
    signals: bool = True,
) -> Result:
    """Run a graph that has the strategy's compensator in one deployment. The same arguments give the same result.

    ``signals``: a signal ends the run with KeyboardInterrupt; only in a main thread. Raises GraphError, and NodeError
    if a node fails.
    """
    rendered_ns = min(RENDERED_NS, for_ns // 2)
    simulation = Simulation(graph, registry, deployment, seed=seed, log=log, for_ns=for_ns, rendered_ns=rendered_ns)
    if keep_points:
        for truth in simulation.truths.values():
            truth.points = []
    report = simulation.run(status, signals=signals)
    _check(report, f"{strategy} in {deployment.name}")
    return _result(strategy, deployment.name, report, simulation)


def _check_comparable(
    graph: Graph, registry: Registry, deployments: Sequence[Deployment], *, seed: int, log: Any
) -> None:
    if not any(edge.crossing for edge in graph.edges):
        raise _nothing_to_compare()
    for deployment in deployments:  # a problem of the graph itself is not a strategy's
        Simulation(graph, registry, deployment, seed=seed, log=log)


def _graphs_by_strategy(
    graph: Graph,
    registry: Registry,
    deployments: Sequence[Deployment],
    strategies: Sequence[str] | None,
    *,
    seed: int,
    log: Any,
) -> tuple[dict[str, Graph], dict[str, str], int]:
    # The graph with each strategy, the strategies left out and why, and the lowest rate of a crossing.
    graphs: dict[str, Graph] = {}
    left_out: dict[str, str] = {}
    rate = 0
    for strategy in strategies if strategies is not None else sorted(registry.compensators):
        try:
            changed = with_strategy(graph, registry, strategy)
            for deployment in deployments:
                trial = Simulation(changed, registry, deployment, seed=seed, log=log)
                rate = min(truth.tap.stream.format.rate for truth in trial.truths.values())
        except GraphError as error:
            if strategies is not None:
                raise GraphError([_of_strategy(strategy, problem) for problem in error.problems]) from None
            left_out[strategy] = "; ".join(dict.fromkeys(problem.message for problem in error.problems))
        else:
            graphs[strategy] = changed
    if not graphs:
        raise GraphError([Problem(f"--strategies {name}", why) for name, why in left_out.items()])
    return graphs, left_out, rate


def _check(report: Mapping[str, Any], which: str) -> None:
    if report["ended"] == "signal":
        raise KeyboardInterrupt
    for id, node in report["nodes"].items():
        if "failure" in node:
            raise NodeError(f"{which}: {id} failed: {node['failure']}")


def _of_strategy(strategy: str, problem: Problem) -> Problem:
    path = f"--strategies {strategy}"
    return Problem(f"{path}: {problem.path}" if problem.path else path, problem.message, problem.hint)


def crossing_strategy(graph: Graph) -> str:
    """The compensator of the graph's first crossing. Raises GraphError where it has none."""
    crossing = next((edge.compensator for edge in graph.edges if edge.crossing and edge.compensator), None)
    if crossing is None:
        raise _nothing_to_compare()
    return crossing


def _nothing_to_compare() -> GraphError:
    message = "no edge of the graph crosses clock domains: there is nothing to compensate, and nothing to compare"
    return GraphError([Problem("", message, "`kernel check` says which edges cross")])


def _equal_names(names: Sequence[str]) -> GraphError:
    twice = next(name for name in names if names.count(name) > 1)
    message = f"two scenarios have the name {format_value(twice)}"
    return GraphError([Problem("--scenario", message, "rename one of the files")])


def with_strategy(graph: Graph, registry: Registry, strategy: str) -> Graph:
    """The graph with another compensator in all its crossings.

    ``strategy`` is the id of one of the graph's compensators, or a kind, which has the options of the graph's first
    compensator of that kind, or its defaults. Raises GraphError.
    """
    own = {node.id: node for node in graph.of_role("compensators")}
    wanted = own.get(strategy) or next((node for node in own.values() if node.kind.kind == strategy), None)
    crossed = [edge.compensator for edge in graph.edges if edge.crossing and edge.compensator is not None]
    nodes: dict[str, GraphNode] = dict(graph.nodes)
    for id in crossed:
        kind, config = (wanted.kind, wanted.config) if wanted else _default(registry, strategy, own[id], [*own])
        nodes[id] = msgspec.structs.replace(own[id], kind=kind, config=config)
    return msgspec.structs.replace(graph, nodes=MappingProxyType(nodes))


def _default(
    registry: Registry, strategy: str, before: GraphNode, ids: Sequence[str]
) -> tuple[CompensatorKind[Any], Any]:
    kind = registry.compensators.get(strategy)
    if kind is None:
        known = [*registry.compensators, *ids]
        hint = did_you_mean(strategy, known) or f"kinds are {join_words(sorted(registry.compensators), 'and')}"
        raise GraphError([Problem("", f"there is no kind or compensator {format_value(strategy)}", hint)])
    try:
        return kind, kind.config(resampler=before.config.resampler)
    except TypeError:
        hint = f'add a table [compensators.NAME] with kind = "{strategy}" and its options'
        raise GraphError([Problem("", "it has options without a default", hint)]) from None


def _result(strategy: str, scenario: str, report: Mapping[str, Any], simulation: Simulation) -> Result:
    edges = {name: report["edges"][name]["metrics"] for name in simulation.truths}
    distortions = [node["metrics"].get("true_thd_n_db") for node in report["nodes"].values()]
    points = [truth.points or [] for truth in simulation.truths.values()]

    def worst(name: str) -> Any:
        return max(metrics.get(name, 0) for metrics in edges.values())

    def never(name: str) -> float | None:
        times = [metrics.get(name) for metrics in edges.values()]
        return None if None in times else max(times)

    return Result(
        strategy=strategy,
        scenario=scenario,
        time_to_lock_s=never("true_time_to_lock_s"),
        time_to_rate_lock_s=never("true_time_to_rate_lock_s"),
        alignment_error_rms_frames=worst("true_alignment_error_rms_frames"),
        alignment_error_max_frames=worst("true_alignment_error_max_frames"),
        wander_rms_frames=worst("true_wander_rms_frames"),
        wander_pp_frames=worst("true_wander_pp_frames"),
        pitch_slope_max_ppb_per_s=worst("true_pitch_slope_max_ppb_per_s"),
        ratio_error_rms_ppb=worst("true_ratio_error_rms_ppb"),
        underruns=sum(metrics["underruns"] for metrics in edges.values()),
        resyncs=sum(metrics["resyncs"] for metrics in edges.values()),
        missing_frames=sum(metrics["missing_frames"] for metrics in edges.values()),
        latency_ns=worst("true_latency_ns"),
        thd_n_db=max((value for value in distortions if value is not None), default=None),
        apart_p99_ns=report["simulation"].get("true_apart_p99_ns"),
        apart_max_ns=report["simulation"].get("true_apart_max_ns"),
        points=max(points, key=lambda each: max((abs(error) for _, error, _ in each), default=0.0)),
    )
