"""Pacing, without sockets of its own: streams whose packets fall due together, sent by one call each packet time.

Packet j of the group carries the frames from ``start + j * frames_per_packet`` on and leaves when its first frame's
media time plus the lead has come. Every due time is computed from the frame index, so that fractions of nanoseconds
are carried and nothing adds up. What can be prepared beforehand is prepared in the time between packets.

Where the senders hold packets until their time, several are handed over at once, early. That is the same plan of
departures, made sooner.
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

from ..histogram import Histogram
from .packetiser import Packetiser

PREPARED_NS = 64_000_000
"""How much of a stream may lie ready to be sent."""
CHUNK = 32
"""Packets of a stream that are made at once: many enough to share the work, few enough to fit between two packets."""
HEAD_START_NS = 3_000_000
"""Time between joining and the first packet, to prepare it."""
STALL_NS = 1_000_000_000
"""A sender that is farther than this from its time (a suspended machine, a stepped clock) begins anew now."""
HURRY_NS = 1_000_000
"""Packets that are late follow at half the packet time, and at a fifth (never closer) once they are so late."""
AHEAD_PACKETS = 28
"""So many may be early. Those of a stall come up to five times as dense, and fq has room for 100 of a stream."""
_GATHER = 256


def _nothing() -> None:
    pass


class Member:
    """One stream of a group."""

    def __init__(self, packetiser: Packetiser, source: Input, *destinations: tuple[str, int]) -> None:
        """``destinations`` has an address and port for each leg: the same packets go to all of them (ST 2022-7)."""
        self.packetiser = packetiser
        self.source = source
        self.follows = source.can_read_ahead
        self.reason = ""
        """Why its packets are not to be early, where nobody asked for that."""
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
        self,
        members: Sequence[Member],
        senders: Sequence[Sender],
        clock: ClockReader,
        local: LocalClock,
        lead_ns: int,
        ahead_ns: int = 0,
    ) -> None:
        """``senders`` are the sockets of the legs. Where they hold packets, these may be ``ahead_ns`` early."""
        self.members = tuple(members)
        self.resyncs = 0
        """How often the group began anew."""
        self.senders = tuple(senders)
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
        self._legs = tuple(zip(self.senders, self._buffers, strict=True))
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
        self._gap_ns = 0
        room = min(AHEAD_PACKETS, *(sender.room // (4 * count) for sender in senders))
        self.ahead_ns = min(ahead_ns, self._interval_ns * room)
        """How early packets are at the most where the senders hold them."""
        self._batch = max(1, self.ahead_ns // self._interval_ns // 2)
        self._early_ns = max(0, self.ahead_ns - (self._batch - 1) * self._interval_ns)
        """How long before its time the first packet of a batch is handed over."""
        self.held = False
        """Whether the senders hold packets until their time, so that these are early."""
        self.reason = ""
        """Why not, where they should. What of a member's own stands against it is `Member.reason`."""
        self._build_ns = 0
        self._prepared = 0
        self._ending = False
        self.done = False
        """Whether every member is."""
        self._errors_ns: list[int] = []
        self._pacing = Histogram()
        self._align(local.now_ns() + HEAD_START_NS)

    def hold(self, reason: str) -> None:
        """The senders hold packets until their time from now on; with a reason, they do not. For any thread."""
        self.held = self.ahead_ns > 0 and not reason
        self.reason = reason or ("" if self.held else "the socket has no room for so many (net.core.wmem_max)")

    def due(self) -> int:
        """Local time at which the next packet leaves, or is to be handed over."""
        if self._clock.estimate() is not self._estimate:
            self._schedule(self._next)
        planned_ns = max(self._ideal_ns, self._not_before)
        return planned_ns - self._early_ns if self.held and self._is_there(self._batch) else planned_ns

    def _is_there(self, count: int) -> bool:
        # What is late of an input that follows is waited for until it is due; of another one it is lost by then.
        stop = self._next + count
        return all(member.built >= stop or not member.follows or member.stop is not None for member in self.members)

    def _schedule(self, packet: int) -> None:
        # Says when the next packet is ideally sent, by the clock as it is known now.
        self._next = packet
        self._estimate = self._clock.estimate()
        self._ideal_ns = self._ideal_of(packet)

    def _ideal_of(self, packet: int) -> int:
        media_ns = time_of_frame(self._start + packet * self._frames, self._rate)
        return self._estimate.local_at(media_ns + self._lead_ns)

    def send_due(self, now_ns: int) -> None:
        """Send the packet of every member whose time has come; when several are late, the first of them."""
        due_ns = self.due()
        if abs(now_ns - self._ideal_ns) > STALL_NS:
            self._restart(now_ns)
            return
        if now_ns < due_ns:
            return
        count = 1
        if self.held and not self._ending and self._is_there(self._batch):
            count = min(self._batch, self._depth - self._next % self._depth)
        if self._prepared < self._next + count:
            for index, member in enumerate(self.members):
                if member.built < self._next + count and not member.done:
                    self._build(index, member, count)
        if self._ending:
            count = 1
            self._end_members()
        self._send(count)
        self._schedule(self._next + count)

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
            if member.stop is not None or not member.follows:
                continue
            while member.built + self._chunk <= self._next + self._depth and member.stop is None:
                began = self._local.now_ns()
                frame = self._start + member.built * self._frames
                if began + self._build_ns * 5 // 4 > until_ns:
                    return
                if member.source.available(frame) < self._chunk * self._frames:
                    break
                self._build(index, member, self._chunk)
                self._build_ns = max(self._local.now_ns() - began, self._build_ns * 63 // 64)
        self._prepared = min((member.built for member in self.members if member.stop is None), default=self._next)

    def _build(self, index: int, member: Member, count: int) -> None:
        # Up to a chunk of packets, as far as the rows go before they wrap; only those that are wanted, in the last
        # moment, where what has not arrived yet could still come.
        at = member.built % self._depth
        room = min(self._chunk, self._depth - at)
        frame = self._start + member.built * self._frames
        if member.follows:
            count = max(1, min(room, member.source.available(frame) // self._frames))
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

    def _send(self, count: int) -> None:
        if self.done:
            return
        base = self._next % self._depth * len(self.members)
        now_ns = self._local.now_ns()
        if self.held:
            self._plan(base, count, now_ns)
        else:
            self._leaves(now_ns, self._ideal_ns)
        if not self._ending:
            self._send_rows(base, self.members, count)
        else:
            for index, member in enumerate(self.members):
                if not member.done:
                    self._send_rows(base + index, (member,), 1)
        # Counted from after the call: wherever in it this packet was held up, the next one keeps its distance.
        self._not_before = max(self._not_before, self._local.now_ns() + self._gap_ns)
        if len(self._errors_ns) >= _GATHER:
            self._count_errors()

    def _plan(self, base: int, count: int, now_ns: int) -> None:
        # Says when the packets leave that are handed over now, of which the first is in this row.
        departures = []
        for packet in range(self._next, self._next + count):
            ideal_ns = self._ideal_of(packet)
            departure_ns = max(ideal_ns, self._not_before, now_ns)
            departures.append(departure_ns)
            self._leaves(departure_ns, ideal_ns)
        rows = np.repeat(np.array(departures, np.int64), len(self.members))
        for buffer in self._buffers:
            buffer.departure_ns[base : base + len(rows)] = rows

    def _leaves(self, departure_ns: int, ideal_ns: int) -> None:
        late_ns = departure_ns - ideal_ns
        self._gap_ns = self._interval_ns // (2 if late_ns < HURRY_NS else 5)
        self._not_before = departure_ns + self._gap_ns
        self._errors_ns.append(late_ns)

    def _send_rows(self, first: int, members: Sequence[Member], count: int) -> None:
        # So many packets of each of these members, from this row on, by every leg.
        width = len(members)
        refused = [sender.send(buffer, first, width * count) for sender, buffer in self._legs]
        for member in members:
            member.packets_sent += count
        if any(refused):
            for leg, rows in enumerate(refused):
                for row in rows:
                    members[(row - first) % width].send_errors[leg] += 1
            for row in set(refused[0]).intersection(*refused[1:]):
                members[(row - first) % width].packets_sent -= 1

    def _align(self, soon_ns: int) -> None:
        # The first packet begins at a whole number of packets since the clock's epoch: groups fall into step.
        soon = self._clock.estimate().reference_at(soon_ns) - self._lead_ns
        self._start = -(-frame_at(soon, self._rate) // self._frames) * self._frames
        self._schedule(0)

    def _restart(self, now_ns: int) -> None:
        # Packets that were ready carry the old time; what they hold is sent, with the new.
        self.resyncs += 1
        first = self._next
        self._align(max(now_ns + HEAD_START_NS, self._not_before))
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
            "pacing": "queue" if self.held else "thread",
            "sender_resyncs": self.resyncs,
        }
