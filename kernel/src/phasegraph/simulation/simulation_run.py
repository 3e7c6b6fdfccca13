"""One simulation of a graph, from its deployment to its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import trio
from trio._core import _run as scheduler
from trio.testing import MockClock

from .._core.node import ClockSource
from .._graph_file.graph import Graph
from .._plugins.loader import Registry
from .._run.crossing import CrossingTap
from .._run.session import Session
from .._run.trace import Trace
from .local_clock import SimLocalClock
from .network import SimNetwork
from .node_substitution import SimulatedStage
from .nodes.counting_sinks import SimulatedSender, SimulatedTaker
from .nodes.network_source import SimulatedSource
from .nodes.playback_card import SimulatedCard
from .probe import Probe
from .scenario import Deployment
from .signals import Listening
from .truth import CrossingTruth


class Simulation:
    """A run of a graph in virtual time. Make it (which builds the graph), then call `run` once."""

    def __init__(
        self,
        graph: Graph,
        registry: Registry,
        deployment: Deployment,
        *,
        seed: int,
        log: Any,
        for_ns: int | None = None,
        listen_ns: int = 0,
        trace: Trace | None = None,
        profile: str | None = None,
    ) -> None:
        """``listen_ns`` is how much of its end is rendered, with a tone instead of silence from simulated sources.

        Raises GraphError with what is wrong with the graph, or with what the deployment says of its nodes.
        """
        deployment.check(graph)
        self.deployment = deployment
        self.seed = seed
        self._for_ns = for_ns
        self._listening = Listening()
        if listen_ns and for_ns is not None:
            self._listening = Listening(max(0, for_ns - listen_ns), for_ns)
        local = SimLocalClock(oscillator=deployment.scenario.local.oscillator())
        self.stage = SimulatedStage(deployment, seed, local, self._listening)
        self.session = Session(
            graph,
            registry,
            log=log,
            local=local,
            network=SimNetwork(local),
            trace=trace,
            profile=profile,
            node_factory=self.stage,
        )
        self.truths: dict[str, CrossingTruth] = {}
        """What watches each edge that crosses clock domains, by the edge's name."""
        self._probe = self._watch()

    def _watch(self) -> Probe:
        built, bases = self.session.built, self.stage.bases
        for built_edge in built.edges:
            tap, edge, sink = built_edge.tap, built_edge.edge, built.nodes[built_edge.edge.sink].node
            source = built.nodes[edge.source].node
            if isinstance(source, SimulatedSource):
                assert isinstance(sink, SimulatedCard | SimulatedSender | SimulatedTaker), "none of them is a real one"
                sink.sources.append(source)
            if isinstance(tap, CrossingTap) and isinstance(sink, SimulatedCard | SimulatedSender):
                truth = CrossingTruth(tap, bases[edge.source], bases[edge.sink])
                sink.truths.append(truth)
                self.truths.setdefault(edge.name, truth)
        clocks = {node.id: cast(ClockSource, node.node) for node in built.nodes.values() if node.role == "clocks"}
        grandmaster = self.stage.grandmaster
        together = [truth for truth in self.truths.values() if truth.source is grandmaster]
        return Probe(grandmaster, clocks, together)

    def run(self, status: Callable[[Session], None] | None = None, *, signals: bool = False) -> dict[str, Any]:
        """Run to the end and return the report, with the truth in it. ``status`` is called twice a virtual second."""
        services = self.session.services
        services.engine.attach(self._probe.step, services.failed)
        with _in_order(self.seed):
            report = trio.run(
                partial(self.session.run, for_ns=self._for_ns, signals=signals, status=status),
                clock=MockClock(autojump_threshold=0),
            )
        return self._add_truth(report)

    def _add_truth(self, report: dict[str, Any]) -> dict[str, Any]:
        for id, watch in self._probe.clocks.items():
            report["nodes"][id]["metrics"] |= watch.metrics()
        for name, truth in self.truths.items():
            report["edges"][name]["metrics"] |= truth.metrics()
        report["simulation"] = {
            "scenario": self.deployment.name,
            "seed": self.seed,
            "stand_ins": self.stage.stand_ins,
            **self._probe.metrics(),
        }
        return report


@contextmanager
def _in_order(seed: int) -> Iterator[None]:
    # Trio takes tasks that wake together in a random order, on purpose; under hypothesis it takes them in one that
    # follows from the seed, which is what a simulation needs too. pytest-trio asks for it in the same way.
    before = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    scheduler._r.seed(seed)
    try:
        yield
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before[0]  # type: ignore[misc]
        scheduler._r.setstate(before[1])
