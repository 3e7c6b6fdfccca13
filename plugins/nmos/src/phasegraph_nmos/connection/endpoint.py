"""The staged and active parameters of one sender or receiver (IS-05 v1.1, "Behaviour"). Times are TAI, in ns.

staged --PATCH--> staged                    200: nothing else happens
staged --activate_immediate--> active       200: when the run has done it
staged --activate_scheduled--> pending      202: the staged parameters are locked (423) until it has happened,
                                            or is cancelled by mode null
pending --the run has it--> handed over     can no longer be cancelled
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from phasegraph import OfferedSession, OfferedStream

from ..model.resource_identity import format_tai, is_uuid, parse_tai
from ..model.resources import ActiveState, HostInterface
from ..model.run_view import EndpointView, LegView
from .transport_params import (
    RECEIVER,
    LegParams,
    PatchRefused,
    check_leg,
    constraints_of,
    is_multicast,
    params_of_view,
    resolve_legs,
)

MOST_SDP_CHARACTERS = 64 << 10
NO_ACTIVATION: dict[str, Any] = {"mode": None, "requested_time": None, "activation_time": None}
_MODES = ("activate_immediate", "activate_scheduled_absolute", "activate_scheduled_relative")
_ENCODINGS = ("L16", "L24")


class ConnectionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be staged, and what is active."""

    peer_id: str | None = None
    """``sender_id`` of a receiver, ``receiver_id`` of a sender."""
    master_enable: bool = False
    transport_file: str | None = None
    """A session description; of receivers."""
    legs: tuple[LegParams, ...] = ()


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """A request to make staged settings active."""

    mode: str
    requested_time: str | None
    due_ns: int | None
    """TAI; None for at once."""
    settings: ConnectionSettings
    """With every ``auto`` resolved."""


class ConnectionEndpoint:
    """One sender or receiver. Every method that fails raises PatchRefused and leaves all as it was."""

    def __init__(
        self,
        kind: str,
        id: str,
        view: EndpointView,
        interfaces: Sequence[HostInterface],
        parse_session: Callable[[str], OfferedSession],
        foreign_file: str | None = None,
    ) -> None:
        """``kind`` is ``sender`` or ``receiver``, ``id`` its UUID.

        ``foreign_file`` is the session description of a sender of another device, which nothing here can change.
        """
        self.kind = kind
        self.id = id
        self._bindings = [leg.interface for leg in view.legs]
        self.view = view
        self.interfaces = interfaces
        self._parse_session = parse_session
        self.foreign_file = foreign_file
        self.staged = self.active = self._settings_of(view)
        self.active_activation = dict(NO_ACTIVATION)
        self.pending: Activation | None = None
        self.handed_over = False
        """Whether the run has the pending activation."""
        self.changed_ns = 0
        """When the active settings changed."""
        self._settling = False
        """Whether the run may not show yet what was activated."""

    @property
    def constraints(self) -> list[dict[str, Any]]:
        """Constraints of each leg."""
        if self.foreign_file is not None:
            return [{name: {"enum": [value]} for name, value in leg.items()} for leg in self.active.legs]
        return constraints_of(self.kind, len(self.active.legs), self.interfaces)

    @property
    def subscription(self) -> ActiveState:
        """For the IS-04 resource."""
        name = "destination_ip"
        legs = self.active.legs
        multicast = self.kind == RECEIVER or not legs or is_multicast(legs[0][name])
        return ActiveState(active=self.active.master_enable, peer_id=self.active.peer_id, multicast=multicast)

    def follow(self, view: EndpointView, interfaces: Sequence[HostInterface]) -> bool:
        """Take over what the run has now. Returns whether the active settings changed, by another hand than ours."""
        self.interfaces = interfaces
        self.view = view = self._with_all_legs(view)
        unknown = view.enabled and all(leg.address is None for leg in view.legs)
        settings = self._settings_of(view)
        if self.pending is not None or self._settling or unknown or _streams(settings) == _streams(self.active):
            return False
        self.staged = self.active = settings
        self.active_activation = dict(NO_ACTIVATION)
        return True

    def settle(self) -> None:
        """The run shows what was activated: `follow` may take over from it again."""
        self._settling = False

    def patch(self, body: Any, now_ns: int) -> Activation | None:
        """Stage changes. Returns the activation that the body asks for, which is pending from now on."""
        if not isinstance(body, dict):
            raise PatchRefused(400, "the body is not an object")
        peer = "sender_id" if self.kind == RECEIVER else "receiver_id"
        known = {peer, "master_enable", "activation", "transport_params"}
        known |= {"transport_file"} if self.kind == RECEIVER else set()
        if unknown := [name for name in body if name not in known]:
            known_names = ", ".join(sorted(known))
            raise PatchRefused(400, f"there is no property {str(unknown[0])[:60]!r}; there are {known_names}")
        mode, requested, due_ns = self._read_activation(body, now_ns)
        self._check_lock(body, mode)
        staged = self._merge(body, peer)
        activation = None
        if mode is not None:
            resolved = msgspec.structs.replace(staged, legs=tuple(self._resolve(staged)))
            self._check_settings(resolved)
            if self.foreign_file is not None:
                raise PatchRefused(
                    400, "this sender is of another device, which has no NMOS API: it can only be received"
                )
            activation = Activation(mode=mode, requested_time=requested, due_ns=due_ns, settings=resolved)
        self.staged = staged
        self.pending, self.handed_over = activation, False
        return activation

    def finish(self, activation: Activation, tai_ns: int) -> None:
        """The run has done it at ``tai_ns``, though it may not show it before `settle`."""
        self.active = activation.settings
        self.active_activation = {
            "mode": activation.mode,
            "requested_time": activation.requested_time,
            "activation_time": format_tai(tai_ns),
        }
        self.changed_ns = tai_ns
        self._settling = True
        if self.pending is activation:
            self.pending = None

    def abandon(self, activation: Activation) -> None:
        """The run has not done it: nothing is active that was not before."""
        if self.pending is activation:
            self.pending = None

    def offered_stream(self, settings: ConnectionSettings) -> OfferedStream | None:
        """What the session description of settings says of the stream; None where there is none."""
        if settings.transport_file is None:
            return None
        return self._parse_session(settings.transport_file).streams[0]

    def staged_body(self, activation: Activation | None = None, tai_ns: int | None = None) -> dict[str, Any]:
        """The body of ``/staged``; after an immediate activation, as the answer to its PATCH has it."""
        shown = self.pending if activation is None else activation
        times: dict[str, Any] = dict(NO_ACTIVATION)
        if shown is not None:
            at = tai_ns if tai_ns is not None else shown.due_ns
            times = {
                "mode": shown.mode,
                "requested_time": shown.requested_time,
                "activation_time": format_tai(at) if at is not None else None,
            }
            if activation is None and shown.due_ns is None:
                times = dict(NO_ACTIVATION)
        return self._body(self.staged, times)

    def active_body(self) -> dict[str, Any]:
        """The body of ``/active``."""
        return self._body(self.active, self.active_activation)

    def _body(self, settings: ConnectionSettings, activation: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "sender_id" if self.kind == RECEIVER else "receiver_id": settings.peer_id,
            "master_enable": settings.master_enable,
            "activation": activation,
            "transport_params": copy.deepcopy(list(settings.legs)),
        }
        if self.kind == RECEIVER:
            data = settings.transport_file
            body["transport_file"] = {"data": data, "type": None if data is None else "application/sdp"}
        return body

    def _with_all_legs(self, view: EndpointView) -> EndpointView:
        # A stream of one leg leaves the second leg of a receiver idle: it stays a part of it.
        missing = (LegView(interface=interface) for interface in self._bindings[len(view.legs) :])
        return msgspec.structs.replace(view, legs=(*view.legs[: len(self._bindings)], *missing))

    def _settings_of(self, view: EndpointView) -> ConnectionSettings:
        connected = view.legs[0].address is not None
        legs = (
            params_of_view(
                self.kind,
                leg,
                self.interfaces,
                enabled=leg.address is not None or not connected,
                foreign=self.foreign_file is not None,
            )
            for leg in view.legs
        )
        return ConnectionSettings(master_enable=view.enabled and connected, legs=tuple(legs))

    def _read_activation(self, body: dict[str, Any], now_ns: int) -> tuple[str | None, str | None, int | None]:
        # Mode, requested time and due time. Raises PatchRefused.
        if "activation" not in body:
            return None, None, None
        activation = body["activation"]
        if not isinstance(activation, dict) or "mode" not in activation:
            raise PatchRefused(400, "activation is an object with a mode")
        if unknown := [name for name in activation if name not in ("mode", "requested_time")]:
            raise PatchRefused(400, f"activation has no property {str(unknown[0])[:60]!r}")
        mode, requested = activation["mode"], activation.get("requested_time")
        if mode is not None and mode not in _MODES:
            raise PatchRefused(400, f"mode is null, or one of {', '.join(_MODES)}")
        time_ns = parse_tai(requested) if isinstance(requested, str) else None
        if requested is not None and time_ns is None:
            raise PatchRefused(400, "requested_time is null, or a TAI time as SECONDS:NANOSECONDS")
        if mode is None or mode == "activate_immediate":
            return mode, None, None
        if time_ns is None:
            raise PatchRefused(400, f"{mode} needs a requested_time")
        return mode, requested, time_ns + (now_ns if mode == "activate_scheduled_relative" else 0)

    def _check_lock(self, body: dict[str, Any], mode: str | None) -> None:
        if self.pending is None:
            return
        cancels = "activation" in body and mode is None
        if self.handed_over or self.pending.due_ns is None:
            raise PatchRefused(423, "an activation is being carried out, and can no longer be cancelled")
        if not cancels:
            raise PatchRefused(423, "an activation is scheduled; cancel it with an activation whose mode is null")

    def _merge(self, body: dict[str, Any], peer: str) -> ConnectionSettings:
        staged = self.staged
        if peer in body:
            if body[peer] is not None and not is_uuid(body[peer]):
                raise PatchRefused(400, f"{peer} is null, or a UUID in small letters")
            staged = msgspec.structs.replace(staged, peer_id=body[peer])
        if "master_enable" in body:
            if not isinstance(body["master_enable"], bool):
                raise PatchRefused(400, "master_enable is true or false")
            staged = msgspec.structs.replace(staged, master_enable=body["master_enable"])
        if "transport_file" in body:
            staged = self._merge_file(staged, body["transport_file"])
        if "transport_params" in body:
            legs = body["transport_params"]
            if not isinstance(legs, list) or len(legs) != len(staged.legs):
                raise PatchRefused(400, f"transport_params is a list with {len(staged.legs)} legs, as in constraints")
            changes = map(check_leg, [self.kind] * len(legs), legs, self.constraints)
            merged = tuple({**leg, **change} for leg, change in zip(staged.legs, changes, strict=True))
            staged = msgspec.structs.replace(staged, legs=merged)
        return staged

    def _merge_file(self, staged: ConnectionSettings, file: Any) -> ConnectionSettings:
        if not isinstance(file, dict) or set(file) - {"data", "type"} or "data" not in file:
            raise PatchRefused(400, "transport_file is an object with data and type")
        data, type = file["data"], file.get("type")
        if data is None:
            if type is not None and not isinstance(type, str):
                raise PatchRefused(400, "the type of a transport_file is a string or null")
            return msgspec.structs.replace(staged, transport_file=None)
        if not isinstance(data, str) or not isinstance(type, str):
            raise PatchRefused(400, "data and type of a transport_file are both strings, or both null")
        if type.partition(";")[0].strip().lower() != "application/sdp":
            raise PatchRefused(400, f"the type of a transport_file is application/sdp, not {type[:60]!r}")
        if len(data) > MOST_SDP_CHARACTERS:
            raise PatchRefused(400, f"the session description is longer than {MOST_SDP_CHARACTERS >> 10} KiB")
        offer = self._read_offer(data)
        first = offer.streams[0]
        second = next((stream for stream in offer.streams if stream.dup_of == 0), None)
        legs = list(staged.legs)
        for number, stream in enumerate((first, second)[: len(legs)]):
            if stream is None:
                legs[number] = {**legs[number], "rtp_enabled": False}
                continue
            multicast = is_multicast(stream.group)
            changes: LegParams = {
                "multicast_ip": stream.group if multicast else None,
                "source_ip": stream.source_filter,
                "destination_port": stream.port,
                "rtp_enabled": True,
            }
            if not multicast and any(stream.group == interface.address for interface in self.interfaces):
                changes["interface_ip"] = stream.group
            legs[number] = {**legs[number], **changes}
        return msgspec.structs.replace(staged, transport_file=data, legs=tuple(legs))

    def _read_offer(self, data: str) -> OfferedSession:
        try:
            offer = self._parse_session(data)
        except ValueError as error:
            raise PatchRefused(400, f"the session description is not usable: {error}") from None
        first, view = offer.streams[0], self.view
        encodings = ("AM824",) if view.encoding == "AM824" else _ENCODINGS
        if first.encoding not in encodings:
            raise PatchRefused(
                400, f"the stream is {first.encoding}, and this receiver takes {' and '.join(encodings)}"
            )
        if first.rate != view.rate:
            raise PatchRefused(400, f"the stream has {first.rate} Hz, and this receiver takes {view.rate} Hz")
        if first.channels != view.channels:
            raise PatchRefused(
                400, f"the stream has {first.channels} channels, and this receiver takes {view.channels}"
            )
        return offer

    def _resolve(self, staged: ConnectionSettings) -> list[LegParams]:
        return resolve_legs(self.kind, staged.legs, self.view, self.interfaces, group_of(self.id))

    def _check_settings(self, settings: ConnectionSettings) -> None:
        if self.kind == RECEIVER or not settings.master_enable:
            return
        if not any(leg["rtp_enabled"] for leg in settings.legs):
            raise PatchRefused(400, "every leg of this sender is disabled: set master_enable to false")


def _streams(settings: ConnectionSettings) -> list[tuple[Any, ...]]:
    # What is received or sent: legs that are off, and the order of legs, make no difference.
    if not settings.master_enable:
        return []
    return sorted(
        (
            str(leg.get("multicast_ip") or leg.get("destination_ip") or leg["interface_ip"]),
            leg["destination_port"],
            str(leg["source_ip"]),
        )
        for leg in settings.legs
        if leg["rtp_enabled"]
    )


def group_of(id: str) -> str:
    """A multicast address for a sender that has none: in 239.192.0.0/14 (RFC 2365), the same for the same UUID."""
    number = int(id.replace("-", ""), 16) % (1 << 18)
    return f"239.{192 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
