"""The announcements of a run: what its sinks announce, through one socket per interface."""

from __future__ import annotations

import numpy as np

from phasegraph import LocalClock, NodeContext, NodeError
from phasegraph.net import Interface, Sender

from . import sap
from .announce import FAREWELLS, TTL, Announcer


class Announcements:
    """Sends what is due, to both groups. Shared by the ``aes67`` sinks of a run."""

    def __init__(self, ctx: NodeContext) -> None:
        self._network = ctx.network
        self._local: LocalClock = ctx.local
        self._senders: dict[Interface, Sender] = {}
        self._announcers: dict[Announcer, Sender] = {}

    def open(self, interface: Interface, seed: int) -> Announcer:
        """One more session, announced by an interface. Raises NodeError."""
        if interface not in self._senders:
            try:
                self._senders[interface] = self._network.sender(interface, ttl=TTL, dscp=0)
            except OSError as error:
                raise NodeError(f"cannot announce through {interface.address}: {error.strerror}") from error
        announcer = Announcer(interface.address, seed)
        self._announcers[announcer] = self._senders[interface]
        return announcer

    def send_due(self, announcer: Announcer) -> None:
        """Announce a session if its time has come."""
        now = self._local.now_ns()
        if announcer.is_due(now):
            total = sum(other.octets for other in self._announcers)
            self._send(self._announcers[announcer], announcer.packet(now, total))

    def withdraw(self, announcer: Announcer) -> None:
        """Say that a session is over, if it was announced."""
        sender = self._announcers.pop(announcer)
        if announcer.due_ns is not None:
            packet = announcer.farewell()
            for _ in range(FAREWELLS):
                self._send(sender, packet)

    def close(self) -> None:
        """Close the sockets."""
        for sender in self._senders.values():
            sender.close()

    @staticmethod
    def _send(sender: Sender, packet: bytes) -> None:
        count = len(sap.GROUPS)
        buffer = sender.buffer(count, len(packet), [(group, sap.PORT) for group in sap.GROUPS])
        buffer.data[:] = np.frombuffer(packet, np.uint8)
        buffer.length[:] = len(packet)
        sender.send(buffer, 0, count)
