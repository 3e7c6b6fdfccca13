"""Snapshots of a run: every node with its figures, recent rates, and trouble in words. Lives on the control plane."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import trio

from .._run.engine import ENGINE_THREAD
from .._run.report import edge_report, named_edges
from .._run.summary import edge_phrases, node_phrases, severity
from .control_protocol import EdgeStatus, NodeStatus, RunStatus
from .counter_rates import CounterHistory, Counters, counters, recent_losses, urgency
from .progress_watch import ProgressWatch
from .rest_slices import RestSlices

if TYPE_CHECKING:
    from .._graph_file.graph import Graph
    from .._run.build import BuiltEdge, BuiltNode
    from .._run.session import Session
    from .control_processes import ControlProcesses

T = TypeVar("T")
STATUS_AGE_S = 0.2
"""A snapshot is made at most this often, however many readers there are."""
SAMPLE_S = 1.0
UNREAD_SAMPLE_S = 5.0
"""The same while no status is read: of many streams it is a cost, and the last 10 s are known still."""
NODES_AT_ONCE = 4
EDGES_AT_ONCE = 16
COUNTED_AT_ONCE = 16
"""For clients, a snapshot is made in slices that fit into the rests of the data plane; so is a sample of counters. Each
of them takes some 0.15 ms."""
UNREAD_S = 10.0
"""Time after the last status at which no more are expected: a console reads one every 5 s at least."""
FAILING = 2
"""The least severity of a node that does not work at all."""
_CPUCLOCK_OF_THREAD = 6
"""CPUCLOCK_SCHED with CPUCLOCK_PERTHREAD_MASK: with a thread's id, the number of its clock (Linux)."""


class _Made(NamedTuple):
    at_s: float
    """When its making began: the time of its counters."""
    ready_s: float
    """When it was whole. Its age counts from here, so that all who waited for it take it."""
    graph: Graph
    """The graph that it is of."""
    status: RunStatus
    counted: dict[str, Counters]
    """The counters among its metrics, by node and edge: a sample of them."""


class RunMonitor:
    """Samples the counters of a run, and makes its snapshots."""

    def __init__(self, session: Session, name: str, control: ControlProcesses | None = None) -> None:
        """``name`` is that of the run, ``control`` are the programs beside it."""
        self._control = control
        self.session = session
        self.name = name
        self.history = CounterHistory()
        """The samples of the last minute."""
        self._progress = ProgressWatch()
        self._newest: _Made | None = None
        self._making = trio.Lock()
        self.slices = RestSlices(session.services.engine, session.services.local.now_ns)

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            now_s = trio.current_time()
            self.history.add_sample(*await self._newest_counters(now_s))
            read = self._newest is not None and now_s - self._newest.at_s < UNREAD_S
            await trio.sleep(SAMPLE_S if read else UNREAD_SAMPLE_S)

    def status(self) -> RunStatus:
        """A snapshot, at most 0.2 s old, of the graph as it is."""
        if (fresh := self._fresh_status()) is not None:
            return fresh
        now_s, built, counted = trio.current_time(), self.session.built, dict[str, Counters]()
        nodes = self._node_statuses(now_s, list(built.nodes.values()), counted)
        edges = self._edge_statuses(now_s, named_edges(built.edges), counted)
        return self._make_status(now_s, built.graph, nodes, edges, counted)

    async def read_status(self) -> RunStatus:
        """The same for a client: made in slices, while the data plane rests."""
        async with self._making:
            if (fresh := self._fresh_status()) is not None:
                return fresh
            began_s, deadline_ns = trio.current_time(), self.slices.deadline_ns()
            graph, built = self.session.built.graph, list(self.session.built.nodes.values())
            links = named_edges(self.session.built.edges)
            counted, nodes, edges = dict[str, Counters](), dict[str, NodeStatus](), dict[str, EdgeStatus]()
            for some in _slices(built, NODES_AT_ONCE):
                make = partial(self._node_statuses, trio.current_time(), some, counted)
                nodes |= await self.slices.do("nodes", make, deadline_ns)
                if self.session.built.graph is not graph:
                    return self.status()
            for links_of in _slices(links, EDGES_AT_ONCE):
                make_edges = partial(self._edge_statuses, trio.current_time(), links_of, counted)
                edges |= await self.slices.do("edges", make_edges, deadline_ns)
            whole = partial(self._make_status, began_s, graph, nodes, edges, counted)
            return await self.slices.do("status", whole, deadline_ns)

    def _fresh_status(self) -> RunStatus | None:
        if self._newest is None or trio.current_time() - self._newest.ready_s >= STATUS_AGE_S:
            return None
        return self._newest.status if self._newest.graph is self.session.built.graph else None

    async def _newest_counters(self, now_s: float) -> tuple[float, dict[str, Counters]]:
        # When they were read, and those of all nodes and edges. Those of a status that a reader has just got are as
        # good as new ones.
        if self._newest is not None and now_s - self._newest.at_s < SAMPLE_S:
            return self._newest.at_s, self._newest.counted
        deadline_ns, counted = self.slices.deadline_ns(), dict[str, Counters]()
        for some in _slices(list(self.session.built.nodes.values()), COUNTED_AT_ONCE):
            counted |= await self.slices.do("node counters", partial(self._node_counters, some), deadline_ns)
        for edges in _slices(named_edges(self.session.built.edges), COUNTED_AT_ONCE):
            counted |= await self.slices.do("edge counters", partial(_edge_counters, edges), deadline_ns)
        return now_s, counted

    def _node_counters(self, built: Sequence[BuiltNode]) -> dict[str, Counters]:
        return {node.id: counters(self.session.meter.counters(node)) for node in built}

    def _make_status(
        self,
        at_s: float,
        graph: Graph,
        nodes: dict[str, NodeStatus],
        edges: dict[str, EdgeStatus],
        counted: dict[str, Counters],
    ) -> RunStatus:
        session = self.session
        seen: dict[str, NodeStatus | EdgeStatus] = {**nodes, **edges}
        troubled = sorted((name for name in seen if seen[name].severity), key=lambda name: urgency(seen[name]))
        control = {} if self._control is None else self._control.status
        beside = [f"control.{kind}: {each.trouble}" for kind, each in control.items() if each.trouble]
        status = RunStatus(
            name=self.name,
            graph=session.name,
            profile=session.profile,
            pid=os.getpid(),
            started_at=session.meter.started_at,
            duration_s=round(session.meter.duration_s, 3),
            stopping=session.supervisor.stopping,
            trouble=[*(f"{name}: {seen[name].trouble}" for name in troubled), *beside],
            control=control,
            nodes=nodes,
            edges=edges,
            cpu_s=cpu_seconds(),
        )
        self._newest = _Made(at_s, trio.current_time(), graph, status, counted)
        return status

    def _node_statuses(
        self, now_s: float, built: Sequence[BuiltNode], all_counted: dict[str, Counters]
    ) -> dict[str, NodeStatus]:
        # Adds the counters to ``all_counted``. Each step for all nodes before the next one: a processor that has just
        # done the same is faster.
        meter, supervisor, history = self.session.meter, self.session.supervisor, self.history
        nodes = [meter.node(each, supervisor) for each in built]
        counted = [counters(node["metrics"]) for node in nodes]
        all_counted.update((each.id, count) for each, count in zip(built, counted, strict=True))
        recent = [history.increases(now_s, each.id, count) for each, count in zip(built, counted, strict=True)]
        rates = [history.rates(now_s, each.id, count) for each, count in zip(built, counted, strict=True)]
        phrases = [node_phrases(node) for node in nodes]
        return {
            each.id: self._node_status(now_s, each, *parts)
            for each, parts in zip(built, zip(nodes, phrases, recent, rates, strict=True), strict=True)
        }

    def _node_status(
        self,
        now_s: float,
        built: BuiltNode,
        node: dict[str, Any],
        phrases: list[str],
        recent: dict[str, int],
        rates: dict[str, dict[str, float]],
    ) -> NodeStatus:
        format, urgent = built.format, severity(node)
        said = [phrases.pop(0)] if urgent else []
        if urgent < FAILING:
            standstill, lost = self._progress.standstill(now_s, built.id, node), recent_losses(recent)
            said += filter(None, [standstill if not said else "", lost])
            urgent = int(bool(said))
        return NodeStatus(
            **node,
            severity=urgent,
            text="; ".join([*said, *phrases]),
            rate=None if format is None else format.rate,
            channels=None if format is None else format.channels,
            rates=rates,
            recent=recent,
            trouble="; ".join(said),
        )

    def _edge_statuses(
        self, now_s: float, edges: Sequence[tuple[str, BuiltEdge]], all_counted: dict[str, Counters]
    ) -> dict[str, EdgeStatus]:
        return {name: self._edge_status(now_s, name, edge_report(edge), all_counted) for name, edge in edges}

    def _edge_status(self, now_s: float, name: str, edge: dict[str, Any], counted: dict[str, Counters]) -> EdgeStatus:
        metrics, crossing = edge["metrics"], edge["crossing"]
        counted[name] = counters(metrics)
        phrases = edge_phrases(edge) if crossing else []
        urgent = crossing and metrics.get("state") != "locked"
        return EdgeStatus(
            crossing=crossing,
            severity=int(urgent),
            text="; ".join(phrases),
            metrics=metrics,
            recent=self.history.increases(now_s, name, counted[name]),
            trouble=phrases[0] if urgent else "",
        )


def _slices(items: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    return (items[begin : begin + length] for begin in range(0, len(items), length))


def _edge_counters(edges: Sequence[tuple[str, BuiltEdge]]) -> dict[str, Counters]:
    return {name: counters(edge_report(edge)["metrics"]) for name, edge in edges}


def cpu_seconds() -> dict[str, float]:
    """Processor time since the start: of the ``process``, and on Linux of the ``engine``'s thread."""
    used = {"process": time.process_time()}
    if sys.platform == "linux":
        threads = [thread.native_id for thread in threading.enumerate() if thread.name == ENGINE_THREAD]
        for id in threads:
            if id is not None:
                with suppress(OSError):  # it has ended meanwhile
                    used["engine"] = time.clock_gettime(~id << 3 | _CPUCLOCK_OF_THREAD)
    return {name: round(seconds, 6) for name, seconds in used.items()}
