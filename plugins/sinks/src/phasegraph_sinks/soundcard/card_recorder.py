"""The source's part of the data plane: from a card's ring to its stream, and the card as a clock."""

from __future__ import annotations

import msgspec

from phasegraph import NS_PER_S, ClockEstimate, ClockState, Frames, LocalClock, Stream

from .card_memory import CaptureRing
from .card_side import CardSide
from .card_timeline import CardTimeline

PUBLISH_NS = 125_000_000
"""How often the estimate is published."""
LOCK_SPAN_S = 2.0
"""Time that stamps have to span for a rate that counts as locked."""
_SIGMAS_IN_BOUND = 6


class CardClock:
    """A card's time as a clock: frame ``n`` is captured at ``n / rate``. The clock of the source's stream."""

    def __init__(self) -> None:
        self._estimate = ClockEstimate(local_ns=0, reference_ns=0)

    def estimate(self) -> ClockEstimate:
        """See `ClockReader.estimate`."""
        return self._estimate

    def publish_at_frame(self, timeline: CardTimeline, frame: int) -> None:
        """Publish the estimate at a frame that has just come."""
        self._estimate = ClockEstimate(
            local_ns=timeline.fitted_time_of(frame),
            reference_ns=frame * NS_PER_S // timeline.rate,
            rate_ppb=timeline.rate_ppb,
            sigma_ns=timeline.sigma_ns,
            bound_ns=_SIGMAS_IN_BOUND * timeline.sigma_ns + NS_PER_S / timeline.rate,
            state=ClockState.LOCKED if timeline.span_s >= LOCK_SPAN_S else ClockState.ACQUIRING,
            discontinuities=1,  # before the first estimate there was none
        )

    def card_lost(self) -> None:
        """The card is gone: its last rate holds."""
        if self._estimate.state is not ClockState.UNLOCKED:
            self._estimate = msgspec.structs.replace(self._estimate, state=ClockState.HOLDOVER)


class CardRecorder(CardSide[CaptureRing]):
    """Records from one opened card."""

    def __init__(
        self, stream: Stream, clock: CardClock, local: LocalClock, ring: CaptureRing, *, before: CardRecorder | None
    ) -> None:
        """``clock`` is the stream's."""
        super().__init__(ring, stream.format.rate, local, before, capture=True)
        self._stream = stream
        self._clock = clock
        self._published_ns = 0
        self._skipped = 0

    def step(self, local_ns: int) -> int:
        """Read stamps, then move what has come into the stream; returns when to be called again."""
        ring, stamps = self.ring, self.stamps
        stop = ring.called  # every frame before it has a stamp, since a callback notes its stamp first
        stamps.read_new_stamps()
        timeline = stamps.timeline
        if timeline is None:
            ring.taken = stop
        elif not timeline.doubtful:  # otherwise its number may rise, which the next stamps show
            first, frames = ring.read_until(stop)
            if stamps.skipped != self._skipped:
                kept = min(max(0, stamps.skipped_from - first), len(frames))
                self._write_frames(first + self._skipped, frames[:kept])
                first, frames, self._skipped = first + kept, frames[kept:], stamps.skipped
            self._write_frames(first + self._skipped, frames, stamps.newest_ns if stop == stamps.newest_end else None)
            if local_ns - self._published_ns >= PUBLISH_NS:
                self._published_ns = local_ns
                self._clock.publish_at_frame(timeline, stop + self._skipped)
        return local_ns + stamps.rest_ns()

    def step_without_card(self, local_ns: int) -> int:
        """As `step` while the card is away."""
        self._clock.card_lost()
        return local_ns + PUBLISH_NS

    def _write_frames(self, first: int, frames: Frames, arrived_ns: int | None = None) -> None:
        if len(frames):
            self._stream.ring.write_frames(first, frames)
            self._stream.mark_written(first, first + len(frames), arrived_ns)
            self.frames += len(frames)
