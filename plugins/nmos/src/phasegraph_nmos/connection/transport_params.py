"""The transport parameters of RTP legs (IS-05 v1.1, "RTP transport type"): constraints, checks, the word ``auto``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..model.resources import HostInterface, interface_of
from ..model.run_view import EndpointView, LegView

LegParams = dict[str, Any]
RECEIVER = "receiver"
SENDER = "sender"
DEFAULT_PORT = 5004
SYSTEM_PORT = 0
"""The source port that a sender has: the system chooses it when the socket is opened."""
_IPV4 = r"^(\d{1,3}\.){3}\d{1,3}$"
_IPV4_OR_AUTO = r"^((\d{1,3}\.){3}\d{1,3}|auto)$"
_ADDRESSES = ("source_ip", "multicast_ip", "interface_ip", "destination_ip")
_PORTS = ("source_port", "destination_port")
_MAY_BE_NULL = {RECEIVER: ("source_ip", "multicast_ip"), SENDER: ()}
_MAY_BE_AUTO = {
    RECEIVER: ("interface_ip", "destination_port"),
    SENDER: ("source_ip", "destination_ip", "source_port", "destination_port"),
}


class PatchRefused(Exception):
    """A request that changes nothing: an HTTP status and a sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def constraints_of(kind: str, legs: int, interfaces: Sequence[HostInterface]) -> list[dict[str, Any]]:
    """The constraints of each leg: every parameter has an entry."""
    addresses = sorted({interface.address for interface in interfaces})
    local = {"enum": ["auto", *addresses]} if addresses else {}
    if kind == RECEIVER:
        leg = {
            "source_ip": {"pattern": _IPV4},
            "multicast_ip": {"pattern": _IPV4},
            "interface_ip": local,
            "destination_port": {},
            "rtp_enabled": {},
        }
    else:
        leg = {
            "source_ip": local,
            "destination_ip": {"pattern": _IPV4_OR_AUTO},
            "source_port": {"enum": ["auto", SYSTEM_PORT]},
            "destination_port": {},
            "rtp_enabled": {},
        }
    return [dict(leg) for _ in range(legs)]


def params_of_view(
    kind: str, leg: LegView, interfaces: Sequence[HostInterface], *, enabled: bool, foreign: bool = False
) -> LegParams:
    """The parameters of a leg as the run has it; ``foreign`` is a leg of another device's sender."""
    interface = interface_of(leg.interface, interfaces)
    local = interface.address if interface is not None else "127.0.0.1"
    if kind == SENDER:
        return {
            "source_ip": leg.source if foreign and leg.source is not None else local,
            "destination_ip": leg.address or local,
            "source_port": SYSTEM_PORT,
            "destination_port": leg.port,
            "rtp_enabled": enabled,
        }
    multicast = leg.address is not None and is_multicast(leg.address)
    return {
        "source_ip": leg.source,
        "multicast_ip": leg.address if multicast else None,
        "interface_ip": leg.address if leg.address is not None and not multicast else local,
        "destination_port": leg.port,
        "rtp_enabled": enabled,
    }


def check_leg(kind: str, leg: Any, constraints: Mapping[str, Mapping[str, Any]]) -> LegParams:
    """The changes of one leg. Raises PatchRefused."""
    if not isinstance(leg, dict):
        raise PatchRefused(400, "each leg of transport_params is an object; {} changes nothing")
    for name, value in leg.items():
        if name not in constraints:
            known = ", ".join(constraints)
            raise PatchRefused(400, f"this {kind} has no parameter {str(name)[:60]!r}; it has {known}")
        _check_type(kind, name, value)
        _check_constraint(name, value, constraints[name])
    return leg


def _check_type(kind: str, name: str, value: Any) -> None:
    if value is None and name in _MAY_BE_NULL[kind]:
        return
    if value == "auto" and name in _MAY_BE_AUTO[kind]:
        return
    if name == "rtp_enabled":
        if not isinstance(value, bool):
            raise PatchRefused(400, "rtp_enabled is true or false")
    elif name in _PORTS:
        least = 0 if name == "source_port" else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 65535:
            raise PatchRefused(400, f"{name} is a whole number from {least} to 65535")
    elif name in _ADDRESSES:
        _check_address(name, value)


def _check_address(name: str, value: Any) -> None:
    try:
        address = ipaddress.IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        raise PatchRefused(400, f"{name} {_short(value)} is not an IPv4 address") from None
    if name == "multicast_ip" and not address.is_multicast:
        raise PatchRefused(
            400, f"multicast_ip {value} is not a multicast address; for unicast it is null, and interface_ip counts"
        )
    if name == "source_ip" and address.is_multicast:
        raise PatchRefused(400, f"source_ip {value} is a multicast address, and no host can have it")


def _check_constraint(name: str, value: Any, constraint: Mapping[str, Any]) -> None:
    if value is None:
        return
    if "enum" in constraint and value not in constraint["enum"]:
        allowed = ", ".join(str(each) for each in constraint["enum"])
        raise PatchRefused(400, f"{name} {_short(value)} is not possible here: {allowed}")
    if "pattern" in constraint and isinstance(value, str) and re.search(constraint["pattern"], value) is None:
        raise PatchRefused(400, f"{name} {_short(value)} is not an IPv4 address")


def resolve_legs(
    kind: str, legs: Sequence[LegParams], view: EndpointView, interfaces: Sequence[HostInterface], group: str
) -> list[LegParams]:
    """The legs with every ``auto`` replaced. ``group`` is the address of a sender that has none of its own."""
    resolved = []
    for number, leg in enumerate(legs):
        own = view.legs[min(number, len(view.legs) - 1)]
        interface = interface_of(own.interface, interfaces) or interface_of("", interfaces)
        local = interface.address if interface is not None else "127.0.0.1"
        choices = {
            "source_ip": local,
            "interface_ip": local,
            "destination_ip": own.address or group,
            "source_port": SYSTEM_PORT,
            "destination_port": DEFAULT_PORT,
        }
        resolved.append({name: choices[name] if value == "auto" else value for name, value in leg.items()})
    return resolved


def is_multicast(address: str) -> bool:
    """Whether an IPv4 address is a multicast group."""
    return ipaddress.IPv4Address(address).is_multicast


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
