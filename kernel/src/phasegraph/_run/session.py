"""One run of a graph, from built nodes to report. The command, the tests and the simulator all come through here."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import trio

from .._core.config import RecorderConfig
from .._core.errors import NodeError
from .._core.localtime import LocalClock, SystemLocalClock
from .._graph_file.graph import Graph
from .._plugins.loader import Registry
from .._plugins.specs import Event
from ..net import Network, SystemNetwork
from .build import BuiltGraph, GraphBuilder, NodeFactory, no_rates, real_nodes
from .context import Services
from .controlling_terminal import ControllingTerminal
from .device_rates import DeviceRateStore
from .flight_recorder import FlightRecorder
from .graph_changes import GraphChanges
from .graph_reload import GraphReload
from .last_resort import LastResort
from .packet_memory import PacketMemory
from .recording_network import RecordingNetwork
from .report import Meter, exit_code
from .report_file import ReportFile
from .supervise import Supervisor, describe
from .trace import Trace

SAMPLE_S = 0.5
"""How often clocks are traced (the contract asks for once a second) and the status is shown."""
REPORT_S = 10.0
"""How often the report of a run in progress is written."""
ABANDON_S = 0.5
"""After a second signal, how long calls in threads may take before they are left behind."""
SIGNALS = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
"""What a run receives. SIGHUP ends it if its terminal was closed, and otherwise has its graph file read again."""
_RELOAD = getattr(signal, "SIGHUP", None)
_MOST_PENDING = 3


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Collect the signals that end a run while it does not receive them itself: as it starts, and while its report is
    written. The third ends the process, should that never end."""
    pending: list[int] = []

    def receive(number: int, frame: object) -> None:
        pending.append(number)
        if len(pending) - pending.count(_RELOAD or 0) >= _MOST_PENDING:
            os._exit(1)

    before = {number: signal.signal(number, receive) for number in SIGNALS}
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        report_file: ReportFile | None = None,
        recorder: RecorderConfig | None = None,
    ) -> None:
        """``local`` and ``network`` are the machine's own unless simulated ones are given. ``node_factory`` may put
        other nodes in the place of the graph's. ``device_rates`` has the rates of earlier runs and stores this one's.
        ``report_file`` gets the report while the run goes on and, if it must be ended by force, at its end.
        ``recorder`` is a flight recorder, in place of the graph's own.

        Raises GraphError with what the nodes found wrong.
        """
        self.local = local or SystemLocalClock()
        remembered_rate = device_rates.remembered_rate if device_rates else no_rates
        builder = GraphBuilder(registry, self.local, node_factory, remembered_rate)
        self.built: BuiltGraph = builder.build(graph)
        for place, note in graph.notes:
            log.warning("deprecated", option=place, note=note)
        self._registry = registry
        self._trace = trace or Trace(None, log.error)
        self.profile = profile
        self.name = str(graph.path or "")
        """Path of the graph file."""
        self._listeners: list[Callable[[Event], object]] = []
        self._device_rates = device_rates
        self._report_file = report_file
        network = network or SystemNetwork(self.local)
        memory = None
        if recorder := recorder or graph.recorder:
            memory = PacketMemory(recorder.last, recorder.memory_mib << 20)
            network = RecordingNetwork(network, memory, self.local)
        self.services = Services(
            local=self.local,
            network=network,
            log=log,
            trace=self._trace,
            quantum_ns=self.built.quantum_ns(),
            observe=self._observe,
        )
        self.supervisor = Supervisor(self.built, self.services)
        self.meter = Meter(self.built, self.services)
        self.changes = GraphChanges(self.built, builder, registry, self.supervisor, self.services)
        """Plans and changes of the graph while it runs."""
        self.reload = GraphReload(graph.path, self.changes, self.supervisor, self.services)
        self._terminal = ControllingTerminal()
        self.recorder: FlightRecorder | None = None
        if recorder is not None and memory is not None:
            self.recorder = FlightRecorder(
                recorder, memory, self.built, self.services, run=graph.path.stem if graph.path else "run"
            )
        self._snapshot: dict[str, Any] = {}
        """The newest report in progress. Replaced by the control plane, read by the last resort's thread."""
        self.last_resort = LastResort(self._emergency)

    async def run(
        self,
        *,
        for_ns: int | None = None,
        signals: bool = False,
        pending_signals: Sequence[int] = (),
        status: Callable[[Session], None] | None = None,
        companions: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> dict[str, Any]:
        """Run to the end and return the report.

        ``for_ns`` ends it after a time; with ``signals``, signals end it (see ``SIGNALS``; a second one at once), also
        those that are ``pending_signals`` when it starts.
        ``status`` is called twice a second. ``companions`` run beside the nodes until they have ended.
        """
        try:
            async with trio.open_nursery() as nursery:
                if signals:
                    await nursery.start(self._receive_signals)
                for number in pending_signals:
                    self._receive_signal(number, nursery)
                if for_ns is not None:
                    nursery.start_soon(self._stop_after, for_ns)
                nursery.start_soon(self._sample, status)
                if self.recorder is not None:
                    nursery.start_soon(self._run_companion, self.recorder.run)
                for companion in companions:
                    nursery.start_soon(self._run_companion, companion)
                if self._report_file is not None:
                    nursery.start_soon(self._write_reports, self._report_file)
                await self.supervisor.run()
                nursery.cancel_scope.cancel()
            self.meter.sample()
            if self._device_rates is not None:
                self._device_rates.save(self.built)
            return self.report()
        finally:
            self._trace.close()

    def report(self, *, running: bool = False) -> dict[str, Any]:
        """The report now."""
        return self.meter.report(self.supervisor, graph=self.name, profile=self.profile, running=running)

    def add_listener(self, listener: Callable[[Event], object]) -> None:
        """Call a function with every event, on the control plane."""
        self._listeners.append(listener)

    def stop(self, *, at_once: bool = False) -> None:
        """End the run on request; ``at_once`` does not wait for sinks. A second request ends it at once too."""
        if at_once or self.supervisor.stopping:
            self.supervisor.stop("stopped")
            self.supervisor.stop_at_once()
            trio.lowlevel.spawn_system_task(self._end_at_once)
        else:
            self.supervisor.stop("stopped")

    async def _receive_signals(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(*SIGNALS) as received:
            task_status.started()
            async with trio.open_nursery() as nursery:
                async for number in received:
                    self._receive_signal(number, nursery)

    def _receive_signal(self, number: int, nursery: trio.Nursery) -> None:
        if number == _RELOAD and not self._terminal.is_closed():
            nursery.start_soon(self.reload.reload)
            return
        if self.supervisor.stopping:
            nursery.start_soon(self._end_at_once)
        self.supervisor.stop("signal")

    async def _end_at_once(self) -> None:
        self.last_resort.arm()
        self._snapshot = self.report()
        await trio.sleep(ABANDON_S)
        self.services.threads.abandon_all()

    def _emergency(self) -> int:
        report = {**self._snapshot, "ended": self.supervisor.ended}
        if self._report_file is not None:
            try:
                self._report_file.write_report(report)
            except OSError as error:
                self.services.log.error(f"cannot write the report: {error.strerror}")
        self.services.log.error("the run was to end at once and did not within a second: it was ended by force")
        return exit_code(report) if self._snapshot else 1

    async def _stop_after(self, duration_ns: int) -> None:
        await self.supervisor.started.wait()
        await trio.sleep(duration_ns / 1e9)
        self.supervisor.stop("time")

    async def _run_companion(self, companion: Callable[[], Awaitable[None]]) -> None:
        # What only watches a run must not end it.
        try:
            await companion()
        except Exception as error:
            self.services.log.error("unexpected failure beside the run, which goes on", exc_info=error)

    async def _sample(self, status: Callable[[Session], None] | None) -> None:
        while True:
            self.meter.sample()
            if status is not None:
                try:
                    status(self)
                except Exception as error:  # the run goes on without its status
                    self.services.log.error("the status failed", exc_info=error)
                    status = None
            await trio.sleep(SAMPLE_S)

    async def _write_reports(self, file: ReportFile) -> None:
        # Written in a thread: long reports take long, and a disk may not answer.
        while True:
            await trio.sleep(REPORT_S)
            self._snapshot = self.report(running=True)
            if file.replaceable:
                write = partial(file.write_report, self._snapshot)
                try:
                    await self.services.threads.run("report", write)
                except (OSError, NodeError) as error:  # NodeError: earlier writes have not returned
                    self.services.log.error(f"cannot write the report {file.path}: {describe(error)}")

    def _observe(self, event: Event) -> None:
        log = self.services.log
        write = log.error if event.name == "failed" else log.warning if "reason" in event.fields else log.info
        write(event.name, node=event.node, **event.fields)
        for listener in self._listeners:
            listener(event)
        for plugin, observe in self._registry.implementations("on_event", event=event):
            try:
                observe()
            except Exception as error:  # an observer must not end what it observes
                self.services.log.error("an observer failed", plugin=plugin, exc_info=error)
