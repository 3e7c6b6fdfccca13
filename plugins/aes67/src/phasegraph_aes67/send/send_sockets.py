"""The sending side of a run: sockets, groups of streams, and the step that the data plane calls."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Sequence

import msgspec

from phasegraph import ClockReader, LocalClock, NodeContext, NodeError, duration_of
from phasegraph.net import Interface, Sender

from ..interface_lookup import interface_or_route
from ..options import Pacing
from .egress import Egress, EgressSet
from .launch_time import IO_URING, MAX_EARLY_NS_OF_RING, early_limit
from .paced_stream import PacedStream, StreamGroup

GATHER_NS = 30_000_000
"""Streams with the same timing that start within this time form one group; the longest pause between two steps, unless
io_uring has packets of one of them: its batches are farther apart."""
QDISC_CHECK_NS = 5_000_000_000
"""How often the interfaces are checked for the queue that knows launch times."""

_NO_PRIORITY = (
    "the run has no real-time priority: other programs stall its thread, and io_uring sends the packets of a stall at "
    "once; permit the priority, or leave pacing out"
)

_Key = tuple[int, int, int, int, int, bool, tuple[Interface, ...], int, int]


class _Pending(msgspec.Struct):
    # Streams that wait to become a group.
    clock: ClockReader
    lead_ns: int
    max_early_ns: int
    by_ring: bool
    senders: Sequence[Egress]
    since_ns: int
    streams: list[PacedStream] = []

    def group(self, local: LocalClock) -> StreamGroup:
        group = StreamGroup(
            self.streams, self.senders, self.clock, local, self.lead_ns, self.max_early_ns, by_ring=self.by_ring
        )
        if self.max_early_ns:
            group.set_launch(next((egress.launch_reason for egress in self.senders if egress.launch_reason), ""))
        return group


class SendSockets:
    """Sends the streams of all ``aes67`` sinks of a run. Shared by them."""

    def __init__(self, ctx: NodeContext) -> None:
        self._network = ctx.network
        self._local = ctx.local
        self._event = ctx.event
        self._has_warned = False
        self._egresses: dict[tuple[int, int, bool, bool], EgressSet] = {}
        """By TTL, DSCP, whether packets may be early, whether io_uring gets them. Used by the control plane alone."""
        self._qdisc_check_ns = 0
        self._joining: deque[tuple[_Key, PacedStream, _Pending]] = deque()
        self._leaving: deque[PacedStream] = deque()
        """Both lead from the control plane to the data plane's thread, which alone changes what follows."""
        self._pending: dict[_Key, _Pending] = {}
        self._groups: tuple[StreamGroup, ...] = ()
        self._pause_ns = GATHER_NS
        """The longest pause until the next step."""
        ctx.attach(self.step)

    def obstacles(self, interface: Interface) -> Sequence[str]:
        """What the system knows to keep packets from leaving by an interface."""
        return self._network.obstacles(interface)

    def interface(self, name: str) -> Interface:
        """The interface to send through. Raises NodeError."""
        return interface_or_route(self._network.interface, name)

    def add(
        self,
        stream: PacedStream,
        *,
        clock: ClockReader,
        lead_ns: int,
        interfaces: tuple[Interface, ...],
        ttl: int,
        dscp: int,
        pacing: Pacing = "auto",
    ) -> None:
        """Send a stream from now on, each leg through its interface. Raises NodeError with a remedy."""
        packetiser = stream.packetiser
        rate, frames = packetiser.parameters.rate, packetiser.frames_per_packet
        limit = early_limit(
            pacing,
            addresses=[address for address, _ in stream.destinations],
            can_read_ahead=stream.can_read_ahead,
            lead_ns=lead_ns,
            packet_ns=duration_of(frames, rate),
        )
        by_ring = pacing == IO_URING
        egresses = self._egresses.setdefault(
            (ttl, dscp, limit.ns > 0, by_ring), EgressSet(self._network, self._local, ttl, dscp, "send")
        )
        senders = [egresses.through(interface) for interface in interfaces]
        reason = _why_not_scheduled(senders, by_ring=by_ring) if limit.ns else limit.reason
        stream.launch_reason = limit.reason
        if reason and pacing in ("queue", IO_URING):
            remedy = "or leave pacing out, and our thread paces where the system cannot"
            raise NodeError(reason, remedy, option="pacing")
        if by_ring and not self._has_warned and not _has_priority():
            self._has_warned = True
            self._event("io_uring_without_priority", reason=_NO_PRIORITY)
        pending = _Pending(clock, lead_ns, limit.ns, by_ring, senders, self._local.now_ns())
        timing = (id(clock), rate, frames, lead_ns, limit.ns, by_ring)
        self._joining.append(((*timing, interfaces, ttl, dscp), stream, pending))

    def check_qdiscs(self) -> None:
        """Control plane, now and then: use launch times through the interfaces that have the queue by now."""
        now_ns = self._local.now_ns()
        if now_ns < self._qdisc_check_ns:
            return
        self._qdisc_check_ns = now_ns + QDISC_CHECK_NS
        for group in self._groups:
            if group.schedule.max_early_ns and not group.done:
                group.set_launch(_why_not_scheduled(group.senders, by_ring=group.by_ring))

    def change_interface(self, before: Interface, now: Interface) -> None:
        """Control plane: send through ``now`` what was sent through ``before``. Raises NodeError."""
        for egresses in self._egresses.values():
            egresses.move_egress(before, now)
        self._qdisc_check_ns = 0  # its queue is another one
        self.check_qdiscs()

    def remove(self, stream: PacedStream) -> None:
        """Control plane: stop sending a stream, before the next packet."""
        self._leaving.append(stream)

    def step(self, now_ns: int) -> int:
        """Data plane: send what is due, then prepare what will be."""
        if self._joining or self._pending or self._leaving:
            self._form_groups(now_ns)
        following = now_ns + self._pause_ns
        for group in self._groups:
            if not group.done:
                group.send_due(now_ns)
                following = min(following, group.due_ns())
        for group in self._groups:
            if not group.done:
                group.prepare(following)
        return following

    def _form_groups(self, now_ns: int) -> None:
        leaving = [self._leaving.popleft() for _ in range(len(self._leaving))]
        while self._joining:
            key, stream, fresh = self._joining.popleft()
            self._pending.setdefault(key, fresh).streams.append(stream)
        for stream in leaving:
            if stream.group is not None:
                stream.group.remove(stream)
            for pending in self._pending.values():
                pending.streams[:] = [other for other in pending.streams if other is not stream]
        if leaving:
            self._groups = tuple(group for group in self._groups if not group.done)
        for key in [key for key, pending in self._pending.items() if now_ns - pending.since_ns >= GATHER_NS]:
            pending = self._pending.pop(key)
            if pending.streams:
                running = [group for group in self._groups if not group.done]
                self._groups = (*running, pending.group(self._local))
        waits = not self._pending and any(group.by_ring for group in self._groups)
        self._pause_ns = MAX_EARLY_NS_OF_RING if waits else GATHER_NS

    def close(self) -> None:
        """Close the sockets."""
        for egresses in self._egresses.values():
            egresses.close()


def _why_not_scheduled(senders: Sequence[Sender], *, by_ring: bool) -> str:
    return next((reason for sender in senders if (reason := sender.schedule(by_ring=by_ring))), "")


def _has_priority() -> bool:
    # The control plane's thread, which asks, has real-time priority only where the data plane has it.
    return sys.platform == "linux" and os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK != os.SCHED_OTHER
