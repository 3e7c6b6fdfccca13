"""One run of a graph, from built nodes to report. The command, the tests and the simulator all come through here."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import trio

from .._core.localtime import LocalClock, SystemLocalClock
from .._graph_file.graph import Graph
from .._plugins.loader import Registry
from .._plugins.specs import Event
from ..net import Network, SystemNetwork
from .build import BuiltGraph, NodeFactory, build_graph, no_rates, real_nodes
from .context import Services
from .device_rates import DeviceRateStore
from .report import Meter
from .supervise import Supervisor
from .trace import Trace

SAMPLE_S = 0.5
"""How often clocks are traced (the contract asks for once a second) and the status is shown."""


class Session:
    """A run. Make it (which builds the graph), then await `run` once."""

    def __init__(
        self,
        graph: Graph,
        registry: Registry,
        *,
        log: Any,
        local: LocalClock | None = None,
        network: Network | None = None,
        trace: Trace | None = None,
        profile: str | None = None,
        node_factory: NodeFactory = real_nodes,
        device_rates: DeviceRateStore | None = None,
    ) -> None:
        """``local`` and ``network`` are the machine's own unless simulated ones are given. ``node_factory`` may put
        other nodes in the place of the graph's. ``device_rates`` has the rates of earlier runs and stores this one's.

        Raises GraphError with what the nodes found wrong.
        """
        self.local = local or SystemLocalClock()
        self.built: BuiltGraph = build_graph(
            graph, registry, self.local, node_factory, device_rates.remembered_rate if device_rates else no_rates
        )
        self._registry = registry
        self._trace = trace or Trace(None, log.error)
        self._profile = profile
        self._name = str(graph.path or "")
        self._device_rates = device_rates
        self.services = Services(
            local=self.local,
            network=network or SystemNetwork(self.local),
            log=log,
            trace=self._trace,
            quantum_ns=self.built.quantum_ns(),
            observe=self._observe,
        )
        self.supervisor = Supervisor(self.built, self.services)
        self.meter = Meter(self.built, self.services)

    async def run(
        self,
        *,
        for_ns: int | None = None,
        signals: bool = False,
        status: Callable[[Session], None] | None = None,
    ) -> dict[str, Any]:
        """Run to the end and return the report.

        ``for_ns`` ends it after a time, ``signals`` lets SIGINT and SIGTERM end it; ``status`` is called twice a
        second.
        """
        try:
            async with trio.open_nursery() as nursery:
                if signals:
                    await nursery.start(self._listen)
                if for_ns is not None:
                    nursery.start_soon(self._stop_after, for_ns)
                nursery.start_soon(self._sample, status)
                await self.supervisor.run()
                nursery.cancel_scope.cancel()
            self.meter.sample()
            if self._device_rates is not None:
                self._device_rates.save(self.built)
            return self.meter.report(self.supervisor, graph=self._name, profile=self._profile)
        finally:
            self._trace.close()

    async def _listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            task_status.started()
            async for _ in received:
                self.supervisor.stop("signal")

    async def _stop_after(self, duration_ns: int) -> None:
        await self.supervisor.started.wait()
        await trio.sleep(duration_ns / 1e9)
        self.supervisor.stop("time")

    async def _sample(self, status: Callable[[Session], None] | None) -> None:
        while True:
            self.meter.sample()
            if status is not None:
                status(self)
            await trio.sleep(SAMPLE_S)

    def _observe(self, event: Event) -> None:
        log = self.services.log
        tell = log.error if event.name == "failed" else log.warning if "reason" in event.fields else log.info
        tell(event.name, node=event.node, **event.fields)
        for plugin, observe in self._registry.implementations("on_event", event=event):
            try:
                observe()
            except Exception as error:  # who only observes must not end what is observed
                self.services.log.error("an observer failed", plugin=plugin, exc_info=error)
