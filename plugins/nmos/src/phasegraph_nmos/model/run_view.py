"""What a run offers to NMOS: its clocks, the streams that it receives, and those that it sends.

A receiver is a source of kind ``aes67``, a sender a sink of that kind. The view is made of the graph and the status
that the run's control socket gives. A receiver that is switched to another stream is a second source for the moment of
the switch: ``stage`` and ``stage-nmos`` take turns, and both are the receiver ``stage``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from phasegraph import OfferedSession, parse_duration

if TYPE_CHECKING:
    from phasegraph.control import NodeStatus, RunStatus

DEFAULT_LINK_OFFSET_NS = 3_000_000
TAKING_TURNS = "-nmos"
"""Ends the id of the source that a receiver has every other time."""
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(k?)Hz\s*\Z", re.IGNORECASE)
Table = Mapping[str, Any]
SessionParser = Callable[[str], OfferedSession]
"""Reads a session description. Raises ValueError."""


class ClockView(msgspec.Struct, frozen=True, kw_only=True):
    """A clock of a run."""

    id: str
    kind: str
    locked: bool
    grandmaster: str = ""
    """As ``00-1D-C1-FF-FE-12-34-56``; empty where there is none."""
    domain: int | None = None
    timescale: str = ""

    @property
    def is_ptp(self) -> bool:
        """Whether its reference is PTP."""
        return self.kind in ("ptp", "ptp4l")


class LegView(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of a stream, as the run receives or sends it."""

    interface: str = ""
    """Name or address, as the graph gives it; empty where the system chooses."""
    address: str | None = None
    """Where the packets go to; None where there is no stream."""
    port: int = 5004
    source: str | None = None
    """The only source address, of a receiver, or of a sender of another device."""


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver or a sender of a run."""

    run: str
    id: str
    """Of the receiver or sender: it stays when the node takes turns."""
    node: str
    """Id of the node in the graph at present."""
    label: str
    description: str
    table: Table
    """Of the node, as in the graph."""
    clock: str | None
    rate: int
    channels: int
    encoding: str
    packet_time_ns: int
    payload_type: int
    legs: tuple[LegView, ...]
    enabled: bool
    link_offset_ns: int = 0
    """Of a receiver: how long after its media time a frame sounds."""
    neighbours: tuple[str, ...] = ()
    """Of a receiver: the sinks that read it. Of a sender: the sources that it sends."""


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as NMOS sees it."""

    name: str
    label: str
    graph: Table
    status: RunStatus
    clocks: tuple[ClockView, ...]
    receivers: tuple[EndpointView, ...]
    senders: tuple[EndpointView, ...]


def view_of_run(name: str, graph: Table, status: RunStatus, parse_session: SessionParser) -> RunView:
    """The view of a run. A node that has no status yet, as it has just been added, is what its table says."""
    clocks = tuple(
        _clock(id, str(table.get("kind", "")), status.nodes.get(id)) for id, table in graph.get("clocks", {}).items()
    )
    only_clock = clocks[0].id if len(clocks) == 1 else None
    build = _EndpointReader(name, graph, status, parse_session, only_clock)
    receivers: dict[str, EndpointView] = {}
    for id in _network_nodes(graph, "sources"):
        view = build.receiver(id)
        before = receivers.get(view.id)
        if before is None or len(view.neighbours) > len(before.neighbours):
            receivers[view.id] = view
    senders = tuple(build.sender(id) for id in _network_nodes(graph, "sinks"))
    label = str(graph.get("label") or name)
    return RunView(
        name=name,
        label=label,
        graph=graph,
        status=status,
        clocks=clocks,
        receivers=tuple(receivers.values()),
        senders=senders,
    )


def receiver_id(node: str) -> str:
    """The receiver that a source belongs to."""
    return node.removesuffix(TAKING_TURNS)


def other_node(node: str) -> str:
    """The source that takes the turn of a receiver's source."""
    return node.removesuffix(TAKING_TURNS) if node.endswith(TAKING_TURNS) else node + TAKING_TURNS


def sources_of(input: Any) -> list[str]:
    """The sources that a sink's ``input`` names."""
    entries = [input] if isinstance(input, str) else input if isinstance(input, list | tuple) else []
    names = [entry.get("source") if isinstance(entry, Mapping) else entry for entry in entries]
    return [name for name in names if isinstance(name, str)]


def parse_rate(value: Any, otherwise: int = 48_000) -> int:
    """A sample rate in Hz, as a graph writes it."""
    if isinstance(value, str) and (match := _RATE.match(value)) is not None:
        return round(float(match[1]) * (1000 if match[2] else 1))
    return value if isinstance(value, int) else otherwise


def _network_nodes(graph: Table, role: str) -> list[str]:
    return [id for id, table in graph.get(role, {}).items() if table.get("kind") == "aes67"]


def _clock(id: str, kind: str, node: NodeStatus | None) -> ClockView:
    metrics = {} if node is None else node.metrics
    domain = metrics.get("domain")
    return ClockView(
        id=id,
        kind=kind,
        locked=metrics.get("state") == "locked",
        grandmaster=str(metrics.get("grandmaster", "")),
        domain=domain if isinstance(domain, int) else None,
        timescale=str(metrics.get("timescale", "")),
    )


class _EndpointReader:
    """Makes the views of the receivers and senders of one run."""

    def __init__(
        self, run: str, graph: Table, status: RunStatus, parse_session: SessionParser, only_clock: str | None
    ) -> None:
        self._run = run
        self._graph = graph
        self._status = status
        self._parse_session = parse_session
        self._only_clock = only_clock
        self._readers: dict[str, list[str]] = {}
        for id, sink in graph.get("sinks", {}).items():
            for source in dict.fromkeys(sources_of(sink.get("input", ()))):
                self._readers.setdefault(source, []).append(id)

    def receiver(self, node: str) -> EndpointView:
        table = self._graph["sources"][node]
        offset_ns = _duration(table.get("link-offset", DEFAULT_LINK_OFFSET_NS))
        view = self._endpoint(node, receiver_id(node), table, tuple(self._readers.get(node, ())))
        return msgspec.structs.replace(view, link_offset_ns=offset_ns)

    def sender(self, node: str) -> EndpointView:
        table = self._graph["sinks"][node]
        return self._endpoint(node, node, table, tuple(sources_of(table.get("input", ()))))

    def _endpoint(self, node: str, id: str, table: Table, neighbours: tuple[str, ...]) -> EndpointView:
        status = self._status.nodes.get(node)
        rate, channels = (status.rate, status.channels) if status is not None else (None, None)
        offer = self._offer(status)
        stream = offer.streams[0] if offer is not None else None
        packet_time = table.get("packet-time", 1_000_000)
        return EndpointView(
            run=self._run,
            id=id,
            node=node,
            label=str(table.get("label") or table.get("name") or id),
            description=str(table.get("description", "")),
            table=table,
            clock=table.get("clock", self._only_clock),
            rate=stream.rate if stream is not None else rate or parse_rate(table.get("rate")),
            channels=stream.channels if stream is not None else channels or table.get("channels", 2),
            encoding=stream.encoding if stream is not None else table.get("encoding", "L24"),
            packet_time_ns=(stream.packet_time_ns if stream is not None else None) or _duration(packet_time),
            payload_type=(stream.payload_type if stream is not None else None) or table.get("payload-type", 98),
            legs=_legs(table, offer),
            enabled=table.get("enabled", True) is True,
            neighbours=neighbours,
        )

    def _offer(self, status: NodeStatus | None) -> OfferedSession | None:
        text = "" if status is None else status.metrics.get("session_description", "")
        if not isinstance(text, str) or not text:
            return None
        try:
            return self._parse_session(text)
        except ValueError:
            return None


def _legs(table: Table, offer: OfferedSession | None) -> tuple[LegView, ...]:
    # One leg, or two where the table has a second one or the stream is redundant.
    leg_b = table.get("leg-b")
    streams = list(offer.streams[:1]) if offer is not None else []
    streams += [stream for stream in (offer.streams if offer is not None else ()) if stream.dup_of == 0][:1]
    first = str(table.get("interface", ""))
    second = str((leg_b or {}).get("interface") or first)
    legs = [
        LegView(interface=interface, address=stream.group, port=stream.port, source=stream.source_filter)
        for interface, stream in zip((first, second), streams, strict=False)
    ]
    if not legs and table.get("group") is not None:
        # The run has not said yet what it does: what its graph says.
        legs = [_described_leg(first, table), *([_described_leg(second, {**table, **leg_b})] if leg_b else [])]
    while len(legs) < (2 if leg_b is not None else 1):
        legs.append(LegView(interface=second if legs else first))
    return tuple(legs)


def _described_leg(interface: str, table: Table) -> LegView:
    return LegView(
        interface=interface, address=table["group"], port=table.get("port", 5004), source=table.get("source")
    )


def _duration(value: Any) -> int:
    return parse_duration(value) if isinstance(value, str) else int(value)
