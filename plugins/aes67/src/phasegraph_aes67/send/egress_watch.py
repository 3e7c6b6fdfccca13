"""Watches what a sink sends by: an interface that disappears and comes back, and packets that the system refuses."""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import Callable, Sequence

from phasegraph import Metric, NodeError, format_duration
from phasegraph.net import Interface

from .egress import is_same_egress

BEHIND_NS = 50_000_000
"""Lateness of a packet that most receivers drop."""
EmitEvent = Callable[[str, dict[str, Metric]], None]


class InterfaceWatch:
    """Notices when the interface of a leg has disappeared or come back. Called from the control plane."""

    def __init__(self, name: str, interface: Interface, label: dict[str, Metric], emit_event: EmitEvent) -> None:
        """``name`` is the graph's; ``label`` are further fields of every event."""
        self.name = name
        self.label = label
        self.interface = interface
        """As it was when it was last found."""
        self._fields: dict[str, Metric] = {**label, "interface": name}
        self._emit_event = emit_event
        self._errors = 0
        self._lost = False

    def check(
        self,
        errors: int,
        find: Callable[[str], Interface],
        change_interface: Callable[[Interface, Interface], None],
    ) -> bool:
        """Find the interface again where ``errors``, a count of refused packets, has risen since the last check.

        Returns whether it has come back; ``change_interface`` has then been called with what it was and what it is.
        """
        if not self.name or (errors == self._errors and not self._lost):
            return False
        self._errors = errors
        try:
            now = find(self.name)
            back = self._lost or not is_same_egress(now, self.interface)
            if back:
                change_interface(self.interface, now)
        except NodeError:
            self._lose()
            return False
        if back:
            self._lose()
            self._emit_event("interface_found", self._fields)
            self.interface, self._lost = now, False
        return back

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._emit_event("interface_lost", self._fields)


class RefusalWatch:
    """Explains refused packets of a leg: an event for each new cause, and a trouble while it goes on."""

    def __init__(
        self, address: str, interface: str, label: dict[str, Metric], emit_event: EmitEvent, errors: int = 0
    ) -> None:
        """``interface`` is its name in the graph, empty where the routes choose it; ``errors`` are not to explain."""
        self.trouble = ""
        """Why packets were refused since the last check but one, and the remedy."""
        self._address = address
        self._interface = interface
        self._label = label
        self._emit_event = emit_event
        self._errors = errors
        self._reported: set[int] = set()

    def check(self, errors: int, code: int, obstacles: Callable[[], Sequence[str]]) -> None:
        """Compare the count of refused packets with the last; ``code`` is the errno of the newest one.

        ``obstacles`` gives what the system knows to be in the way: see `phasegraph.net.Network.obstacles`.
        """
        if errors == self._errors:
            self.trouble = ""
            return
        self._errors = errors
        reason = f"{os.strerror(code)} ({errno.errorcode.get(code, code)})" if code else "no reason is given"
        found = obstacles() if code in _UNREACHABLE else ()
        remedy = found[0] if found else _remedy(code, self._address, self._interface)
        self.trouble = f"the system refuses packets to {self._address}: {reason}" + (f"; {remedy}" if remedy else "")
        if code not in self._reported:
            self._reported.add(code)
            fields: dict[str, Metric] = {**self._label, "address": self._address, "reason": reason, "remedy": remedy}
            self._emit_event("sending_refused", fields)


class PacingWatch:
    """Notices a sender that stays behind its schedule: it catches up after a stall, unless packets are too many."""

    def __init__(self, emit_event: EmitEvent) -> None:
        self.trouble = ""
        """How late packets leave, and the remedy, since the last check but one."""
        self._emit_event = emit_event
        self._was_behind = self._reported = False

    def check(self, behind_ns: int) -> None:
        """``behind_ns`` is how late the newest packet left."""
        behind = behind_ns > BEHIND_NS
        self.trouble = ""
        if behind and self._was_behind:
            self.trouble = (
                f"packets leave {format_duration(behind_ns)} after their time: this machine is too slow for them; "
                "lengthen packet-time, send fewer streams, or give the run more of the processor"
            )
            if not self._reported:
                self._reported = True
                self._emit_event("sender_behind", {"behind_ns": behind_ns})
        self._was_behind = behind


_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH)


def _remedy(code: int, address: str, interface: str) -> str:
    multicast = ipaddress.IPv4Address(address).is_multicast
    if code in _UNREACHABLE:
        if not multicast:
            return f"no route leads to {address}: check the address and the routes (ip route get {address})"
        if interface:
            return f"add a route: ip route add 224.0.0.0/4 dev {interface}"
        return "name the interface with the option interface, or add a route: ip route add 224.0.0.0/4 dev NAME"
    if code == errno.EMSGSIZE:
        return "shorten packet-time, send fewer channels, or raise the MTU of the interface"
    if code in (errno.ENOBUFS, errno.EAGAIN):
        return "the send buffer is full: send fewer streams, or use a faster link"
    if code in (errno.EPERM, errno.EACCES):
        return "a firewall rule forbids it (nft list ruleset)"
    if code in (errno.ENETDOWN, errno.ENODEV):
        return "the interface is down: check its cable, or switch it on (ip link set NAME up)"
    return ""
