"""When the packets of a group of streams leave. Pure: the clock's estimate and the time are arguments.

Packet ``n`` carries the frames from ``start_frame + n * frames`` on. Its ideal departure is the local time, by the
newest clock estimate, of its first frame's media time plus the lead. It is computed from the frame index each time, so
that fractions of a nanosecond are carried and no error adds up.

Three states follow from how late the sender is:

- *on time*: a packet leaves at its ideal departure.
- *catching up*: packets that are late leave half a packet time apart, a fifth where they are later than `HURRY_NS`,
  never closer; receivers with small buffers would drop a burst.
- *lost*: farther than `STALL_NS` from its time (a suspended machine, a stepped clock), it starts again at the present.

A queue that holds packets until their launch time gets them early, in batches: a batch of ``batch`` packets is handed
over when its first is ``early_ns`` from its time, so that its last is ``max_early_ns`` early. A part of the allowed
time is not in the batch: a thread that wakes late has it to spare.
"""

from __future__ import annotations

from phasegraph import ClockEstimate, duration_of, frame_at, time_of_frame

HEAD_START_NS = 3_000_000
"""Time between the start and the first packet, to prepare it."""
STALL_NS = 1_000_000_000
"""A sender that is farther than this from its time starts again at the present."""
HURRY_NS = 1_000_000
"""Lateness from which packets follow at a fifth of the packet time, not at half of it."""
MAX_EARLY_PACKETS = 28
"""Packets that may be early. After a stall they come up to five times as dense, and fq has room for 100 of a stream."""
MAX_EARLY_PACKETS_OF_RING = 256
"""The same with io_uring, which has room for all."""
SPARE, SPARE_OF_RING = 2, 4
"""One part in this number of the time by which packets are early is kept for a late thread: half with a queue, and a
fourth (16 ms) with io_uring, which is made for a thread with real-time priority."""


class Schedule:
    """Departures of consecutive packets. Used by the data plane alone."""

    def __init__(
        self,
        estimate: ClockEstimate,
        now_ns: int,
        *,
        rate: int,
        frames: int,
        lead_ns: int,
        max_early_ns: int = 0,
        room: int = MAX_EARLY_PACKETS,
        spare: int = SPARE,
    ) -> None:
        """``frames`` are those of a packet; ``room`` is how many packets may be early, besides ``max_early_ns``; of
        these, one part in ``spare`` is spared."""
        self.rate = rate
        self.frames = frames
        self.lead_ns = lead_ns
        self.interval_ns = duration_of(frames, rate)
        self.max_early_ns = min(max_early_ns, self.interval_ns * room)
        self.batch = max(1, self.max_early_ns // self.interval_ns * (spare - 1) // spare)
        """Packets that are handed over at once where they may be early."""
        self._early_ns = max(0, self.max_early_ns - (self.batch - 1) * self.interval_ns)
        self.next_packet = 0
        self.start_frame = 0
        """Frame of packet 0, also of one that was never sent."""
        self.behind_ns = 0
        """How late the newest packet left. Written by the data plane; any thread may read it: one integer."""
        self._estimate = estimate
        self._ideal_ns = 0
        self._not_before_ns = 0
        self._gap_ns = 0
        self._align(now_ns + HEAD_START_NS)

    def update_clock(self, estimate: ClockEstimate) -> None:
        """Use this estimate from now on."""
        if estimate is not self._estimate:
            self._estimate = estimate
            self._ideal_ns = self.ideal_ns(self.next_packet)

    def frame_of(self, packet: int) -> int:
        """First frame of a packet."""
        return self.start_frame + packet * self.frames

    def media_time_ns(self, frame: int) -> int:
        """Local time at which a frame sounds, without lead."""
        return self._estimate.local_at(time_of_frame(frame, self.rate))

    def ideal_ns(self, packet: int) -> int:
        """Local time at which a packet leaves ideally."""
        return self._estimate.local_at(time_of_frame(self.frame_of(packet), self.rate) + self.lead_ns)

    def due_ns(self, *, early: bool) -> int:
        """Local time at which the next packet leaves or, with ``early``, the next batch is handed over."""
        planned_ns = max(self._ideal_ns, self._not_before_ns)
        return planned_ns - self._early_ns if early else planned_ns

    def is_lost(self, now_ns: int) -> bool:
        """Whether it must start again."""
        return abs(now_ns - self._ideal_ns) > STALL_NS

    def depart(self, count: int, now_ns: int) -> tuple[list[int], list[int]]:
        """Plan the next packets, which are handed over now: when they leave, and how late each is."""
        departures, late = [], []
        for packet in range(self.next_packet, self.next_packet + count):
            ideal_ns = self._ideal_ns if packet == self.next_packet else self.ideal_ns(packet)
            departure_ns = max(ideal_ns, self._not_before_ns, now_ns)
            late_ns = departure_ns - ideal_ns
            self._gap_ns = self.interval_ns // (2 if late_ns < HURRY_NS else 5)
            self._not_before_ns = departure_ns + self._gap_ns
            departures.append(departure_ns)
            late.append(late_ns)
            self.behind_ns = late_ns
        return departures, late

    def handed_over(self, now_ns: int) -> None:
        """The call that hands packets over has returned. It may have been held up: the next keeps its distance."""
        self._not_before_ns = max(self._not_before_ns, now_ns + self._gap_ns)

    def advance_packets(self, count: int, estimate: ClockEstimate) -> None:
        """Go on to the packet after these."""
        self.next_packet += count
        self._estimate = estimate
        self._ideal_ns = self.ideal_ns(self.next_packet)

    def restart(self, now_ns: int, estimate: ClockEstimate) -> None:
        """Start again at the present; the next packet keeps its number and has another frame."""
        self._estimate = estimate
        self._align(max(now_ns + HEAD_START_NS, self._not_before_ns))

    def _align(self, soon_ns: int) -> None:
        # The next packet begins at a whole number of packets since the clock's epoch: groups fall into step.
        soon = self._estimate.reference_at(soon_ns) - self.lead_ns
        first = -(-frame_at(soon, self.rate) // self.frames) * self.frames
        self.start_frame = first - self.next_packet * self.frames
        self._ideal_ns = self.ideal_ns(self.next_packet)
