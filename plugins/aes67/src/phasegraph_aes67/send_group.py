"""Pacing, without sockets of its own: streams whose packets fall due together, sent by one call each packet time.

Packet j of the group carries the frames from ``start + j * frames_per_packet`` on and leaves when its first frame's
media time plus the lead has come. Every due time is computed from the frame index, so that fractions of nanoseconds
are carried and nothing adds up. What can be prepared beforehand is prepared in the time between packets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from phasegraph import (
    ClockReader,
    Input,
    LocalClock,
    Metric,
    duration_of,
    frame_at,
    time_of_frame,
)
from phasegraph.net import Sender

from .histogram import Histogram
from .packetise import Packetiser

PREPARED_NS = 64_000_000
"""How much of a stream may lie ready to be sent."""
CHUNK = 32
"""Packets of a stream that are made at once: many enough to share the work, few enough to fit between two packets."""
HEAD_START_NS = 3_000_000
"""Time between joining and the first packet, to prepare it."""
STALL_NS = 1_000_000_000
"""A sender that is farther than this from its time (a suspended machine, a stepped clock) begins anew now."""
HURRY_NS = 1_000_000
"""Packets that are late follow at half the packet time, and at a quarter once they are as late as this: never closer."""
_GATHER = 256


def _nothing() -> None:
    pass


class Member:
    """One stream of a group."""

    def __init__(self, packetiser: Packetiser, source: Input, *destinations: tuple[str, int]) -> None:
        """``destinations`` has an address and port for each leg: the same packets go to all of them (ST 2022-7)."""
        self.packetiser = packetiser
        self.source = source
        self.destinations = destinations
        self.built = 0
        """Packets that are ready, counted from the group's first."""
        self.stop: int | None = None
        """The packet after the last one, once the input has ended."""
        self.done = False
        """Everything has been sent."""
        self.on_done: Callable[[], None] = _nothing
        """Called, in the data plane, when it has."""
        self.packets_sent = 0
        """Packets that left by at least one leg."""
        self.send_errors = [0] * len(destinations)
        """Packets that were refused, by leg."""


class SendGroup:
    """Streams with one clock, rate, packet time, lead, and the same sockets."""

    def __init__(
        self, members: Sequence[Member], senders: Sequence[Sender], clock: ClockReader, local: LocalClock, lead_ns: int
    ) -> None:
        """``senders`` are the sockets of the legs."""
        self.members = tuple(members)
        self.resyncs = 0
        """How often the group began anew."""
        self._senders = tuple(senders)
        self._clock = clock
        self._estimate = clock.estimate()
        self._local = local
        self._lead_ns = lead_ns
        first = members[0].packetiser
        self._frames = first.frames_per_packet
        self._rate = first.parameters.rate
        self._interval_ns = duration_of(self._frames, self._rate)
        self._chunk = min(CHUNK, max(1, PREPARED_NS // self._interval_ns // 2))
        self._depth = max(1, PREPARED_NS // self._interval_ns // self._chunk) * self._chunk
        count = len(members)
        size = max(member.packetiser.packet_bytes for member in members)
        self._buffers = [
            sender.buffer(self._depth * count, size, [member.destinations[leg] for member in members] * self._depth)
            for leg, sender in enumerate(senders)
        ]
        (self._rows, self._lengths), *self._copies = [
            (buffer.data.reshape(self._depth, count, size), buffer.length.reshape(self._depth, count))
            for buffer in self._buffers
        ]
        for index, member in enumerate(members):
            member.packetiser.prepare(self._rows[:, index])
        self._next = 0
        self._start = 0
        self._ideal_ns = 0
        self._not_before = 0
        self._build_ns = 0
        self._prepared = 0
        self._ending = False
        self.done = False
        """Whether every member is."""
        self._errors_ns: list[int] = []
        self._pacing = Histogram()
        self._align(local.now_ns())

    def due(self) -> int:
        """Local time at which the next packet leaves."""
        if self._clock.estimate() is not self._estimate:
            self._schedule(self._next)
        return max(self._ideal_ns, self._not_before)

    def _schedule(self, packet: int) -> None:
        # Says when the next packet is ideally sent, by the clock as it is known now.
        self._next = packet
        self._estimate = self._clock.estimate()
        frame = self._start + packet * self._frames
        self._ideal_ns = self._estimate.local_at(time_of_frame(frame, self._rate) + self._lead_ns)

    def send_due(self, now_ns: int) -> None:
        """Send the packet of every member whose time has come; when several are late, the first of them."""
        due_ns = self.due()
        if abs(now_ns - self._ideal_ns) > STALL_NS:
            self._restart(now_ns)
            return
        if now_ns < due_ns:
            return
        if self._prepared <= self._next:
            for index, member in enumerate(self.members):
                if member.built <= self._next and not member.done:
                    self._build(index, member)
        if self._ending:
            self._end_members()
        self._send()
        self._schedule(self._next + 1)

    def remove(self, member: Member) -> None:
        """Send nothing more of a member, whatever is ready."""
        member.done = True
        self._ending = True
        self.done = all(other.done for other in self.members)

    def prepare(self, until_ns: int) -> None:
        """Use the time until ``until_ns`` to make packets that will be due."""
        if self._prepared + self._chunk > self._next + self._depth:
            return
        for index, member in enumerate(self.members):
            if member.stop is not None or not member.source.follows:
                continue
            while member.built + self._chunk <= self._next + self._depth and member.stop is None:
                began = self._local.now_ns()
                frame = self._start + member.built * self._frames
                if began + self._build_ns * 5 // 4 > until_ns:
                    return
                if member.source.available(frame) < self._chunk * self._frames:
                    break
                self._build(index, member)
                self._build_ns = max(self._local.now_ns() - began, self._build_ns * 63 // 64)
        self._prepared = min((member.built for member in self.members if member.stop is None), default=self._next)

    def _build(self, index: int, member: Member) -> None:
        # Up to a chunk of packets, as far as the rows go before they wrap; one at a time, and in the last moment,
        # where what has not arrived yet could still come.
        at = member.built % self._depth
        room = min(self._chunk, self._depth - at)
        frame = self._start + member.built * self._frames
        if member.source.follows:
            count = max(1, min(room, member.source.available(frame) // self._frames))
        else:
            count = 1
        frames = np.empty((count * self._frames, member.packetiser.parameters.channels), np.float32)
        sounding_ns = self._clock.estimate().local_at(time_of_frame(frame, self._rate))
        got = member.source.read(frame, frames, sounding_ns)
        if got < len(frames):
            frames = frames[:got]
            count = -(-got // self._frames)
            member.stop = member.built + count
            self._ending = True
        if count:
            rows, lengths = self._rows[at : at + count, index], self._lengths[at : at + count, index]
            member.packetiser.fill(rows, lengths, frame, frames)
            self._copy(slice(at, at + count), index)
        member.built += count

    def _copy(self, packets: slice, index: int) -> None:
        # The other legs send what the first does, to the bit.
        for rows, lengths in self._copies:
            rows[packets, index] = self._rows[packets, index]
            lengths[packets, index] = self._lengths[packets, index]

    def _end_members(self) -> None:
        for member in self.members:
            if member.stop is not None and self._next >= member.stop and not member.done:
                member.done = True
                member.on_done()
        self.done = all(member.done for member in self.members)

    def _send(self) -> None:
        if self.done:
            return
        count = len(self.members)
        base = (self._next % self._depth) * count
        sent_ns = self._local.now_ns()
        if not self._ending:
            self._send_rows(base, self.members)
        else:
            for index, member in enumerate(self.members):
                if not member.done:
                    self._send_rows(base + index, (member,))
        late_ns = sent_ns - self._ideal_ns
        # Counted from after the call: wherever in it this packet was held up, the next one keeps its distance.
        self._not_before = self._local.now_ns() + self._interval_ns // (2 if late_ns < HURRY_NS else 4)
        self._errors_ns.append(late_ns)
        if len(self._errors_ns) >= _GATHER:
            self._count_errors()

    def _send_rows(self, first: int, members: Sequence[Member]) -> None:
        # One packet of each of these members, from this row on, by every leg.
        refused = [
            sender.send(buffer, first, len(members))
            for sender, buffer in zip(self._senders, self._buffers, strict=True)
        ]
        for member in members:
            member.packets_sent += 1
        if any(refused):
            for leg, rows in enumerate(refused):
                for row in rows:
                    members[row - first].send_errors[leg] += 1
            for row in set(refused[0]).intersection(*refused[1:]):
                members[row - first].packets_sent -= 1

    def _align(self, now_ns: int) -> None:
        # The first packet begins at a whole number of packets since the clock's epoch: groups fall into step.
        soon = self._clock.estimate().reference_at(now_ns + HEAD_START_NS) - self._lead_ns
        self._start = -(-frame_at(soon, self._rate) // self._frames) * self._frames
        self._not_before = 0
        self._schedule(0)

    def _restart(self, now_ns: int) -> None:
        # Packets that were ready carry the old time; what they hold is sent, with the new.
        self.resyncs += 1
        first = self._next
        self._align(now_ns)
        self._start -= first * self._frames
        self._schedule(first)
        for index, member in enumerate(self.members):
            for packet in range(self._next, member.built):
                row = packet % self._depth
                frame = self._start + packet * self._frames
                member.packetiser.stamp(self._rows[row : row + 1, index], frame)
                self._copy(slice(row, row + 1), index)

    def _count_errors(self) -> None:
        self._pacing.add(np.array(self._errors_ns, np.int64))
        self._errors_ns.clear()

    def metrics(self) -> dict[str, Metric]:
        """Figures of the pacing, which the members share."""
        self._count_errors()
        return {
            **self._pacing.metrics("pacing_error"),
            "lead_ns": self._lead_ns,
            "sender_resyncs": self.resyncs,
        }
