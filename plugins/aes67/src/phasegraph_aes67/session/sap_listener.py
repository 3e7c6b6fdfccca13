"""Listening to session announcements (SAP), on both groups."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
from collections import Counter

from phasegraph import LocalClock, NodeContext, NodeError
from phasegraph.net import Interface, Network, port_holders

from . import sap

PACKET_BYTES = 8192
INTERFACE_CHECK_NS = 2_000_000_000
"""How often the interface is checked: it may have gone, and come back as another one."""
_BATCH = 64
"""Packets that are read at one poll; a flood of more is left to the system to drop."""


class SapListener:
    """Keeps the table of the sessions that are announced on one interface, as of the last poll."""

    def __init__(self, network: Network, local: LocalClock, interface: Interface) -> None:
        """Raises OSError where it cannot listen."""
        self.table = sap.SessionTable()
        self.refused: Counter[str] = Counter()
        """Packets that were not announcements, by reason."""
        self._network = network
        self._local = local
        self._interface = interface
        self._joined = True
        self._check_ns = local.now_ns() + INTERFACE_CHECK_NS
        self._receiver = network.receiver(sap.PORT, batch=_BATCH, packet_bytes=PACKET_BYTES)
        for group in sap.GROUPS:
            self._receiver.join(group, interface)

    def poll(self) -> list[sap.SapChange]:
        """What has changed since the last poll."""
        now = self._local.now_ns()
        if now >= self._check_ns:
            self._check_ns = now + INTERFACE_CHECK_NS
            self._check_interface()
        changes = self.table.expire(now)
        batch = self._receiver.receive()
        for row in range(batch.count):
            length = int(batch.length[row])
            source = str(ipaddress.IPv4Address(int(batch.source[row])))
            try:
                if length < 0:
                    raise sap.MalformedSap(sap.SapRejection.TRUNCATED, f"longer than {PACKET_BYTES} bytes")
                change = self.table.apply_announcement(sap.decode(bytes(batch.data[row, :length])), now, source)
            except sap.MalformedSap as refusal:
                self.refused[refusal.reason.value] += 1
                continue
            if change is not None:
                changes.append(change)
        return changes

    def _check_interface(self) -> None:
        # The system forgets the memberships of an interface that goes away.
        if not self._interface.name:
            return
        try:
            now = self._network.interface(self._interface.name)
            if self._joined and (now.index, now.address) == (self._interface.index, self._interface.address):
                return
            for group in sap.GROUPS:
                with contextlib.suppress(OSError):  # where the old membership has gone with the interface
                    self._receiver.leave(group, self._interface)
                self._receiver.join(group, now)
        except OSError:
            self._joined = False
        else:
            self._interface, self._joined = now, True

    def close(self) -> None:
        """Stop listening."""
        self._receiver.close()


class SapListeners:
    """The listeners of a run, one per interface. Shared by the ``aes67`` sources that name a session."""

    def __init__(self, ctx: NodeContext) -> None:
        self._network = ctx.network
        self._local = ctx.local
        self._listeners: dict[Interface, SapListener] = {}

    def on(self, interface: Interface) -> SapListener:
        """The listener of an interface. Raises NodeError."""
        if interface not in self._listeners:
            try:
                self._listeners[interface] = SapListener(self._network, self._local, interface)
            except OSError as error:
                raise _refused(error) from error
        return self._listeners[interface]

    def close(self) -> None:
        """Stop listening."""
        for listener in self._listeners.values():
            listener.close()


def _refused(error: OSError) -> NodeError:
    reason, remedy = error.strerror or str(error), "name the interface with the option interface"
    if error.errno == errno.EADDRINUSE:
        holders = " and ".join(port_holders(sap.PORT)) or "another program"
        reason, remedy = (
            f"UDP port {sap.PORT} is held by {holders}",
            "stop that program, or give sdp instead of session",
        )
    return NodeError(f"cannot listen to session announcements: {reason}", remedy, option="session")
