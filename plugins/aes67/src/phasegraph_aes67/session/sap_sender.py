"""The announcements of a run: what its sinks announce, through one socket per interface."""

from __future__ import annotations

import numpy as np

from phasegraph import LocalClock, NodeContext
from phasegraph.net import Interface

from ..send.egress import Way, Ways, is_same
from . import sap
from .sap_announcer import FAREWELLS, TTL, Announcer


class Announcements:
    """Sends what is due, to both groups. Shared by the ``aes67`` sinks of a run."""

    def __init__(self, ctx: NodeContext) -> None:
        self._local: LocalClock = ctx.local
        self._ways = Ways(ctx.network, TTL, 0, "announce")
        self._announcers: dict[Announcer, Way] = {}

    def open(self, interface: Interface, seed: int) -> Announcer:
        """One more session, announced by an interface. Raises NodeError."""
        way = self._ways.by(interface)
        announcer = Announcer(interface.address, seed)
        self._announcers[announcer] = way
        return announcer

    def move(self, before: Interface, now: Interface) -> None:
        """Announce by one interface what was announced by another. Raises NodeError."""
        self._ways.move(before, now)
        for announcer, way in self._announcers.items():
            if is_same(way.interface, now) and announcer.due_ns is not None:
                announcer.origin, announcer.due_ns = now.address, self._local.now_ns()

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
        self._ways.close()

    @staticmethod
    def _send(sender: Way, packet: bytes) -> None:
        count = len(sap.GROUPS)
        buffer = sender.buffer(count, len(packet), [(group, sap.PORT) for group in sap.GROUPS])
        buffer.data[:] = np.frombuffer(packet, np.uint8)
        buffer.length[:] = len(packet)
        sender.send(buffer, 0, count)
