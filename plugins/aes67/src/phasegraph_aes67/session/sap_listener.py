"""Listening to session announcements (SAP), on both groups."""

from __future__ import annotations

import ipaddress
from collections import Counter

from phasegraph import LocalClock, NodeContext, NodeError
from phasegraph.net import Interface, Network

from . import sap

PACKET_BYTES = 8192
_BATCH = 64
"""Packets that are read at one poll; a flood of more is left to the system to drop."""


class SapListener:
    """Keeps the table of the sessions that are announced on one interface, as of the last poll."""

    def __init__(self, network: Network, local: LocalClock, interface: Interface) -> None:
        """Raises OSError where it cannot listen."""
        self.table = sap.SessionTable()
        self.refused: Counter[str] = Counter()
        """Packets that were not announcements, by reason."""
        self._local = local
        self._receiver = network.receiver(sap.PORT, batch=_BATCH, packet_bytes=PACKET_BYTES)
        for group in sap.GROUPS:
            self._receiver.join(group, interface)

    def poll(self) -> list[sap.SapChange]:
        """What has changed since the last poll."""
        now = self._local.now_ns()
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
                raise NodeError(
                    f"cannot listen to session announcements: {error.strerror or error}",
                    "name the interface with the option interface",
                    option="session",
                ) from error
        return self._listeners[interface]

    def close(self) -> None:
        """Stop listening."""
        for listener in self._listeners.values():
            listener.close()
