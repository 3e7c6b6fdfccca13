"""Inputs and outputs of channel mapping: the sources and sinks of runs, and the map that their graphs have now.

An input is a source, or the receiver that a source belongs to at present. An output is a sink. The map is a sink's
option ``input``, and a new map is a new value of that option: nothing is kept here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ..model.run_view import RunView, Table, receiver_id, sources_of

Route = tuple[str, int] | None
"""Input and channel from 0; None for silence."""


class InputPort(msgspec.Struct, frozen=True, kw_only=True):
    """One input."""

    id: str
    run: str
    node: str
    """The source of the graph at present."""
    label: str
    description: str
    channels: int
    receiver_id: str | None
    """UUID of the receiver that it comes from."""


class OutputPort(msgspec.Struct, frozen=True, kw_only=True):
    """One output."""

    id: str
    run: str
    node: str
    """The sink of the graph."""
    label: str
    description: str
    source_id: str | None
    """UUID of the source that a sender of it has."""
    routable: tuple[str, ...]
    """Inputs that it can have: those of its rate, which need no compensator that it does not have."""
    routes: tuple[Route, ...]
    """The map that is active, one route a channel."""


class AudioPorts(msgspec.Struct, frozen=True, kw_only=True):
    """All inputs and outputs, by id."""

    inputs: Mapping[str, InputPort] = {}
    outputs: Mapping[str, OutputPort] = {}


EndpointUuid = Callable[[str, str, str], str]
"""UUID of a ``receiver`` or ``source`` of IS-04: (kind, run, id)."""


def ports_of_runs(runs: Sequence[RunView], uuid_of: EndpointUuid) -> AudioPorts:
    """The inputs and outputs of runs."""
    inputs: dict[str, InputPort] = {}
    outputs: dict[str, OutputPort] = {}
    for run in runs:
        ports = _RunPorts(run, uuid_of)
        inputs |= {port.id: port for port in ports.inputs.values()}
        outputs |= {port.id: port for port in ports.find_outputs()}
    return AudioPorts(inputs=inputs, outputs=outputs)


def port_id(run: str, id: str) -> str:
    """The identifier of an input or output: of letters, digits, ``-`` and ``_``, and unique over runs."""
    return f"{_identifier(run)}_{_identifier(id)}"


def input_option(routes: Sequence[Route], inputs: Mapping[str, InputPort], kept: str) -> Any:
    """The option ``input`` of a sink that has these routes. ``kept`` is a source that it may read for silence alone."""
    entries: list[tuple[str | None, list[int]]] = []
    for route in routes:
        source = None if route is None else inputs[route[0]].node
        channel = 0 if route is None else route[1] + 1
        if entries and (source is None or entries[-1][0] in (None, source)):
            before, channels = entries[-1]
            entries[-1] = (before or source, [*channels, channel])
        else:
            entries.append((source, [channel]))
    widths = {port.node: port.channels for port in inputs.values()}
    written = [_entry(source or kept, channels, widths) for source, channels in entries]
    return written[0] if len(written) == 1 and isinstance(written[0], str) else written


def _entry(source: str, channels: list[int], widths: Mapping[str, int]) -> str | dict[str, Any]:
    whole = channels == list(range(1, widths.get(source, 0) + 1))
    return source if whole else {"source": source, "channels": channels}


class _RunPorts:
    """Finds the ports of one run."""

    def __init__(self, run: RunView, uuid_of: EndpointUuid) -> None:
        self._run = run
        self._uuid_of = uuid_of
        self._clocks = {clock.id for clock in run.clocks}
        self._shown = {view.node for view in run.receivers}
        self.inputs = {port.node: port for port in self._find_inputs()}
        self._input_clocks = {node: self._clock_of("sources", node) for node in self.inputs}

    def _find_inputs(self) -> Iterator[InputPort]:
        for node, table in self._run.graph.get("sources", {}).items():
            status = self._run.status.nodes.get(node)
            received = table.get("kind") == "aes67"
            if status is None or not status.channels or (received and node not in self._shown):
                continue
            id = receiver_id(node) if received else node
            yield InputPort(
                id=port_id(self._run.name, id),
                run=self._run.name,
                node=node,
                label=_label(table, id),
                description=_description(table, f"Source {id} of the run {self._run.name}"),
                channels=status.channels,
                receiver_id=self._uuid_of("receiver", self._run.name, id) if received else None,
            )

    def find_outputs(self) -> Iterator[OutputPort]:
        for node, table in self._run.graph.get("sinks", {}).items():
            status = self._run.status.nodes.get(node)
            if status is None or not status.channels:
                continue
            routes = list(self._routes(table.get("input", ())))
            if len(routes) != status.channels:
                continue  # the graph and the status are of different moments: the next view has both
            yield OutputPort(
                id=port_id(self._run.name, node),
                run=self._run.name,
                node=node,
                label=_label(table, node),
                description=_description(table, f"Sink {node} of the run {self._run.name}"),
                source_id=self._uuid_of("source", self._run.name, node) if table.get("kind") == "aes67" else None,
                routable=tuple(self._routable(node, table)),
                routes=tuple(routes),
            )

    def _routes(self, input: Any) -> Iterator[Route]:
        for entry in [input] if isinstance(input, str) else input:
            source, channels = (entry, None) if isinstance(entry, str) else (entry["source"], entry.get("channels"))
            port = self.inputs.get(source)
            width = port.channels if port is not None else 0
            for channel in range(1, width + 1) if channels is None else channels:
                yield None if channel == 0 or port is None else (port.id, channel - 1)

    def _routable(self, sink: str, table: Table) -> list[str]:
        # Those that it reads first: a controller that tries one takes the first.
        read = sources_of(table.get("input", ()))
        clocks = [self._clock_of("sinks", sink), *(self._input_clocks.get(source) for source in read)]
        wanted = next((clock for clock in clocks if clock is not None), None)
        ports = [
            port
            for port in self.inputs.values()
            if port.node in read or self._can_route(port.node, sink, table.get("compensator"), wanted)
        ]
        return [port.id for port in sorted(ports, key=lambda port: port.node not in read)]

    def _can_route(self, source: str, sink: str, compensator: Any, clock: str | None) -> bool:
        nodes = self._run.status.nodes
        if nodes[source].rate != nodes[sink].rate:
            return False
        if compensator is not None or nodes[source].pace == "none":
            return True
        return clock is not None and self._input_clocks[source] == clock

    def _clock_of(self, role: str, node: str) -> str | None:
        status = self._run.status.nodes.get(node)
        if status is None or status.pace != "clock":
            return None
        only = next(iter(self._clocks)) if len(self._clocks) == 1 else None
        clock = self._run.graph[role][node].get("clock", only)
        return clock if isinstance(clock, str) else None


def _label(table: Table, otherwise: str) -> str:
    return str(table.get("label") or table.get("name") or otherwise)


def _description(table: Table, otherwise: str) -> str:
    return str(table.get("description") or otherwise)


def _identifier(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9\-]", "-", text)
