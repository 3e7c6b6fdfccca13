"""The sink's part of the data plane: keeps a card's ring filled with what will sound when its frames do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from phasegraph import Input, LocalClock, duration_of, frames_in

from .callback_stamps import StampReader
from .card_ring import PlayRing

CAPACITY_NS = 1_000_000_000
"""What a ring holds: no callback is as large."""
SHORT_FOR_NS = 2_000_000_000
"""An input that has been short of what the card needs for so long comes too late by design."""
_AWAY_REST_NS = 20_000_000
_NEVER_NS = 1 << 60


class Player:
    """Plays an input on one opened card: `callback` is the card's, `step` the data plane's."""

    def __init__(
        self,
        input: Input,
        local: LocalClock,
        *,
        channels: int,
        buffer_ns: int,
        before: Player | None,
        on_end: Callable[[], None],
    ) -> None:
        """``channels`` the card's, at least the input's; ``buffer_ns`` is kept ready for the callback.

        ``before`` is the same card's, before it was lost: this one counts on. ``on_end`` is called from the step when
        all of the input has sounded.
        """
        rate = input.format.rate
        self.stamps: StampReader = StampReader(rate, local, before=None if before is None else before.stamps.timeline)
        self.ring = PlayRing(channels, max(1, frames_in(CAPACITY_NS, rate)))
        self.frames_out: int = 0 if before is None else before.frames_out
        """Frames of the input that were put into the ring."""
        self.latency_ns = 0
        """From reading a frame to its sounding, at the newest block."""
        self.short_ns = 0
        """By how much the input comes too late, and has for `SHORT_FOR_NS`; 0 if it comes in time or not at all."""
        self._underruns_before = 0 if before is None else before.underruns
        self._input = input
        self._on_end = on_end
        self._rate = rate
        self._buffer = frames_in(buffer_ns, rate)
        self._scratch = np.zeros((self.ring.capacity, input.format.channels), np.float32)
        self._short: tuple[int, int] | None = None  # since when, and the least since then, in frames

    def callback(self, out: Any, count: int, time: Any, status: Any) -> None:
        """The card wants ``count`` frames in ``out``: note the times, copy what is there."""
        called = self.ring.called
        self.stamps.note(called, count, time.outputBufferDacTime, time.currentTime, status.output_underflow)
        self.ring.take(out, count)

    @property
    def underruns(self) -> int:
        """Times that silence sounded in the middle: too little was in the ring, or the driver lost frames."""
        return self._underruns_before + self.ring.underruns + self.stamps.xruns

    def step(self, local_ns: int) -> int:
        """Read stamps, then fill the ring to its depth; returns when to be called again."""
        ring, stamps = self.ring, self.stamps
        stamps.read()
        timeline = stamps.timeline
        if timeline is None or not self._input.ready:
            return local_ns + stamps.rest_ns()
        ring.skipped = stamps.skipped
        if ring.last is not None:
            if local_ns < timeline.time_of(ring.last):
                return local_ns + stamps.rest_ns()
            self._on_end()
            return local_ns + _NEVER_NS
        position, first = ring.position, ring.end
        if first <= position:  # the beginning, or it ran dry: not so near that the callback is there before the frames
            first = position + stamps.largest
        count = min(position + max(self._buffer, 2 * stamps.largest) - first, len(self._scratch))
        if count > 0:
            # The first block goes by all stamps so far, the others by the newest: their scatter is the compensator's
            # to weigh.
            sounds_ns = timeline.time_of(first) if ring.end else timeline.line(first)
            self.latency_ns = sounds_ns - local_ns
            if ring.end:  # before, nothing has said where in the input the card begins
                self._look_for_shortage(count - self._input.available(first), local_ns)
            out = self._scratch[:count]
            there = self._input.read(first, out, sounds_ns)
            ring.put(first, out[:there])
            self.frames_out += there
            if there < count:
                ring.last = first + there
        return local_ns + stamps.rest_ns()

    def step_without_card(self, local_ns: int) -> int:
        """As `step` while the card is away: a file is read on, so that others who play it need not wait."""
        ring, timeline = self.ring, self.stamps.timeline
        if ring.last is not None:
            self._on_end()
            return local_ns + _NEVER_NS
        if timeline is not None and self._input.can_read_ahead and ring.end:
            first = ring.end
            count = min(timeline.frame_at(local_ns) - first, len(self._scratch))
            if count > 0:
                there = self._input.read(first, self._scratch[:count], local_ns)
                ring.end = first + there
                if there < count:
                    ring.last = ring.end
        return local_ns + _AWAY_REST_NS

    def _look_for_shortage(self, short: int, local_ns: int) -> None:
        if not 0 < short < self._rate:
            self._short, self.short_ns = None, 0
            return
        since_ns, least = self._short or (local_ns, short)
        self._short = since_ns, min(least, short)
        if local_ns - since_ns >= SHORT_FOR_NS:
            self.short_ns = duration_of(self._short[1], self._rate)
