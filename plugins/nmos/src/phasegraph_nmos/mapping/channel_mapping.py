"""The machine of IS-08: the map that is active, requests to change it, and changes that wait for their time.

Requests are checked here; `MapChange` says what a run is to do, and the caller reports when it has done it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ..http.api_answers import NmosApiError
from ..model.resource_identity import format_tai, parse_tai
from .audio_ports import AudioPorts, InputPort, OutputPort, Route, input_option

IMMEDIATE = "activate_immediate"
ABSOLUTE = "activate_scheduled_absolute"
RELATIVE = "activate_scheduled_relative"
MOST_WAIT_NS = 7 * 86_400 * 1_000_000_000
"""How far ahead a change may be scheduled."""
_INDEX = re.compile(r"(0|[1-9]\d{0,5})\Z", re.ASCII)

Json = dict[str, Any]


class MapActivation(msgspec.Struct, frozen=True, kw_only=True):
    """When a change takes place (activation-response-schema)."""

    mode: str | None = None
    requested_time: str | None = None
    activation_time: str | None = None


class MapChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was accepted."""

    id: str
    activation: MapActivation
    at_tai_ns: int | None
    """When it is due; None for at once."""
    action: Mapping[str, Mapping[int, Route]]
    """New routes by output and channel."""

    def described(self) -> Json:
        """As the API writes it, with its id."""
        return {
            self.id: {
                "activation": msgspec.to_builtins(self.activation),
                "action": {output: _written(routes) for output, routes in self.action.items()},
            }
        }


class ChannelMapping:
    """The channel mapping of a node. Times are TAI, in nanoseconds."""

    def __init__(self) -> None:
        self.ports = AudioPorts()
        self._last = MapActivation()
        self._waiting: dict[str, MapChange] = {}
        self._submitted: set[str] = set()
        self._newest_id = 0

    def set_ports(self, ports: AudioPorts) -> None:
        """Take what the runs have now. The map that is active is theirs."""
        self.ports = ports

    # What is there: `/io`, `/inputs`, `/outputs`, `/map`.

    def describe_io(self) -> Json:
        """All inputs and outputs (``/io``)."""
        return {
            "inputs": {id: describe_input(port) for id, port in self.ports.inputs.items()},
            "outputs": {id: describe_output(port) for id, port in self.ports.outputs.items()},
        }

    def describe_active(self, output: str | None = None) -> Json:
        """The map that is active, of one output or of all (``/map/active``)."""
        wanted = self.ports.outputs.values() if output is None else [self.ports.outputs[output]]
        routes = {port.id: _written(dict(enumerate(port.routes))) for port in wanted}
        return {"activation": msgspec.to_builtins(self._last), "map": routes}

    def describe_waiting(self) -> Json:
        """The changes that wait for their time (``/map/activations``)."""
        return {id: described for change in self._waiting.values() for id, described in change.described().items()}

    # What changes.

    def propose(self, body: Any, tai_ns: int) -> MapChange:
        """The change that a request asks for. Raises NmosApiError: 400 for a wrong one, 423 for a locked output."""
        if not isinstance(body, dict) or not {"activation", "action"} <= body.keys():
            raise NmosApiError(400, "a request has the members `activation` and `action`")
        activation, at_tai_ns = _parse_activation(body["activation"], tai_ns)
        action = self._parse_action(body["action"])
        for change in self._waiting.values():
            if locked := sorted(change.action.keys() & action.keys()):
                words = f"output '{locked[0]}' is locked by the activation {change.id}: delete that one, or wait"
                raise NmosApiError(423, words)
        self._newest_id = max(self._newest_id + 1, tai_ns)
        return MapChange(id=str(self._newest_id), activation=activation, at_tai_ns=at_tai_ns, action=action)

    def schedule(self, change: MapChange) -> None:
        """Let a change wait. Its outputs are locked until it is finished or cancelled."""
        self._waiting[change.id] = change

    def find_waiting(self, id: str) -> MapChange | None:
        """The change that waits under an id."""
        return self._waiting.get(id)

    def cancel(self, id: str) -> None:
        """Forget a change that waits. Raises NmosApiError 404 without one, 423 once its run has it."""
        if id not in self._waiting:
            raise NmosApiError(404, f"no activation {id[:40]} is pending")
        if id in self._submitted:
            raise NmosApiError(423, f"the activation {id} takes place within a moment, and cannot be deleted any more")
        del self._waiting[id]

    def take_due(self, tai_ns: int, lead_ns: int) -> list[MapChange]:
        """The changes that are due within ``lead_ns``: they are given to their runs now."""
        due = [
            change
            for id, change in self._waiting.items()
            if id not in self._submitted and (change.at_tai_ns or 0) <= tai_ns + lead_ns
        ]
        self._submitted |= {change.id for change in due}
        return due

    def next_due_ns(self) -> int | None:
        """The time of the change that is due first, of those that wait here."""
        times = [change.at_tai_ns or 0 for id, change in self._waiting.items() if id not in self._submitted]
        return min(times, default=None)

    def runs_of(self, change: MapChange) -> list[str]:
        """The runs that a change concerns."""
        ports = (self.ports.outputs.get(id) for id in change.action)
        return list(dict.fromkeys(port.run for port in ports if port is not None))

    def options_of(self, change: MapChange, run: str) -> dict[str, Any]:
        """The options of a run's sinks that a change sets, as the run is now: ``{"sink.rec.input": ...}``."""
        options: dict[str, Any] = {}
        inputs = {port.id: port for port in self.ports.inputs.values() if port.run == run}
        for id, routes in change.action.items():
            port = self.ports.outputs.get(id)
            if port is None or port.run != run:
                continue  # it has gone while the change waited, or is of another run
            whole = [routes.get(index, before) for index, before in enumerate(port.routes)]
            there = [route if route is not None and route[0] in inputs else None for route in whole]
            named = [*(route[0] for route in (*there, *port.routes) if route is not None), *port.routable]
            kept = next((inputs[name].node for name in named if name in inputs), None)
            if kept is not None:
                options[f"sink.{port.node}.input"] = input_option(there, inputs, kept)
        return options

    def finish_change(self, change: MapChange, tai_ns: int) -> MapChange:
        """A change has taken place, at a time: the change as it is answered. The next view of the runs has it too."""
        activation = msgspec.structs.replace(change.activation, activation_time=format_tai(tai_ns))
        self.drop(change)
        self._last = activation
        outputs = dict(self.ports.outputs)
        for id, routes in change.action.items():
            if (port := outputs.get(id)) is not None:
                new = tuple(routes.get(index, before) for index, before in enumerate(port.routes))
                outputs[id] = msgspec.structs.replace(port, routes=new)
        self.ports = msgspec.structs.replace(self.ports, outputs=outputs)
        return msgspec.structs.replace(change, activation=activation)

    def drop(self, change: MapChange) -> None:
        """A change has failed, or its runs have ended: its outputs are free."""
        self._waiting.pop(change.id, None)
        self._submitted.discard(change.id)

    def sources_of(self, change: MapChange) -> list[str]:
        """UUIDs of the sources whose version rises with a change (IS-08, "Version Increments")."""
        ports = (self.ports.outputs.get(id) for id in change.action)
        return [port.source_id for port in ports if port is not None and port.source_id is not None]

    def _parse_action(self, action: Any) -> dict[str, dict[int, Route]]:
        if not isinstance(action, dict) or not action:
            raise NmosApiError(400, "`action` has at least one output")
        return {id: self._parse_routes(id, routes) for id, routes in action.items()}

    def _parse_routes(self, id: str, routes: Any) -> dict[int, Route]:
        port = self.ports.outputs.get(id)
        if port is None:
            raise NmosApiError(400, f"there is no output '{id[:100]}'")
        if not isinstance(routes, dict):
            raise NmosApiError(400, f"the routes of output '{id}' are an object by channel index")
        parsed: dict[int, Route] = {}
        for index, entry in routes.items():
            if not _INDEX.match(index) or int(index) >= len(port.routes):
                raise NmosApiError(
                    400, f"output '{id}' has {len(port.routes)} channels: there is no index '{index[:20]}'"
                )
            parsed[int(index)] = self._parse_entry(port, index, entry)
        return parsed

    def _parse_entry(self, port: OutputPort, index: str, entry: Any) -> Route:
        at = f"channel {index} of output '{port.id}'"
        if not isinstance(entry, dict) or not {"input", "channel_index"} <= entry.keys():
            raise NmosApiError(400, f"{at} needs `input` and `channel_index`")
        name, channel = entry["input"], entry["channel_index"]
        if (name is None) != (channel is None):
            raise NmosApiError(400, f"{at}: `input` and `channel_index` are both null, or neither is")
        if name is None:
            return None
        if not isinstance(name, str) or (found := self.ports.inputs.get(name)) is None:
            raise NmosApiError(400, f"{at}: there is no input '{str(name)[:100]}'")
        if not isinstance(channel, int) or isinstance(channel, bool) or not 0 <= channel < found.channels:
            raise NmosApiError(400, f"{at}: input '{name}' has {found.channels} channels, counted from 0")
        if name not in port.routable:
            raise NmosApiError(400, f"{at}: input '{name}' cannot be routed to it: see its `routable_inputs`")
        return (name, channel)


def describe_input(port: InputPort) -> Json:
    """An input as ``/io`` has it. Channels may be chosen in any order, one by one."""
    return {
        "parent": {"id": port.receiver_id, "type": None if port.receiver_id is None else "receiver"},
        "channels": [{"label": f"Channel {number}"} for number in range(1, port.channels + 1)],
        "caps": {"reordering": True, "block_size": 1},
        "properties": {"name": port.label, "description": port.description},
    }


def describe_output(port: OutputPort) -> Json:
    """An output as ``/io`` has it. Any channel of it may be without an input."""
    return {
        "source_id": port.source_id,
        "channels": [{"label": f"Channel {number}"} for number in range(1, len(port.routes) + 1)],
        "caps": {"routable_inputs": [*port.routable, None]},
        "properties": {"name": port.label, "description": port.description},
    }


def _parse_activation(activation: Any, tai_ns: int) -> tuple[MapActivation, int | None]:
    if not isinstance(activation, dict) or not {"mode"} <= activation.keys() <= {"mode", "requested_time"}:
        raise NmosApiError(400, "`activation` has `mode`, and `requested_time` where it is scheduled")
    mode, requested = activation["mode"], activation.get("requested_time")
    if mode not in (IMMEDIATE, ABSOLUTE, RELATIVE):
        raise NmosApiError(400, f"`mode` is {IMMEDIATE}, {ABSOLUTE} or {RELATIVE}")
    time_ns = parse_tai(requested) if isinstance(requested, str) else None
    if requested is not None and time_ns is None:
        raise NmosApiError(400, "`requested_time` is written as seconds:nanoseconds")
    if mode == IMMEDIATE:
        return MapActivation(mode=mode), None
    if time_ns is None:
        raise NmosApiError(400, f"{mode} needs a `requested_time`")
    at_ns = time_ns if mode == ABSOLUTE else tai_ns + time_ns
    if at_ns > tai_ns + MOST_WAIT_NS:
        raise NmosApiError(400, f"`requested_time` is more than {MOST_WAIT_NS // 86_400_000_000_000} days ahead")
    return MapActivation(mode=mode, requested_time=requested, activation_time=format_tai(at_ns)), at_ns


def _written(routes: Mapping[int, Route]) -> Json:
    return {str(index): _written_route(route) for index, route in routes.items()}


def _written_route(route: Route) -> Json:
    return {"input": None, "channel_index": None} if route is None else {"input": route[0], "channel_index": route[1]}
