"""The IS-04 resources of a node: node, devices, sources, flows, senders and receivers (IS-04 v1.3, "Data Model").

`make_resources` is a function of what the runs offer and of what the connection API has active. Versions are left out:
`ResourceStore` adds them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .resource_identity import stable_uuid
from .run_view import ClockView, EndpointView, RunView

Resource = dict[str, Any]
KINDS = ("node", "device", "source", "flow", "sender", "receiver")
"""Kinds of resources, in the order of registration (IS-04, "Behaviour: Registration")."""
FORMAT = "urn:x-nmos:format:audio"
NO_GRANDMASTER = "00-00-00-00-00-00-00-00"
BIT_DEPTHS = {"L16": 16, "L24": 24, "AM824": 24}
GATEWAY_RUN = "\0gateway"
"""In place of the name of a run, for what other devices announce. No run has such a name."""
CONNECTION_CONTROL = "urn:x-nmos:control:sr-ctrl/v1.1"
_GROUP_HINT = "urn:x-nmos:tag:grouphint/v1.0"


class HostInterface(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface of this computer."""

    name: str
    address: str
    """Its IPv4 address."""
    mac: str
    """As ``00-1d-c1-12-34-56``."""


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is, apart from its runs."""

    seed: uuid.UUID
    """All UUIDs of the node follow from it."""
    label: str
    description: str = ""
    hostname: str = ""
    host: str
    """Name or address that others reach the APIs by."""
    port: int
    secure: bool = False
    """Whether the APIs are reached by TLS."""
    authorization: bool = False
    """Whether the APIs demand a token (IS-10)."""
    versions: tuple[str, ...] = ("v1.2", "v1.3")
    """Of the Node API."""

    @property
    def base_url(self) -> str:
        """The URL that the paths of all APIs are appended to."""
        return f"{'https' if self.secure else 'http'}://{self.host}:{self.port}"

    @property
    def id(self) -> str:
        """UUID of the node."""
        return stable_uuid(self.seed, "node")

    def device_id(self, run: str) -> str:
        """UUID of the device that a run is."""
        return stable_uuid(self.seed, "device", run)

    def endpoint_id(self, kind: str, run: str, id: str) -> str:
        """UUID of a ``source``, ``flow``, ``sender`` or ``receiver`` of a run."""
        return stable_uuid(self.seed, kind, run, id)


class DeviceControl(msgspec.Struct, frozen=True, kw_only=True):
    """An API by which a device is controlled."""

    type: str
    """URN."""
    path: str
    """Behind the node's base URL."""
    scheme: str = "http"
    """``http`` or ``ws``."""


class ActiveState(msgspec.Struct, frozen=True, kw_only=True):
    """What the connection API has active of a sender or receiver."""

    active: bool
    peer_id: str | None = None
    """UUID of the sender that a receiver is connected to; of a sender, of the receiver (unicast alone)."""
    multicast: bool = True


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """A session that another device announces, and that this node registers as a sender on its behalf."""

    key: str
    """The same as long as the session lives."""
    name: str
    encoding: str
    rate: int
    channels: int
    interface: str
    multicast: bool = True
    legs: int = 1


def make_resources(
    identity: NodeIdentity,
    runs: Sequence[RunView],
    interfaces: Sequence[HostInterface],
    subscriptions: Mapping[str, ActiveState],
    controls: Sequence[DeviceControl],
    gateways: Sequence[Gateway] = (),
) -> dict[str, dict[str, Resource]]:
    """All resources by kind and UUID, without versions. ``subscriptions`` are by UUID."""
    maker = _ResourceMaker(identity, runs, interfaces, subscriptions, controls)
    for run in runs:
        maker.add_run(run)
    if gateways:
        maker.add_gateways(gateways)
    maker.add_node()
    return maker.made


def interface_of(named: str, interfaces: Sequence[HostInterface]) -> HostInterface | None:
    """The interface of a name or address; of an empty one, the first that is not the loopback."""
    for interface in interfaces:
        if named in (interface.name, interface.address):
            return interface
    if named:
        return None
    others = [interface for interface in interfaces if not interface.address.startswith("127.")]
    return next(iter([*others, *interfaces]), None)


class _ResourceMaker:
    """Collects the resources of all runs."""

    def __init__(
        self,
        identity: NodeIdentity,
        runs: Sequence[RunView],
        interfaces: Sequence[HostInterface],
        subscriptions: Mapping[str, ActiveState],
        controls: Sequence[DeviceControl],
    ) -> None:
        self._identity = identity
        self._interfaces = interfaces
        self._subscriptions = subscriptions
        self._controls = controls
        clocks = [(run.name, clock) for run in runs for clock in run.clocks]
        self._clock_names = {(run, clock.id): f"clk{number}" for number, (run, clock) in enumerate(clocks)}
        self._clocks = [_clock_resource(f"clk{number}", clock) for number, (_, clock) in enumerate(clocks)]
        self.made: dict[str, dict[str, Resource]] = {kind: {} for kind in KINDS}

    def add_node(self) -> None:
        identity = self._identity
        endpoint = {
            "host": identity.host,
            "port": identity.port,
            "protocol": "https" if identity.secure else "http",
            "authorization": identity.authorization,
        }
        node: Resource = {
            **_core(identity.id, identity.label, identity.description),
            "href": f"{identity.base_url}/",
            "api": {"versions": list(identity.versions), "endpoints": [endpoint]},
            "caps": {},
            "services": [],
            "clocks": self._clocks,
            "interfaces": [
                {"name": each.name, "chassis_id": None, "port_id": each.mac} for each in _by_name(self._interfaces)
            ],
        }
        if identity.hostname:
            node["hostname"] = identity.hostname
        self._add("node", node)

    def add_run(self, run: RunView) -> None:
        device = self._identity.device_id(run.name)
        receivers = [self._receiver(device, run, view) for view in run.receivers]
        senders = [self._sender(device, run, view) for view in run.senders]
        self._device(device, run.label, f"The run {run.name} of Phasegraph", senders, receivers, self._controls)

    def add_gateways(self, gateways: Sequence[Gateway]) -> None:
        """The sessions of other devices, as senders of a device of their own."""
        device = self._identity.device_id(GATEWAY_RUN)
        senders = [
            self._sending(
                device,
                ids=tuple(self._identity.endpoint_id(kind, GATEWAY_RUN, each.key) for kind in _SENDING),
                label=each.name,
                description="announced on the network by a device without NMOS",
                tags={_GROUP_HINT: [f"announced:{_plain(each.name)}"]},
                clock_name=None,
                format=(each.encoding, each.rate, each.channels),
                bindings=[each.interface] * each.legs,
                subscription=ActiveState(active=True, multicast=each.multicast),
            )
            for each in gateways
        ]
        label = f"{self._identity.label}: announced sessions"
        controls = [control for control in self._controls if control.type == CONNECTION_CONTROL]
        self._device(device, label, "Sessions of devices without NMOS", senders, [], controls)

    def _device(
        self,
        id: str,
        label: str,
        description: str,
        senders: list[str],
        receivers: list[str],
        controls: Sequence[DeviceControl],
    ) -> None:
        identity = self._identity
        self._add(
            "device",
            {
                **_core(id, label, description),
                "type": "urn:x-nmos:device:generic",
                "node_id": identity.id,
                "senders": senders,
                "receivers": receivers,
                "controls": [
                    {
                        "type": control.type,
                        "href": _with_scheme(identity.base_url, control.scheme) + control.path,
                        "authorization": identity.authorization,
                    }
                    for control in controls
                ],
            },
        )

    def _receiver(self, device: str, run: RunView, view: EndpointView) -> str:
        id = self._identity.endpoint_id("receiver", run.name, view.id)
        subscription = self._subscriptions.get(id, ActiveState(active=False))
        hints = [f"{_plain(sink)}:{_plain(view.id)}" for sink in view.neighbours] or [f"{run.name}:{_plain(view.id)}"]
        self._add(
            "receiver",
            {
                **_core(id, view.label, view.description, {_GROUP_HINT: hints}),
                "device_id": device,
                "transport": "urn:x-nmos:transport:rtp",
                "interface_bindings": self._bindings(view),
                "subscription": {
                    "sender_id": subscription.peer_id if subscription.active else None,
                    "active": subscription.active,
                },
                "format": FORMAT,
                "caps": receiver_caps(view),
            },
        )
        return id

    def _sender(self, device: str, run: RunView, view: EndpointView) -> str:
        ids = tuple(self._identity.endpoint_id(kind, run.name, view.id) for kind in _SENDING)
        return self._sending(
            device,
            ids=ids,
            label=view.label,
            description=view.description,
            tags={_GROUP_HINT: [f"{_plain(run.name)}:{_plain(view.id)}"]},
            clock_name=self._clock_names.get((run.name, view.clock or "")),
            format=(view.encoding, view.rate, view.channels),
            bindings=self._bindings(view),
            subscription=self._subscriptions.get(ids[2], ActiveState(active=False)),
        )

    def _sending(
        self,
        device: str,
        *,
        ids: tuple[str, ...],
        label: str,
        description: str,
        tags: dict[str, list[str]],
        clock_name: str | None,
        format: tuple[str, int, int],
        bindings: list[str],
        subscription: ActiveState,
    ) -> str:
        # A source, its flow and its sender. Returns the sender's UUID.
        source, flow, sender = ids
        encoding, rate, channels = format
        self._add(
            "source",
            {
                **_core(source, label, description),
                "caps": {},
                "device_id": device,
                "parents": [],
                "clock_name": clock_name,
                "format": FORMAT,
                "channels": [{"label": f"Channel {number}"} for number in range(1, channels + 1)],
            },
        )
        self._add(
            "flow",
            {
                **_core(flow, label, description),
                "source_id": source,
                "device_id": device,
                "parents": [],
                "format": FORMAT,
                "media_type": media_type(encoding),
                "sample_rate": {"numerator": rate},
                "bit_depth": BIT_DEPTHS[encoding],
            },
        )
        connection = "/x-nmos/connection/v1.1/single/senders"
        unicast = subscription.active and not subscription.multicast
        self._add(
            "sender",
            {
                **_core(sender, label, description, tags),
                "flow_id": flow,
                "transport": f"urn:x-nmos:transport:rtp.{'mcast' if subscription.multicast else 'ucast'}",
                "device_id": device,
                "manifest_href": f"{self._identity.base_url}{connection}/{sender}/transportfile",
                "interface_bindings": bindings,
                "subscription": {
                    "receiver_id": subscription.peer_id if unicast else None,
                    "active": subscription.active,
                },
            },
        )
        return sender

    def _bindings(self, view: EndpointView) -> list[str]:
        found = [interface_of(leg.interface, self._interfaces) for leg in view.legs]
        fallback = self._interfaces[0].name if self._interfaces else "lo"
        return [interface.name if interface is not None else fallback for interface in found]

    def _add(self, kind: str, resource: Resource) -> None:
        self.made[kind][resource["id"]] = resource


_SENDING = ("source", "flow", "sender")


def receiver_caps(view: EndpointView) -> Resource:
    """What a receiver can take (BCP-004-01): its rate and channel count, which its sinks rely on; any linear PCM."""
    return {
        "media_types": ["audio/L24", "audio/L16"] if view.encoding != "AM824" else ["audio/AM824"],
        "constraint_sets": [
            {
                "urn:x-nmos:cap:format:media_type": {"enum": [name]},
                "urn:x-nmos:cap:format:sample_rate": {"enum": [{"numerator": view.rate}]},
                "urn:x-nmos:cap:format:channel_count": {"enum": [view.channels]},
                "urn:x-nmos:cap:format:sample_depth": {"enum": [depth]},
                "urn:x-nmos:cap:transport:packet_time": {"minimum": 0.02, "maximum": 20},
            }
            for name, depth in (
                [("audio/L24", 24), ("audio/L16", 16)] if view.encoding != "AM824" else [("audio/AM824", 24)]
            )
        ],
    }


def media_type(encoding: str) -> str:
    """The media type of an encoding."""
    return f"audio/{encoding}"


def _core(id: str, label: str, description: str, tags: Mapping[str, list[str]] | None = None) -> Resource:
    return {"id": id, "label": label, "description": description, "tags": dict(tags or {})}


def _clock_resource(name: str, clock: ClockView) -> Resource:
    if not clock.is_ptp:
        return {"name": name, "ref_type": "internal"}
    return {
        "name": name,
        "ref_type": "ptp",
        "traceable": clock.locked and clock.timescale == "ptp" and bool(clock.grandmaster),
        "version": "IEEE1588-2008",
        "gmid": clock.grandmaster.lower() or NO_GRANDMASTER,
        "locked": clock.locked,
    }


def _by_name(interfaces: Sequence[HostInterface]) -> list[HostInterface]:
    return list({interface.name: interface for interface in reversed(interfaces)}.values())[::-1]


def _plain(text: str) -> str:
    # BCP-002-01: a colon parts the group's name from the role in it.
    return text.replace(":", "-")


def _with_scheme(base_url: str, scheme: str) -> str:
    secure, rest = base_url.startswith("https"), base_url.partition("://")[2]
    return f"{scheme}{'s' if secure else ''}://{rest}"
