"""From settings that become active to the changes of a run's graph.

A receiver is switched by a second source: it is added at once and joins its groups, the sinks are switched to it at the
instant, and the source that they read before is removed after that. A sender is
changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from phasegraph import OfferedStream, parse_duration

from ..model.resources import HostInterface
from ..model.run_view import EndpointView, Table, other_node, parse_rate
from .endpoint import ConnectionSettings
from .transport_params import DEFAULT_PORT, SENDER, LegParams

Changes = dict[str, Any]
_OF_THE_STREAM = ("sdp", "session", "group", "port", "source", "enabled", "leg-b")
_OF_THE_FORMAT = ("encoding", "rate", "channels", "packet-time", "payload-type", "mediaclk-offset")
_DEFAULTS = {
    "enabled": True,
    "port": DEFAULT_PORT,
    "encoding": "L24",
    "rate": 48_000,
    "channels": 2,
    "packet-time": 1_000_000,
    "mediaclk-offset": 0,
    "interface": "",
    "media-clock": "auto",
}
"""Of the options of a source of kind ``aes67``."""


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """A sender or receiver whose settings become active."""

    kind: str
    view: EndpointView
    settings: ConnectionSettings
    offered: OfferedStream | None = None
    """What the session description of a receiver says, if there is one."""


def changes_of(
    switches: Sequence[Switch], graph: Table, interfaces: Sequence[HostInterface]
) -> tuple[Changes, list[str]]:
    """The changes of a run's graph for all of them together, and the node of each afterwards.

    A stream that stays what it is changes nothing.
    """
    changes: Changes = {}
    nodes: list[str] = []
    inputs = {id: table.get("input") for id, table in graph.get("sinks", {}).items()}
    for switch in switches:
        view = switch.view
        if switch.kind == SENDER:
            changes[f"sink.{view.node}"] = sender_table(view, switch.settings, interfaces)
            nodes.append(view.node)
            continue
        table = receiver_table(view, switch.settings, switch.offered, interfaces)
        if _is_received(table, view.table, whole=switch.offered is not None):
            nodes.append(view.node)
            continue
        new = other_node(view.node)
        changes[f"source.{new}"] = table
        for sink in view.neighbours:
            inputs[sink] = _replaced(inputs[sink], view.node, new)
            changes[f"sink.{sink}.input"] = inputs[sink]
        changes[f"source.{view.node}"] = None
        nodes.append(new)
    # A sink whose whole table is replaced has its new input in that table.
    for path in [path for path in changes if path.startswith("sink.") and path.endswith(".input")]:
        whole = path.removesuffix(".input")
        if isinstance(changes.get(whole), dict):
            changes[whole]["input"] = changes.pop(path)
    return changes, nodes


def receiver_table(
    view: EndpointView, settings: ConnectionSettings, offered: OfferedStream | None, interfaces: Sequence[HostInterface]
) -> dict[str, Any]:
    """The table of a receiver's source with these settings."""
    table = {name: value for name, value in view.table.items() if name not in _OF_THE_STREAM}
    own = [leg.interface for leg in view.legs]
    legs = _active_legs(settings, own, interfaces)
    if not legs:
        table["enabled"] = False
        if len(own) > 1:
            table["leg-b"] = {"interface": own[1]} if own[1] else {}
            if own[1] == own[0]:  # two legs of a graph differ in something, though nothing is received
                table["leg-b"]["port"] = DEFAULT_PORT + 2
        return table
    for name in _OF_THE_FORMAT:
        table.pop(name, None)
    table |= {"encoding": view.encoding, "rate": f"{view.rate}Hz", "channels": view.channels}
    table["packet-time"] = f"{view.packet_time_ns}ns"
    if offered is not None:
        table["encoding"] = offered.encoding
        if offered.packet_time_ns is not None:
            table["packet-time"] = f"{offered.packet_time_ns}ns"
        if offered.payload_type is not None:
            table["payload-type"] = offered.payload_type
        if offered.mediaclk_offset is not None:
            table["mediaclk-offset"] = offered.mediaclk_offset
        elif "media-clock" not in table:
            table["media-clock"] = "relative"
    first, *others = legs
    table |= first
    if others:
        table["leg-b"] = others[0]
    return table


def sender_table(
    view: EndpointView, settings: ConnectionSettings, interfaces: Sequence[HostInterface]
) -> dict[str, Any]:
    """The table of a sender's sink with these settings."""
    table = {name: value for name, value in view.table.items() if name not in ("group", "port", "enabled", "leg-b")}
    own = [leg.interface for leg in view.legs]
    enabled = [leg for leg in zip(settings.legs, own, strict=True) if leg[0]["rtp_enabled"]]
    legs = [
        {"interface": _interface(leg["source_ip"], name, interfaces)}
        | {"group": leg["destination_ip"], "port": leg["destination_port"]}
        for leg, name in (enabled or list(zip(settings.legs, own, strict=True)))
    ]
    table |= legs[0]
    if len(legs) > 1 and legs[1] != legs[0]:
        table["leg-b"] = legs[1]
    if not settings.master_enable:
        table["enabled"] = False
    return table


def _active_legs(
    settings: ConnectionSettings, own: Sequence[str], interfaces: Sequence[HostInterface]
) -> list[dict[str, Any]]:
    # The options of each leg that is received, equal ones once.
    legs: list[dict[str, Any]] = []
    seen: list[LegParams] = []
    for leg, name in zip(settings.legs, own, strict=True):
        if not settings.master_enable or not leg["rtp_enabled"] or leg in seen:
            continue
        seen.append(leg)
        options = {
            "interface": _interface(leg["interface_ip"], name, interfaces),
            # Unicast packets go to the address of the interface (IS-05, "RTP transport type").
            "group": leg["multicast_ip"] or leg["interface_ip"],
            "port": leg["destination_port"],
        }
        if leg["source_ip"] is not None:
            options["source"] = leg["source_ip"]
        legs.append(options)
    return legs


def _is_received(table: Table, present: Table, *, whole: bool) -> bool:
    # Whether a source of this table is there already. Without a session description, its format is whatever it was.
    names = (*_OF_THE_STREAM, "interface", *((*_OF_THE_FORMAT, "media-clock") if whole else ()))
    return _options(table, names) == _options(present, names)


def _options(table: Table, names: Sequence[str]) -> dict[str, Any]:
    # Defaults count as given: a run leaves them out of its graph.
    values: dict[str, Any] = {name: table.get(name, _DEFAULTS.get(name)) for name in names}
    if "rate" in values:
        values["rate"] = parse_rate(values["rate"])
        packet_time = values["packet-time"]
        values["packet-time"] = parse_duration(packet_time) if isinstance(packet_time, str) else packet_time
    return values


def _interface(address: str, own: str, interfaces: Sequence[HostInterface]) -> str:
    # The name that the graph has, where it is the same interface.
    for interface in interfaces:
        if interface.address == address and own in (interface.name, interface.address):
            return own
    return address


def _replaced(input: Any, old: str, new: str) -> Any:
    if isinstance(input, str):
        return new if input == old else input
    return [
        {**entry, "source": new}
        if isinstance(entry, Mapping) and entry.get("source") == old
        else new
        if entry == old
        else entry
        for entry in input
    ]
