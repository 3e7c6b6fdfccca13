"""Each strategy on the same simulated deployments, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from .._config.graph import Graph, GraphNode
from .._core.clock import NS_PER_S
from .._core.errors import GraphError, Problem
from .._core.kinds import CompensatorKind
from .._options.words import did_you_mean, either, show
from .._plugins.loader import Registry
from .run import Simulation
from .scenario import Deployment
from .signal import NOTCH_HZ, tone_hz

DEFAULT_SCENARIOS = ("studio", "usb-card", "hot-card", "gm-loss")
"""Those of a comparison that names none: they differ in card and clock, and ask nothing of the link offset."""
LISTEN_NS = 20 * NS_PER_S
"""How much of the end of each run is rendered, to measure the THD+N of a tone."""
Point = tuple[float, float, float]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy did in one scenario: the worst of the graph's crossings. None is for what never came."""

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
    """How fast the ratio changes, below 5 Hz; after lock, as are the errors."""
    ratio_error_rms_ppb: float
    underruns: int
    resyncs: int
    missing_frames: int
    latency_ns: int
    thd_n_db: float | None
    points: list[Point] = []
    """See `CrossingTruth.points`, of the crossing with the largest error; empty unless asked for."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All results, by strategy and then scenario, in the order in which they were asked for."""

    duration_s: float
    seed: int
    tone_hz: float
    notch_hz: float
    results: tuple[Result, ...]
    left_out: Mapping[str, str]
    """Strategies that cannot take the graph's crossing, and why."""

    @property
    def strategies(self) -> list[str]:
        """Those that were compared."""
        return list(dict.fromkeys(result.strategy for result in self.results))

    @property
    def scenarios(self) -> list[str]:
        """Where they were compared."""
        return list(dict.fromkeys(result.scenario for result in self.results))


def compare(
    graph: Graph,
    registry: Registry,
    deployments: Sequence[Deployment],
    *,
    strategies: Sequence[str] | None,
    for_ns: int,
    seed: int,
    log: Any,
    keep_points: bool = False,
    tell: Callable[[str, str], Any] = lambda strategy, scenario: None,
) -> Comparison:
    """Run each strategy in each deployment.

    ``strategies`` are kinds or ids of compensators; None for all kinds that can take the crossing. ``tell`` is told what
    begins, and returns what is called twice a virtual second, or None. Raises GraphError where nothing can be compared.
    """
    rates = _check(graph)
    graphs: dict[str, Graph] = {}
    left_out: dict[str, str] = {}
    for strategy in strategies if strategies is not None else sorted(registry.compensators):
        try:
            graphs[strategy] = with_strategy(graph, registry, strategy)
            for deployment in deployments:
                Simulation(graphs[strategy], registry, deployment, seed=seed, log=log)
        except GraphError as error:
            if strategies is not None:
                raise GraphError([_of_strategy(strategy, problem) for problem in error.problems]) from None
            left_out[strategy] = "; ".join(problem.message for problem in error.problems)
            graphs.pop(strategy, None)
    results = []
    for strategy, changed in graphs.items():
        for deployment in deployments:
            simulation = Simulation(
                changed, registry, deployment, seed=seed, log=log, for_ns=for_ns, listen_ns=min(LISTEN_NS, for_ns // 2)
            )
            if keep_points:
                for truth in simulation.truths.values():
                    truth.points = []
            report = simulation.run(tell(strategy, deployment.name))
            results.append(_result(strategy, deployment.name, report, simulation))
    return Comparison(
        duration_s=for_ns / NS_PER_S,
        seed=seed,
        tone_hz=tone_hz(min(rates)) if rates else 0.0,
        notch_hz=NOTCH_HZ,
        results=tuple(results),
        left_out=left_out,
    )
