"""One received stream, sans-IO: where packets belong in time, and one stream made of what its legs bring."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from phasegraph import (
    NS_PER_S,
    ClockEstimate,
    ClockReader,
    ClockState,
    Encoding,
    Metric,
    Stream,
    frame_at,
    time_of_frame,
)

from ..aes3 import Aes3Flags
from ..histogram import Histogram
from ..parameters import StreamParameters
from ..rtp import RtpHeader, wrapped
from ..sdp.reference_clock import parse_reference
from .diagnosis import PLAUSIBLE_NS, outside
from .leg import FAR_OFF, TAKE_OVER, Leg
from .sequence import WINDOW, SequenceTracker, Verdict

EARLY_LIMIT_NS = 100_000_000
"""A packet from further in the future than this is not believed: it would push out what has not been played."""
READ_LAG_NS = 400_000_000
"""How long after a frame was due a reader without a clock (a file) may still come for it."""
HEARD_NS = 500_000_000
"""A leg from which a packet has come within this is heard."""

Tell = Callable[[str, dict[str, Metric]], None]


class StreamReceiver:
    """Puts the packets of one stream into its ring. Called from the data plane's thread alone."""

    def __init__(
        self,
        legs: Sequence[StreamParameters],
        *,
        clock: ClockReader,
        link_offset_ns: int,
        relative: bool,
        runs_free: bool = False,
        conceal: bool = False,
    ) -> None:
        """``legs`` are the ways on which the same packets come: one, or two (ST 2022-7).

        ``relative``: timestamps count only themselves; the first packet sets their relation to the clock. With
        ``runs_free`` it is so while the clock has no reference.
        """
        self.clock = clock
        self.stream = Stream(
            legs[0].format,
            window_ns=link_offset_ns + EARLY_LIMIT_NS + READ_LAG_NS,
            clock=clock,
            playout_delay_ns=link_offset_ns,
            conceal=conceal,
        )
        self._aes3 = Aes3Flags(legs[0].channels) if legs[0].encoding is Encoding.AM824 else None
        self.stream.on_read = self.look
        self.window_ns = self.stream.playout_delay_ns
        """How late a packet may come."""
        self.tell: Tell = _tell_nobody
        """Called with an event's name and fields when something happens that a user should know."""
        self._packets_received = 0
        self._late: dict[int, None] = {}
        """Packets of a redundant stream that were late on one leg, by their first frame, and so far on the other."""
        self._late_for_good = 0
        self._packets_early = 0
        self._frames_written = 0
        self._gaps = 0
        self._told_outside: tuple[Leg, ...] = ()
        self._runs_free = runs_free
        self._estimate: ClockEstimate | None = None
        self._lateness = Histogram()
        self.relation = 0
        """Changes whenever the relation of timestamps to the clock does."""
        self._sequence = SequenceTracker()
        self.legs: tuple[Leg, ...] = ()
        self._tune(legs, relative)

    def _tune(self, legs: Sequence[StreamParameters], relative: bool) -> None:
        self.parameters = legs[0]
        reference = parse_reference(legs[0].ts_refclk)
        self.grandmaster = reference.identity if reference.kind == "ptp" else ""
        """Whose time the stream's description says that it counts; empty where it does not say."""
        self._relative = relative
        self._free = self._astray = False
        self._offset: int | None = None if relative else (legs[0].mediaclk_offset or 0)
        self._sequence = SequenceTracker(self._sequence.lost)
        before, self.legs = self.legs, ()
        for number, parameters in enumerate(legs):
            old = before[number] if number < len(before) else None
            lost = old.sequence.lost if old is not None else 0
            leg = Leg(parameters, self, SequenceTracker(lost) if len(legs) > 1 else self._sequence)
            if old is not None:
                leg.succeed(old)
            self.legs += (leg,)

    def retuned(self, legs: Sequence[StreamParameters], *, relative: bool) -> StreamReceiver:
        """What goes on in this one's stream, with its figures, where the packets are others from now on.

        The format stays the same.
        """
        other = copy.copy(self)
        other._tune(legs, relative)
        other.stream.on_read = other.look
        return other

    @property
    def redundant(self) -> bool:
        """Whether the stream comes twice."""
        return len(self.legs) > 1

    @property
    def timing(self) -> str:
        """What timestamps count: ``absolute`` (the clock's time), ``relative`` (themselves), or ``free-running``
        (themselves, for want of the clock that they should count)."""
        return "free-running" if self._free else "relative" if self._relative else "absolute"

    @property
    def packets_received(self) -> int:
        """Packets of the stream, whatever became of them; those that came on both legs count once."""
        return self._packets_received if self.redundant else self.legs[0].packets_received

    @property
    def packets_late(self) -> int:
        """Packets of which at least a part came when it should have sounded, on every leg."""
        return self._late_for_good + len(self._late) if self.redundant else self.legs[0].packets_late

    @property
    def last_arrival_ns(self) -> int | None:
        """When the newest packet came, on whichever leg."""
        return max((leg.last_arrival_ns for leg in self.legs if leg.last_arrival_ns is not None), default=None)

    def other_grandmaster(self) -> str:
        """The clock's grandmaster, where it is another than the description's; empty where one is not known."""
        now = self.clock.estimate().grandmaster
        return now if self.grandmaster and now != self.grandmaster else ""

    def look(self) -> ClockEstimate:
        """The clock's newest estimate. Where its time has jumped, or its reference came or went, the stream follows."""
        estimate = self.clock.estimate()
        before, self._estimate = self._estimate, estimate
        if estimate is before:
            return estimate
        if before is not None and estimate.jumped_since(before):
            # What is in the ring goes on sounding, at the new time of day: readers follow likewise.
            rate, at = self.parameters.rate, estimate.local_ns
            jump = frame_at(estimate.reference_at(at), rate) - frame_at(before.reference_at(at), rate)
            self.stream.shift(jump)
            self.relation += 1
            if self._offset is not None and (self._relative or self._free):
                self._offset = (self._offset - jump) & 0xFFFFFFFF
        if self._runs_free and not self._relative:
            self._astray &= estimate.grandmaster != self.grandmaster
            free = self._astray or estimate.state is ClockState.UNLOCKED
            if free != self._free:
                self._run_free(free, keep=before is not None)
        return estimate

    def _run_free(self, free: bool, *, keep: bool) -> None:
        # ``keep``: as long as it goes well, timestamps keep the relation that they had.
        self._free = free
        if not free:
            before, self._offset = self._offset, self.parameters.mediaclk_offset or 0
            if before is not None:
                self.stream.shift(wrapped(before - self._offset, 32))
            self.relation += 1
        elif not keep:
            self._unrelate()
        self.tell("timing_changed", {"timing": self.timing})

    def _unrelate(self) -> None:
        # The next packet tells how timestamps relate to the clock.
        self._offset = None
        self.relation += 1
        for leg in self.legs:
            leg.outside = 0

    def follow(self, leg: Leg, ssrc: int, sequence: int) -> None:
        """A leg has a sender from now on, which begins with a packet of this number."""
        if leg.ssrc is None or ssrc in (other.ssrc for other in self.legs):
            return  # its first, or one that another leg has told of
        self.tell("source_changed", {"ssrc": ssrc, "before": leg.ssrc})
        if self.redundant:
            self._sequence.restart(sequence - 1)
        if self._relative or self._free:
            self._unrelate()

    def restarted(self, leg: Leg, header: RtpHeader) -> None:
        """A leg's sender has begun anew, from this packet on, as the other leg may have seen before."""
        if self.redundant and not any(other.fits(header) for other in self.legs if other is not leg):
            self._sequence.restart(header.sequence - 1)

    def locate(self, timestamp: int, frames: int, arrival_ns: int) -> tuple[int, int]:
        """Index of a packet's first frame, and how long after its media time it came, in ns."""
        rate = self.parameters.rate
        reference_ns = self.look().reference_at(arrival_ns)
        now = frame_at(reference_ns, rate)
        if self._offset is None:
            # As if the packet had needed no time: its last frame was taken just now.
            self._offset = (timestamp - (now - frames)) & 0xFFFFFFFF
        frame = now + wrapped(timestamp - self._offset - now, 32)
        return frame, reference_ns - frame * NS_PER_S // rate

    def take(
        self, sequence: int, frame: int, payloads: NDArray[np.uint8], lateness_ns: NDArray[np.int64], arrival_ns: int
    ) -> None:
        """Take in packets that follow each other, whole and in time, one a row; ``sequence`` is the first one's."""
        count = len(payloads)
        frames = payloads.size // self.stream.ring.frame_bytes
        if not self.redundant:
            self._write(frame, frames, payloads, arrival_ns)
            return
        self._packets_received += self._sequence.merge(sequence, count)
        size, stream = frames // count, self.stream
        if self._late:
            self._came_in_time(range(frame, frame + frames, size))
        if stream.first is None or frame >= stream.head:
            begin = 0
        elif frame >= stream.contiguous_from and frame >= stream.first:
            begin = min(-(-(stream.head - frame) // size), count)  # the other leg was here, and how far
        else:
            there = stream.ring.valid(frame, frames).reshape(count, size).all(axis=1)
            for row in np.flatnonzero(~there).tolist():
                self._write(frame + row * size, size, payloads[row], arrival_ns)
            self._lateness.add(lateness_ns[~there])
            return
        if begin < count:
            self._lateness.add(lateness_ns[begin:])
            self._write(frame + begin * size, frames - begin * size, payloads[begin:], arrival_ns)

    def take_one(
        self, sequence: int, frame: int, payload: NDArray[np.uint8], lateness_ns: int, arrival_ns: int
    ) -> tuple[bool, bool, bool]:
        """Take in one packet, whenever it comes.

        Returns whether it was late, at least in part, whether it was early, and whether none of it was in time.
        """
        frames = len(payload)
        fresh = True
        if self.redundant:
            self._packets_received += self._sequence.accept(sequence) is not Verdict.DUPLICATE
            fresh = self.stream.ring.holds(frame, frames) < frames
            if fresh and abs(lateness_ns) < PLAUSIBLE_NS:
                self._lateness.add(np.array([lateness_ns]))
        if lateness_ns <= -EARLY_LIMIT_NS:
            self._packets_early += fresh
            return False, True, True
        played = 0
        late = lateness_ns > self.window_ns
        if late:
            # Frames that have begun to sound are lost; the rest of the packet still comes in time.
            if fresh:
                self._came_late(frame)
            now = frame_at(self.look().reference_at(arrival_ns), self.parameters.rate)
            played = now - self.stream.playout_delay_frames - frame + 1
            if played >= frames:
                return True, False, True
        elif self._late:
            self._came_in_time((frame,))
        if fresh:
            self._write(frame + played, frames - played, payload[played:], arrival_ns)
        return late, False, False

    def _came_late(self, frame: int) -> None:
        if self.redundant:
            self._late[frame] = None
            if len(self._late) > WINDOW:
                del self._late[next(iter(self._late))]
                self._late_for_good += 1

    def _came_in_time(self, frames: Iterable[int]) -> None:
        # Batches are taken leg by leg: what was in time on this one may have been looked at after the other's.
        for frame in frames:
            self._late.pop(frame, None)

    def outside_window(self, leg: Leg, lateness_ns: int, arrival_ns: int) -> None:
        """No frame of the packet that a leg has just brought was in time."""
        if leg.outside == FAR_OFF:
            leg.why_unheard = self._why_outside(lateness_ns)
            if leg not in self._told_outside:
                self._told_outside += (leg,)  # once a run: the counters tell how it goes on
                fields: dict[str, Metric] = {"lateness_ns": lateness_ns, "packets": FAR_OFF, "reason": leg.why_unheard}
                self.tell_of(leg, "timestamps_outside_window", fields)
        # A leg that is only slower than the other says nothing about the timestamps.
        heard = [other for other in self.legs if arrival_ns - (other.last_arrival_ns or 0) < HEARD_NS]
        count = min(other.outside for other in heard)
        if self._relative or self._free:
            # Timestamps that jumped are followed at once; packets that are only delayed may come in time again.
            if count >= (TAKE_OVER if leg.jumped else FAR_OFF):
                self._unrelate()
            return
        if self._runs_free and self.other_grandmaster() and count >= FAR_OFF:
            self._astray = True  # they count another clock than there is
            self._run_free(True, keep=False)

    def _why_outside(self, lateness_ns: int) -> str:
        relative = self._relative or self._free
        if not relative and self.look().state is ClockState.UNLOCKED:
            return "the clock has no reference yet"
        offset, rate = self._offset or 0, self.parameters.rate
        without = -wrapped(offset - lateness_ns * rate // NS_PER_S, 32) * NS_PER_S // rate
        return outside(lateness_ns, without, offset, self.window_ns, relative=relative)

    def tell_of(self, leg: Leg, name: str, fields: dict[str, Metric]) -> None:
        """Tell something of one leg."""
        label: dict[str, Metric] = {"leg": "ab"[self.legs.index(leg)]} if self.redundant else {}
        self.tell(name, {**label, **fields})

    def _write(self, frame: int, frames: int, payload: NDArray[np.uint8], arrival_ns: int) -> None:
        stream = self.stream
        self._frames_written += frames
        if stream.first is None:
            pass
        elif frame < stream.head:
            self._frames_written -= stream.ring.holds(frame, frames)
            self._gaps += self._gap_change(frame, frame + frames)
        elif frame > stream.head:
            self._gaps += 1
            passed_ns = arrival_ns - stream.arrivals[-1][1] if stream.arrivals else 0
            if time_of_frame(frame - stream.head, self.parameters.rate) > passed_ns + PLAUSIBLE_NS:
                self._frames_written += frame - stream.head  # media time jumped: nothing was sent for what lies between
        if self._aes3 is not None:
            payload = self._marked(payload, self._aes3)
        stream.ring.write(frame, payload)
        stream.mark_written(frame, frame + frames, arrival_ns)

    def _marked(self, payload: NDArray[np.uint8], flags: Aes3Flags) -> NDArray[np.uint8]:
        before = flags.audio
        payload = flags.marked(payload)
        if flags.audio != before:
            self.tell("audio" if flags.audio else "not_audio", {})
        return payload

    def _gap_change(self, frame: int, stop: int) -> int:
        # How many gaps more there are once something behind the head is written, seen from the frame before what is
        # written to the frame behind it.
        first, head = self.stream.first, self.stream.head
        assert first is not None
        index = np.arange(frame - 1, stop + 1)
        before = self.stream.ring.valid(frame - 1, len(index)) | (index < first) | (index >= head)
        after = before.copy()
        after[1:-1] = True
        after[-1] &= stop >= first
        return _stretches(~after) - _stretches(~before)

    @property
    def frames_concealed(self) -> int:
        """Frames between the first and the newest that never came in time."""
        first = self.stream.first
        if first is None:
            return 0
        # Media time that is passed twice, after its clock was set back, has more frames than it has room for.
        return max(0, self.stream.head - first - self._frames_written)

    def metrics(self) -> dict[str, Metric]:
        """The figures of the stream, and of each leg where there are two."""
        figures = self.legs[0].metrics()
        if self.redundant:
            for name in ("duplicate", "reordered", "malformed", "foreign"):
                figures[f"packets_{name}"] = sum(getattr(leg, f"packets_{name}") for leg in self.legs)
            figures |= {
                "packets_received": self.packets_received,
                "packets_lost": self._sequence.lost,
                "packets_late": self.packets_late,
                "packets_early": self._packets_early,
                **self._lateness.metrics("lateness"),
            }
            for label, leg in zip("ab", self.legs, strict=True):
                figures |= {f"leg_{label}_{name}": value for name, value in leg.metrics().items()}
        figures["frames_concealed"] = self.frames_concealed
        figures["gaps_concealed"] = self._gaps
        return {**figures, "link_offset_ns": self.window_ns, "timing": self.timing}


def _stretches(there: NDArray[np.bool_]) -> int:
    return int(there[0]) + int(np.count_nonzero(there[1:] & ~there[:-1]))


def _tell_nobody(name: str, fields: dict[str, Metric]) -> None:
    pass
