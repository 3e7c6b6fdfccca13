"""One simulation of a graph, from its deployment to its report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import trio
from trio.testing import MockClock

from .._core.node import ClockSource
from .._graph_file.graph import Graph
from .._plugins.loader import Registry
from .._run.crossing import CrossingTap
from .._run.session import Session
from .._run.trace import Trace
from .local_clock import SimLocalClock
from .network import SimNetwork
from .node_substitution import NodeSubstitution
from .nodes.counting_sinks import SimulatedRecorder, SimulatedSender
from .nodes.network_source import SimulatedSource
from .nodes.playback_card import SimulatedCard
from .scenario import Deployment
from .tone_signal import RenderedSpan
from .truth import CrossingTruth, WorldTruth


class Simulation:
    """A run of a graph in virtual time. Make it (which builds the graph), then call `run` once.

    The same seed gives the same report, to the byte: all that happens in a simulation happens in steps of the engine,
    which are called in an order of their own. Trio runs tasks that wake together in a random order; here that order
    changes nothing.
    """

    def __init__(
        self,
        graph: Graph,
        registry: Registry,
        deployment: Deployment,
        *,
        seed: int,
        log: Any,
        for_ns: int | None = None,
        rendered_ns: int = 0,
        trace: Trace | None = None,
        profile: str | None = None,
    ) -> None:
        """``rendered_ns`` is the length of the end of the run that is rendered, with a tone from simulated sources.

        Raises GraphError with every problem of the graph and of the deployment's tables for its nodes.
        """
        deployment.check(graph)
        self.deployment = deployment
        self.seed = seed
        self._for_ns = for_ns
        self._rendered = RenderedSpan()
        if rendered_ns and for_ns is not None:
            self._rendered = RenderedSpan(max(0, for_ns - rendered_ns), for_ns)
        local = SimLocalClock(oscillator=deployment.scenario.local.oscillator())
        self.substitution = NodeSubstitution(deployment, seed, local, self._rendered)
        self.session = Session(
            graph,
            registry,
            log=log,
            local=local,
            network=SimNetwork(local),
            trace=trace,
            profile=profile,
            node_factory=self.substitution,
        )
        self.truths: dict[str, CrossingTruth] = {}
        """The truth of each edge that crosses clock domains, by the edge's name."""
        self._world_truth = self._attach_truths()

    def _attach_truths(self) -> WorldTruth:
        built, bases = self.session.built, self.substitution.bases
        for built_edge in built.edges:
            tap, edge, sink = built_edge.tap, built_edge.edge, built.nodes[built_edge.edge.sink].node
            source = built.nodes[edge.source].node
            if isinstance(source, SimulatedSource):
                assert isinstance(sink, SimulatedCard | SimulatedSender | SimulatedRecorder), "all are substituted"
                sink.sources.append(source)
            if isinstance(tap, CrossingTap) and isinstance(sink, SimulatedCard | SimulatedSender):
                truth = CrossingTruth(tap, bases[edge.source], bases[edge.sink])
                sink.truths.append(truth)
                self.truths.setdefault(edge.name, truth)
        clocks = {node.id: cast(ClockSource, node.node) for node in built.nodes.values() if node.role == "clocks"}
        grandmaster = self.substitution.grandmaster
        together = [truth for truth in self.truths.values() if truth.source is grandmaster]
        return WorldTruth(grandmaster, clocks, together)

    def run(self, status: Callable[[Session], None] | None = None, *, signals: bool = False) -> dict[str, Any]:
        """Run to the end and return the report with the truth in it. ``status`` is called twice a virtual second."""
        services = self.session.services
        services.engine.attach(self._world_truth.sample, partial(self.session.supervisor.fail, "engine"))
        report = trio.run(
            partial(self.session.run, for_ns=self._for_ns, signals=signals, status=status),
            clock=MockClock(autojump_threshold=0),
        )
        return self._add_truth(report)

    def _add_truth(self, report: dict[str, Any]) -> dict[str, Any]:
        for id, clock_truth in self._world_truth.clocks.items():
            report["nodes"][id]["metrics"] |= clock_truth.metrics()
        for name, truth in self.truths.items():
            report["edges"][name]["metrics"] |= truth.metrics()
        report["simulation"] = {
            "scenario": self.deployment.name,
            "seed": self.seed,
            "substituted": self.substitution.substituted,
            **self._world_truth.metrics(),
        }
        return report
