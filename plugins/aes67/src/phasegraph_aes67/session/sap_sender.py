"""Sends the announcements of all sinks of a run, through one socket for each interface."""

from __future__ import annotations

import numpy as np

from phasegraph import LocalClock, NodeContext
from phasegraph.net import Interface

from ..send.egress import Egress, EgressSet, is_same_egress
from . import sap
from .sap_announcer import DELETIONS, TTL, SapAnnouncer


class SapSender:
    """Sends announcements that are due, to both groups. Shared by the ``aes67`` sinks of a run."""

    def __init__(self, ctx: NodeContext) -> None:
        self._local: LocalClock = ctx.local
        self._egresses = EgressSet(ctx.network, ctx.local, TTL, 0, "announce")
        self._announcers: dict[SapAnnouncer, Egress] = {}

    def add_announcer(self, interface: Interface, seed: int) -> SapAnnouncer:
        """One more session, announced by an interface. Raises NodeError."""
        egress = self._egresses.through(interface)
        announcer = SapAnnouncer(interface.address, seed)
        self._announcers[announcer] = egress
        return announcer

    def move_announcements(self, before: Interface, now: Interface) -> None:
        """Announce through ``now`` what was announced through ``before``. Raises NodeError."""
        self._egresses.move_egress(before, now)
        for announcer, egress in self._announcers.items():
            if is_same_egress(egress.interface, now) and announcer.due_ns is not None:
                announcer.origin, announcer.due_ns = now.address, self._local.now_ns()

    def send_due(self, announcer: SapAnnouncer) -> None:
        """Announce a session if its time has come."""
        now = self._local.now_ns()
        if announcer.is_due(now):
            total = sum(other.octets for other in self._announcers)
            self._send_to_groups(self._announcers[announcer], announcer.next_packet(now, total))

    def withdraw(self, announcer: SapAnnouncer) -> None:
        """Announce that a session has ended, if it was announced."""
        sender = self._announcers.pop(announcer)
        if announcer.due_ns is not None:
            packet = announcer.deletion_packet()
            for _ in range(DELETIONS):
                self._send_to_groups(sender, packet)

    def close(self) -> None:
        """Close the sockets."""
        self._egresses.close()

    @staticmethod
    def _send_to_groups(sender: Egress, packet: bytes) -> None:
        count = len(sap.GROUPS)
        buffer = sender.buffer(count, len(packet), [(group, sap.PORT) for group in sap.GROUPS])
        buffer.data[:] = np.frombuffer(packet, np.uint8)
        buffer.length[:] = len(packet)
        sender.send(buffer, 0, count)
