"""Reads the frames that are due from an input without a clock, on the data plane: for sinks that have no clock."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import trio

from phasegraph import NodeContext, StreamFormat, duration_of, frames_in

TICK_NS = 200_000_000
"""How often an input in real time is read."""
TURNS = 4
"""Moments within a tick at which sinks read."""
BLOCK_NS = 250_000_000
"""Most frames per read: those of a tick, and a reserve."""
_FAST_TICK_NS = 10_000_000
_FAST_NS = 1_000_000_000
_NEVER_NS = 1 << 60


class DueFrames:
    """Reads an input in blocks; more often from one that is faster than real time (a file that is copied).

    ``read_block`` gets the local time and the most frames to read, and returns how many it read, or None at the input's
    end. ``must_wait`` is called before it, and postpones it. Both are called on the data plane.
    """

    def __init__(
        self,
        ctx: NodeContext,
        format: StreamFormat,
        read_block: Callable[[int, int], int | None],
        must_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ctx = ctx
        self._rate = format.rate
        self._read_block = read_block
        self._must_wait = must_wait
        self._limit = max(1, frames_in(BLOCK_NS, format.rate))
        self._frames_read = 0
        self._caught_up_ns = ctx.local.now_ns()
        self._ended = trio.Event()
        # Many sinks take turns, some of them together: hundreds of wake-ups a second cost more than the work they do.
        self._phase_ns = zlib.crc32(ctx.id.encode()) % TURNS * TICK_NS // TURNS
        self.fast = False
        """Whether the input lately delivered more than twice the frames of real time. Written by the data plane."""

    async def run(self) -> None:
        """Read until the input has ended and its last block was accepted."""
        self._ctx.attach(self._read_when_due)
        await self._ended.wait()

    def _read_when_due(self, now_ns: int) -> int:
        if self._must_wait():
            return now_ns + _FAST_TICK_NS
        count = self._read_block(now_ns, self._limit)
        if count is None:
            self._ctx.call_soon(self._ended.set)
            return now_ns + _NEVER_NS
        self._frames_read += count
        self.fast |= self._ahead_ns(now_ns) > _FAST_NS
        if count == self._limit:
            return now_ns
        # A frame or two of an input in real time are due by now: they wait for the next block.
        self._caught_up(now_ns)
        if self.fast:
            return now_ns + _FAST_TICK_NS
        return now_ns + TICK_NS - (now_ns - self._phase_ns) % TICK_NS

    def _caught_up(self, now_ns: int) -> None:
        self.fast = self._ahead_ns(now_ns) > 0
        self._frames_read = 0
        self._caught_up_ns = now_ns

    def _ahead_ns(self, now_ns: int) -> int:
        # How much the frames read since the last time are more than twice those of real time.
        read_ns = duration_of(self._frames_read, self._rate)
        return read_ns - 2 * (now_ns - self._caught_up_ns)
