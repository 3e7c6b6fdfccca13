"""The sink's part of the data plane: keeps a card's ring filled with the frames that sound next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phasegraph import Input, LocalClock, duration_of, frames_in

from .card_memory import PlayRing
from .card_side import CardSide
from .card_timeline import CardTimeline
from .lowest_buffer import BufferChange, LowestBuffer

SHORT_FOR_NS = 2_000_000_000
"""An input that has been short of what the card needs for this long is late by design."""
_AWAY_REST_NS = 20_000_000
_NEVER_NS = 1 << 60
_ENDED = 1 << 60
"""More frames than any input has: it has ended."""


class CardPlayer(CardSide[PlayRing]):
    """Plays an input on one opened card."""

    def __init__(
        self,
        input: Input,
        local: LocalClock,
        ring: PlayRing,
        *,
        buffer_ns: int,
        before: CardPlayer | None,
        on_end: Callable[[], None],
        lowest: LowestBuffer | None = None,
        on_buffer_change: Callable[[BufferChange], None] = lambda change: None,
    ) -> None:
        """``ring`` has the card's channels, at least the input's; ``buffer_ns`` is kept ready for the callback, or what
        ``lowest`` finds.

        ``on_end`` is called from the step when all of the input has sounded, ``on_buffer_change`` when ``lowest`` has
        changed what the ring holds.
        """
        rate = input.format.rate
        super().__init__(ring, rate, local, before)
        self.latency_ns = 0
        """From reading a frame to its sounding, at the newest block."""
        self.short_ns = 0
        """How late the input is, and has been for `SHORT_FOR_NS`; 0 if it is in time or has no frames at all."""
        self._input = input
        self._on_end = on_end
        self._rate = rate
        self._on_buffer_change = on_buffer_change
        self._lowest = lowest
        self._buffer = frames_in(buffer_ns, rate)
        self._now_ns = local.now_ns
        self._unserved_ns: int | None = None  # the oldest callback whose frames have not been replaced
        self._seen = (0, 0)  # underruns and losses of the card at the last fill
        self._scratch = np.zeros((ring.capacity, input.format.channels), np.float32)
        self._away_ns: int | None = None  # since when the input is read at its nominal rate
        self._short: tuple[int, int] | None = None  # since when, and the least since then, in frames

    def step(self, local_ns: int) -> int:
        """Read stamps, then fill the ring to its depth; returns when to be called again."""
        ring, stamps = self.ring, self.stamps
        stamps.read_new_stamps()
        self._unserved_ns = self._unserved_ns or stamps.oldest_ns
        timeline = stamps.timeline
        if timeline is None or not self._input.ready:
            return local_ns + stamps.rest_ns()
        if ring.end and stamps.skipped != ring.skipped:
            self._input.note_loss(abs(stamps.skipped - ring.skipped))
        ring.skipped = stamps.skipped
        last = ring.last
        if last is not None:
            if local_ns < timeline.time_of(last):
                return local_ns + stamps.rest_ns()
            self._on_end()
            return local_ns + _NEVER_NS
        position, first = ring.position, ring.end
        if first <= position:  # the start, or the ring ran dry: far enough ahead of the next callback
            first = position + stamps.largest
        count = min(position + self.depth() - first, len(self._scratch))
        if count > 0:
            self._fill(first, count, timeline, local_ns)
        elif stamps.newest_end + ring.skipped <= position:
            self._unserved_ns = None  # the ring holds enough without the frames that the callbacks have taken
        return local_ns + stamps.rest_ns()

    def _fill(self, first: int, count: int, timeline: CardTimeline, local_ns: int) -> None:
        ring, playing, room = self.ring, self.ring.end > 0, 0
        # The first block goes by all stamps so far, the others by the newest: the compensator weighs their scatter.
        sounds_ns = timeline.time_of(first) if playing else timeline.fitted_time_of(first)
        self.latency_ns = sounds_ns - local_ns
        if playing:  # before, the card has no place in the input
            room = self._input.available(first) - count
            self._measure_shortage(-room, local_ns)
        out = self._scratch[:count]
        there = self._input.read(first, out, sounds_ns)
        ring.write_frames(first, out[:there])
        self.frames += there
        if there < count:
            ring.last = first + there
        if self._lowest is not None and playing:
            self._measure_response(self._lowest, room)
        self._unserved_ns = None

    def step_without_card(self, local_ns: int) -> int:
        """As `step` while the card is away: a file is read on, so that others who play it need not wait."""
        ring, timeline = self.ring, self.stamps.timeline
        if ring.last is not None:
            self._on_end()
            return local_ns + _NEVER_NS
        if self._input.can_read_ahead and self._input.ready:
            first = ring.end
            if timeline is None or not first or self._away_ns is not None:  # the card was lost before it played
                self._away_ns = local_ns if self._away_ns is None else self._away_ns
                stop = frames_in(local_ns - self._away_ns, self._rate)
            else:
                stop = timeline.frame_at(local_ns)
            count = min(stop - first, len(self._scratch))
            if count > 0:
                there = self._input.read(first, self._scratch[:count], local_ns)
                ring.end = first + there
                if there < count:
                    ring.last = ring.end
        return local_ns + _AWAY_REST_NS

    def depth(self) -> int:
        """Frames that the ring holds when full."""
        if self._lowest is not None:
            return self._lowest.depth(self.stamps.largest)
        # A cycle of the card, and the buffer for the data plane's own delays, but not more than a second cycle of it.
        largest = self.stamps.largest
        return max(self._buffer, largest + min(largest, self._buffer))

    def _measure_response(self, lowest: LowestBuffer, room: int) -> None:
        (underruns, losses), ring = self._seen, self.ring
        self._seen = ring.underruns, ring.lost_cycles + self.stamps.xruns
        if self._unserved_ns is None:
            return  # the ring was made longer
        now_ns = self._now_ns()
        underrun = ring.underruns > underruns and self._seen[1] == losses
        change = lowest.note_fill(now_ns, self.stamps.largest, now_ns - self._unserved_ns, room, underrun=underrun)
        if change is not None:
            self._on_buffer_change(change)

    def _measure_shortage(self, short: int, local_ns: int) -> None:
        if short <= -_ENDED:
            return  # what was found stands until the end
        if not 0 < short < self._rate:
            self._short, self.short_ns = None, 0
            return
        since_ns, least = self._short or (local_ns, short)
        self._short = since_ns, min(least, short)
        if local_ns - since_ns >= SHORT_FOR_NS:
            self.short_ns = duration_of(self._short[1], self._rate)
