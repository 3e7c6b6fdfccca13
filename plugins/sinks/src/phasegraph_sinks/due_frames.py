"""Reads the frames that are due from an input without a clock, on the data plane: for sinks that have no clock."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from phasegraph import Frames, Input, NodeContext, duration_of, frames_in, run_until_end

TICK_NS = 200_000_000
"""How often an input in real time is read."""
TURNS = 4
"""Moments within a tick at which sinks read."""
BLOCK_NS = 250_000_000
"""Most frames per read: those of a tick, and a reserve."""
_FAST_TICK_NS = 10_000_000
_FAST_NS = 1_000_000_000


class DueFrames:
    """Reads an input in blocks; more often from one that is faster than real time (a file that is copied)."""

    def __init__(self, input: Input) -> None:
        self.frames_in = 0
        """Frames that were read or skipped, in all runs. Written by the data plane."""
        self.fast = False
        """Whether the input lately delivered more than twice the frames of real time. Written by the data plane."""
        self._input = input
        self._frames_read = 0
        self._caught_up_ns = 0

    async def run(
        self,
        ctx: NodeContext,
        take: Callable[[Frames, int], None],
        *,
        wanted: Callable[[], bool] = lambda: True,
        must_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        """Read until the input has ended and its last block was accepted.

        ``take`` gets the frames and the local time. Without ``wanted`` they are skipped, and ``must_wait`` postpones
        them. All are called on the data plane.
        """
        limit = max(1, frames_in(BLOCK_NS, self._input.format.rate))
        # Many sinks take turns, some of them together: hundreds of wake-ups a second cost more than the work they do.
        phase_ns = zlib.crc32(ctx.id.encode()) % TURNS * TICK_NS // TURNS

        def read_when_due(now_ns: int) -> int | None:
            if must_wait():
                return now_ns + _FAST_TICK_NS
            if wanted():
                frames = self._input.read_due(now_ns, limit)
                count = None if frames is None else len(frames)
            else:
                frames, count = None, self._input.skip_due(now_ns, limit)
            if count is None:
                return None
            self.frames_in += count
            if frames is not None:
                take(frames, now_ns)
            return self._next_due(now_ns, phase_ns, count, limit)

        self._frames_read = 0
        self._caught_up_ns = ctx.local.now_ns()
        self.fast = False
        await run_until_end(ctx, read_when_due)

    def _next_due(self, now_ns: int, phase_ns: int, count: int, limit: int) -> int:
        self._frames_read += count
        self.fast |= self._ahead_ns(now_ns) > _FAST_NS
        if count == limit:
            return now_ns
        # A frame or two of an input in real time are due by now: they wait for the next block.
        self._caught_up(now_ns)
        if self.fast:
            return now_ns + _FAST_TICK_NS
        return now_ns + TICK_NS - (now_ns - phase_ns) % TICK_NS

    def _caught_up(self, now_ns: int) -> None:
        self.fast = self._ahead_ns(now_ns) > 0
        self._frames_read = 0
        self._caught_up_ns = now_ns

    def _ahead_ns(self, now_ns: int) -> int:
        # How much the frames read since the last time are more than twice those of real time.
        read_ns = duration_of(self._frames_read, self._input.format.rate)
        return read_ns - 2 * (now_ns - self._caught_up_ns)
