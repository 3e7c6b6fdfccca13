"""The source's part of the data plane: from a card's callback to its stream, and the card as a clock."""

from __future__ import annotations

from typing import Any

import msgspec

from phasegraph import NS_PER_S, ClockEstimate, ClockState, Frames, LocalClock, Stream, frames_in

from .callback_stamps import StampReader
from .card_player import CAPACITY_NS
from .card_ring import CaptureRing
from .card_timeline import Timeline

PUBLISH_NS = 125_000_000
"""How often the estimate is renewed."""
LOCK_SPAN_S = 2.0
"""Stamps over so much time give a rate that is worth the name."""
_SIGMAS_IN_BOUND = 6


class CardClock:
    """A card's time as a clock: frame ``n`` is heard at ``n / rate``. What the source's stream runs on."""

    def __init__(self) -> None:
        self._estimate = ClockEstimate(local_ns=0, reference_ns=0)

    def estimate(self) -> ClockEstimate:
        """See `ClockReader.estimate`."""
        return self._estimate

    def publish(self, timeline: Timeline, frame: int) -> None:
        """Renew the estimate at a frame that has just come."""
        self._estimate = ClockEstimate(
            local_ns=timeline.line(frame),
            reference_ns=frame * NS_PER_S // timeline.rate,
            rate_ppb=timeline.rate_ppb,
            sigma_ns=timeline.sigma_ns,
            bound_ns=_SIGMAS_IN_BOUND * timeline.sigma_ns + NS_PER_S / timeline.rate,
            state=ClockState.LOCKED if timeline.span_s >= LOCK_SPAN_S else ClockState.ACQUIRING,
            discontinuities=1,  # what was said before the first time was nothing
        )

    def hold(self) -> None:
        """Say that the card is gone: its last rate is all there is."""
        if self._estimate.state is not ClockState.UNLOCKED:
            self._estimate = msgspec.structs.replace(self._estimate, state=ClockState.HOLDOVER)


class Recorder:
    """Records from one opened card: `callback` is the card's, `step` the data plane's."""

    def __init__(
        self,
        stream: Stream,
        clock: CardClock,
        local: LocalClock,
        *,
        before: Recorder | None,
    ) -> None:
        """``clock`` is the stream's; ``before`` is the same card's, before it was lost: this one counts on."""
        rate = stream.format.rate
        timeline = None if before is None else before.stamps.timeline
        self.stamps: StampReader = StampReader(rate, local, capture=True, before=timeline)
        self.ring = CaptureRing(stream.format.channels, max(1, frames_in(CAPACITY_NS, rate)))
        self.frames_in: int = 0 if before is None else before.frames_in
        """Frames that came into the stream."""
        self._overruns_before = 0 if before is None else before.overruns
        self._stream = stream
        self._clock = clock
        self._published_ns = 0
        self._skipped = 0

    def callback(self, data: Any, count: int, time: Any, status: Any) -> None:
        """The card gives ``count`` frames in ``data``: note the times, copy."""
        called = self.ring.called
        self.stamps.note(called, count, time.inputBufferAdcTime, time.currentTime, status.input_overflow)
        self.ring.put(data, count)

    @property
    def overruns(self) -> int:
        """Times that frames were lost: by the driver, or because the data plane came too late."""
        return self._overruns_before + self.ring.overruns + self.stamps.xruns

    def step(self, local_ns: int) -> int:
        """Read stamps, then move what has come into the stream; returns when to be called again."""
        ring, stamps = self.ring, self.stamps
        stop = ring.called  # every frame before it has been noted, since a callback notes first
        stamps.read()
        timeline = stamps.timeline
        if timeline is None:
            ring.taken = stop
        elif not timeline.doubtful:  # else it may belong further on, which will soon be known
            first, frames = ring.take(stop)
            if stamps.skipped != self._skipped:
                kept = min(max(0, stamps.skipped_from - first), len(frames))
                self._put(first + self._skipped, frames[:kept])
                first, frames, self._skipped = first + kept, frames[kept:], stamps.skipped
            self._put(first + self._skipped, frames, stamps.newest_ns if stop == stamps.newest_end else None)
            if local_ns - self._published_ns >= PUBLISH_NS:
                self._published_ns = local_ns
                self._clock.publish(timeline, stop + self._skipped)
        return local_ns + stamps.rest_ns()

    def step_without_card(self, local_ns: int) -> int:
        """As `step` while the card is away."""
        self._clock.hold()
        return local_ns + PUBLISH_NS

    def _put(self, first: int, frames: Frames, arrived_ns: int | None = None) -> None:
        if len(frames):
            self._stream.ring.write_frames(first, frames)
            self._stream.mark_written(first, first + len(frames), arrived_ns)
            self.frames_in += len(frames)
