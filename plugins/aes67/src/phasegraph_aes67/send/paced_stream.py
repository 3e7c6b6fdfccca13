"""Streams whose packets fall due together, sent by one call each packet time. Sans-IO.

Threads: a `PacedStream` and its `StreamGroup` belong to the data plane from the moment they are handed over. The
control plane reads figures that the data plane replaces whole (`packets_sent`, `send_errors`, the histogram), and
writes one field alone, `StreamGroup.launch`. `SendSockets.remove` leaves the removal of a stream to the data plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from phasegraph import ClockReader, Input, LocalClock, Metric
from phasegraph.net import Sender

from ..histogram import Histogram
from ..options import Pacing
from .packet_store import PacketStore
from .packetiser import Packetiser
from .schedule import MAX_EARLY_PACKETS, MAX_EARLY_PACKETS_OF_RING, SPARE, SPARE_OF_RING, Schedule

MAX_LATE_NS = 1_000_000
"""How much later than its departure time a ring may read a packet. It does so in this thread's context, before Python
goes on; its clock is another, which was compared with ours when the packet was handed over."""


class PacedStream:
    """One stream that is sent. Written by the data plane, once it is in a group."""

    def __init__(
        self,
        packetiser: Packetiser,
        source: Input,
        *destinations: tuple[str, int],
        on_done: Callable[[], object] | None = None,
        launch_reason: str = "",
    ) -> None:
        """``destinations`` has an address and port for each leg: the same packets go to all of them (ST 2022-7).

        ``on_done`` is called in the data plane when everything has been sent.
        """
        self.packetiser = packetiser
        self.source = source
        self.can_read_ahead = source.can_read_ahead
        self.launch_reason = launch_reason
        """Why its packets are not early, where the option pacing does not say so. Set before it is handed over."""
        self.destinations = destinations
        self._on_done = on_done
        self.group: StreamGroup | None = None
        """What sends it; set once."""
        self.built = 0
        """Packets that are ready, counted from the group's first."""
        self.end_packet: int | None = None
        """The packet after the last one, once the input has ended."""
        self.done = False
        """Everything has been sent, or it was removed."""
        self.packets_sent = 0
        """Packets that left by at least one leg."""
        self.send_errors = (0,) * len(destinations)
        """Packets that were refused, by leg."""

    def finish(self) -> None:
        """Everything has been sent."""
        self.done = True
        if self._on_done is not None:
            self._on_done()

    def count(self, sent: int, refused: Sequence[int]) -> None:
        """Add packets that left, and by leg those that were refused."""
        self.packets_sent += sent
        if any(refused):
            self.send_errors = tuple(a + b for a, b in zip(self.send_errors, refused, strict=True))


class Launch(NamedTuple):
    """Whether packets are early, because the system holds them until their launch time (SO_TXTIME, io_uring)."""

    scheduled: bool
    reason: str
    """Why not, where they should be. What is in a stream's own way is `PacedStream.launch_reason`."""


class StreamGroup:
    """Streams with one clock, rate, packet time, lead, and the same sockets."""

    def __init__(
        self,
        streams: Sequence[PacedStream],
        senders: Sequence[Sender],
        clock: ClockReader,
        local: LocalClock,
        lead_ns: int,
        max_early_ns: int = 0,
        *,
        by_ring: bool = False,
    ) -> None:
        """``senders`` are the sockets of the legs. Where they have launch times, packets are up to ``max_early_ns``
        early."""
        self.by_ring = by_ring
        """Whether io_uring gets them, and not the interface's queue."""
        self.streams = tuple(streams)
        self.senders = tuple(senders)
        self.resyncs = 0
        """How often the schedule started again."""
        self.done = False
        """Whether every stream is, and nothing is on its way by io_uring."""
        self._clock = clock
        self._local = local
        first = streams[0].packetiser
        self.schedule = Schedule(
            clock.estimate(),
            local.now_ns(),
            rate=first.parameters.rate,
            frames=first.frames_per_packet,
            lead_ns=lead_ns,
            max_early_ns=max_early_ns,
            room=MAX_EARLY_PACKETS_OF_RING
            if by_ring
            else min(MAX_EARLY_PACKETS, *(sender.room // (4 * len(streams)) for sender in senders)),
            spare=SPARE_OF_RING if by_ring else SPARE,
        )
        self._close_ns = self.schedule.interval_ns * 2 // 5
        self._store = PacketStore(
            [stream.packetiser for stream in streams],
            [stream.destinations for stream in streams],
            senders,
            self.schedule.interval_ns,
            chunk=self.schedule.batch if by_ring else 0,
            in_flight=self.schedule.max_early_ns // self.schedule.interval_ns if by_ring else 0,
        )
        self.launch = Launch(False, "")
        """Written by the control plane."""
        self._build_ns = 0
        self._prepared = 0
        self._ending = False
        self._unmatched: list[set[int]] = []
        """Rows that the last call reported as refused, by leg, and not by all legs."""
        self._pacing_error = Histogram()
        self._back_to_back = 0
        """Written by the step, as the next."""
        self._last_departure_ns = 0
        self._pacing: tuple[int, dict[str, Metric]] = (-1, {})
        """The next packet, and the figures up to it: all streams of a group are read within a moment. A reader replaces
        the tuple, whichever thread it is on."""
        for stream in streams:
            stream.group = self

    def set_launch(self, reason: str) -> None:
        """Hand packets over early from now on; with a reason, do not. Called by the control plane."""
        scheduled = self.schedule.max_early_ns > 0 and not reason
        no_room = "" if scheduled else "the socket's send buffer is too small for it: raise net.core.wmem_max"
        self.launch = Launch(scheduled, reason or no_room)

    def due_ns(self) -> int:
        """Local time at which the next packet leaves, or is to be handed over."""
        return self._due_ns(early=self._is_early())

    def _is_early(self) -> bool:
        # The last packets are not: when a stream is done, what its socket holds has left.
        return self.launch.scheduled and not self._ending

    def _due_ns(self, *, early: bool) -> int:
        self.schedule.update_clock(self._clock.estimate())
        return self.schedule.due_ns(early=early and self._is_ready(self.schedule.batch))

    def _is_ready(self, count: int) -> bool:
        # What a file has not delivered yet is waited for until it is due; what a live input has not is lost by then.
        stop = self.schedule.next_packet + count
        return all(
            stream.built >= stop
            or stream.end_packet is not None
            or (not stream.can_read_ahead and self._is_free(stream.built, stop - stream.built))
            for stream in self.streams
        )

    def _is_free(self, packet: int, count: int) -> bool:
        # A ring reads rows when they leave. At its due time every packet finds its row free: those before it have left.
        return not self.by_ring or self._store.have_left(packet, count, self._local.now_ns() - MAX_LATE_NS)

    def send_due(self, now_ns: int) -> None:
        """Send the packet of every stream whose time has come; when several are late, the first of them."""
        schedule = self.schedule
        early = self._is_early()
        due_ns = self._due_ns(early=early)
        if schedule.is_lost(now_ns):
            self._restart(now_ns)
            return
        if now_ns < due_ns:
            return
        count = 1
        if early and self._is_ready(schedule.batch):
            count = min(schedule.batch, self._store.room_before_wrap(schedule.next_packet))
        if self._prepared < schedule.next_packet + count:
            for index, stream in enumerate(self.streams):
                if stream.built < schedule.next_packet + count and not stream.done:
                    self._build(index, stream, count)
        if self._ending:
            count = 1
        if not self._ending or self._end_streams():
            self._send_packets(count, scheduled=self.launch.scheduled)
        schedule.advance_packets(count, self._clock.estimate())

    def remove(self, stream: PacedStream) -> None:
        """Send nothing more of a stream, whatever is ready. Called by the data plane."""
        stream.done = True
        self._ending = True
        self._find_done()

    def prepare(self, until_ns: int) -> None:
        """Use the time until ``until_ns`` to make packets that will be due."""
        store, next_packet = self._store, self.schedule.next_packet
        if self._prepared + store.chunk > next_packet + store.ahead:
            return
        for index, stream in enumerate(self.streams):
            if stream.end_packet is not None or not stream.can_read_ahead:
                continue
            while stream.built + store.chunk <= next_packet + store.ahead and stream.end_packet is None:
                began = self._local.now_ns()
                if began + self._build_ns * 5 // 4 > until_ns:
                    # One that was held up must not be the measure for ever: nothing would be ready in time any more.
                    self._build_ns = self._build_ns * 63 // 64
                    return
                frame = self.schedule.frame_of(stream.built)
                if stream.source.available(frame) < store.chunk * self.schedule.frames:
                    break
                if not self._is_free(stream.built, store.chunk):
                    break
                self._build(index, stream, store.chunk)
                self._build_ns = max(self._local.now_ns() - began, self._build_ns * 63 // 64)
        self._prepared = min((one.built for one in self.streams if one.end_packet is None), default=next_packet)

    def _build(self, index: int, stream: PacedStream, count: int) -> None:
        # Up to a chunk of packets, as far as the rows go before they wrap; only those that are wanted, in the last
        # moment, where what has not arrived yet could still come.
        per_packet = self.schedule.frames
        frame = self.schedule.frame_of(stream.built)
        if stream.can_read_ahead:
            room = min(self._store.chunk, self._store.room_before_wrap(stream.built))
            count = max(1, min(room, stream.source.available(frame) // per_packet))
        frames = np.empty((count * per_packet, stream.packetiser.parameters.channels), np.float32)
        got = stream.source.read(frame, frames, self.schedule.media_time_ns(frame))
        if got < len(frames):
            frames = frames[:got]
            count = -(-got // per_packet)
            stream.end_packet = stream.built + count
            self._ending = True
        if count:
            self._store.fill(index, stream.built, frame, frames)
        stream.built += count

    def _end_streams(self) -> bool:
        # Returns whether one is left. What a ring was given has left by now, and was perhaps refused.
        if self.by_ring:
            self._count(0, self._store.send_packets(self.schedule.next_packet, 0))
        for stream in self.streams:
            if stream.end_packet is not None and self.schedule.next_packet >= stream.end_packet and not stream.done:
                stream.finish()
        return not self._find_done()

    def _find_done(self) -> bool:
        # Returns whether every stream is done.
        all_done = all(stream.done for stream in self.streams)
        self.done = all_done and self._is_free(self.schedule.next_packet, self._store.depth)
        return all_done

    def _send_packets(self, count: int, *, scheduled: bool) -> None:
        packet = self.schedule.next_packet
        departures, late_ns = self.schedule.depart(count, self._local.now_ns())
        if scheduled:
            self._store.set_departures(packet, departures)
        for value in late_ns:
            self._pacing_error.add_one(value)
        for departure_ns in departures:
            if departure_ns - self._last_departure_ns < self._close_ns:
                self._back_to_back += 1
            self._last_departure_ns = departure_ns
        if not self._ending:
            refused = self._store.send_packets(packet, count)
        else:
            left = [index for index, stream in enumerate(self.streams) if not stream.done]
            refused = self._store.send_packet(packet, left)
        self._count(count, refused)
        self.schedule.handed_over(self._local.now_ns())

    def _count(self, count: int, refused: Sequence[Sequence[int]]) -> None:
        if not refused:
            self._unmatched = []
            for stream in self.streams:
                if not stream.done:
                    stream.packets_sent += count
            return
        # A ring reports the rows of all streams, when it has sent them: the legs may be a call apart.
        legs = [set(rows).union(before) for rows, before in zip_longest(refused, self._unmatched, fillvalue=())]
        by_all = set.intersection(*legs)
        self._unmatched = [set(rows) - by_all for rows in refused]
        width = len(self.streams)
        for index, stream in enumerate(self.streams):
            sent = 0 if stream.done else count
            lost = sum(row % width == index for row in by_all)
            stream.count(sent - lost, [sum(row % width == index for row in rows) for rows in refused])

    def _restart(self, now_ns: int) -> None:
        # Packets that were ready carry the old time; what they hold is sent, with the new.
        self.resyncs += 1
        self.schedule.restart(now_ns, self._clock.estimate())
        for index, stream in enumerate(self.streams):
            for packet in range(self.schedule.next_packet, stream.built):
                self._store.restamp(index, packet, self.schedule.frame_of(packet))

    def pacing(self) -> Pacing:
        """What paces. For any thread."""
        if not self.launch.scheduled:
            return "thread"
        return "io-uring" if self.by_ring else "queue"

    def metrics(self) -> dict[str, Metric]:
        """Figures of the pacing, which the streams share. For any thread."""
        packet, pacing = self._pacing
        if packet != self.schedule.next_packet:
            packet = self.schedule.next_packet
            pacing = self._pacing_error.distribution().metrics("pacing_error")
            self._pacing = packet, pacing
        return {
            **pacing,
            **self.counters(),
            "lead_ns": self.schedule.lead_ns,
            "pacing": self.pacing(),
        }

    def counters(self) -> dict[str, Metric]:
        """Those of the figures that count something. For any thread."""
        return {"packets_back_to_back": self._back_to_back, "sender_resyncs": self.resyncs}
