"""The senders of a run: sockets, groups, and the step that the data plane calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from phasegraph import ClockReader, LocalClock, NodeContext, NodeError, duration_of
from phasegraph.net import Interface, Sender

from ..interface_lookup import find_interface
from ..options import Pacing
from .egress import Ways
from .launch_time import ahead_of
from .paced_stream import Member, SendGroup

GATHER_NS = 30_000_000
"""Streams that start within so much time, and have the same timing, are sent together; so often we look for more."""
LOOK_NS = 5_000_000_000
"""How often it is looked whether the interfaces have the queue that holds packets."""

_Key = tuple[int, int, int, int, int, tuple[Interface, ...], int, int]


class _Pending(msgspec.Struct):
    # Streams that wait to become a group.
    clock: ClockReader
    lead_ns: int
    ahead_ns: int
    reason: str
    senders: Sequence[Sender]
    since_ns: int
    members: list[Member] = []

    def group(self, local: LocalClock) -> SendGroup:
        group = SendGroup(self.members, self.senders, self.clock, local, self.lead_ns, self.ahead_ns)
        if self.ahead_ns:
            group.hold(self.reason)
        return group


class SendHub:
    """Sends the streams of all ``aes67`` sinks of a run. Shared by them."""

    def __init__(self, ctx: NodeContext) -> None:
        self._network = ctx.network
        self._local = ctx.local
        self._ways: dict[tuple[int, int, bool], Ways] = {}
        """By TTL, DSCP, and whether packets are to be held."""
        self._look_at_ns = 0
        self._joining: deque[tuple[_Key, Member, _Pending]] = deque()
        """The way from the control plane to the data plane's thread, which alone changes what follows."""
        self._pending: dict[_Key, _Pending] = {}
        self._groups: tuple[SendGroup, ...] = ()
        ctx.attach(self.step)

    def interface(self, name: str) -> Interface:
        """The interface to send through. Raises NodeError."""
        return find_interface(self._network.interface, name)

    def add(
        self,
        member: Member,
        *,
        clock: ClockReader,
        lead_ns: int,
        interfaces: tuple[Interface, ...],
        ttl: int,
        dscp: int,
        pacing: Pacing = "auto",
    ) -> None:
        """Send a stream from now on, each leg by its interface. Raises NodeError with a remedy."""
        packetiser = member.packetiser
        rate, frames = packetiser.parameters.rate, packetiser.frames_per_packet
        addresses = [address for address, _ in member.destinations]
        packet_ns = duration_of(frames, rate)
        ahead = ahead_of(pacing, addresses=addresses, follows=member.follows, lead_ns=lead_ns, packet_ns=packet_ns)
        ways = self._ways.setdefault((ttl, dscp, ahead.ns > 0), Ways(self._network, ttl, dscp, "send"))
        senders = [ways.by(interface) for interface in interfaces]
        member.reason = ahead.reason
        reason = _why_not_scheduled(senders) if ahead.ns else ahead.reason
        if reason and pacing == "queue":
            raise NodeError(reason, "or leave pacing out, and our thread paces where the queue cannot", option="pacing")
        pending = _Pending(clock, lead_ns, ahead.ns, reason, senders, self._local.now_ns())
        timing = (id(clock), rate, frames, lead_ns, ahead.ns)
        self._joining.append(((*timing, interfaces, ttl, dscp), member, pending))

    def look(self) -> None:
        """Control plane, now and again: have packets early where the interfaces hold them by now, and only there."""
        now_ns = self._local.now_ns()
        if now_ns < self._look_at_ns:
            return
        self._look_at_ns = now_ns + LOOK_NS
        for group in self._groups:
            if group.ahead_ns and not group.done:
                group.hold(_why_not_scheduled(group.senders))

    def move(self, before: Interface, now: Interface) -> None:
        """Control plane: send by one interface what was sent by another. Raises NodeError."""
        for ways in self._ways.values():
            ways.move(before, now)
        self._look_at_ns = 0  # its queue is another one
        self.look()

    def group_of(self, member: Member) -> SendGroup | None:
        """The group that sends a stream, once there is one."""
        return next((group for group in self._groups if member in group.members), None)

    def remove(self, member: Member) -> None:
        """Stop sending a stream."""
        member.done = True
        group = self.group_of(member)
        if group is not None:
            group.remove(member)

    def step(self, now_ns: int) -> int:
        """Data plane: send what is due, then prepare what will be."""
        if self._joining or self._pending:
            self._form_groups(now_ns)
        following = now_ns + GATHER_NS
        for group in self._groups:
            if not group.done:
                group.send_due(now_ns)
                following = min(following, group.due())
        for group in self._groups:
            if not group.done:
                group.prepare(following)
        return following

    def _form_groups(self, now_ns: int) -> None:
        while self._joining:
            key, member, fresh = self._joining.popleft()
            self._pending.setdefault(key, fresh).members.append(member)
        for key in [key for key, pending in self._pending.items() if now_ns - pending.since_ns >= GATHER_NS]:
            pending = self._pending.pop(key)
            group = pending.group(self._local)
            self._groups = (*self._groups, group)
            for member in pending.members:
                if member.done:  # removed before its group was there to be told
                    group.remove(member)

    def close(self) -> None:
        """Close the sockets."""
        for ways in self._ways.values():
            ways.close()


def _why_not_scheduled(senders: Sequence[Sender]) -> str:
    return next((reason for sender in senders if (reason := sender.schedule())), "")
