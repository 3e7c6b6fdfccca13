"""Taking what is due from an input without a clock, on the data plane: for the sinks that follow their sources."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import trio

from phasegraph import NodeContext, StreamFormat, duration_of, frames_in

TICK_NS = 200_000_000
"""How often an input that runs in real time is looked at."""
TURNS = 4
"""Moments within a tick at which sinks look."""
BLOCK_NS = 250_000_000
"""The most that is taken at once: what a look finds, with something to spare."""
_FAST_TICK_NS = 10_000_000
_FAST_NS = 1_000_000_000
_NEVER_NS = 1 << 60


class Intake:
    """Takes an input in blocks, soon again from one that delivers faster than real time (a file that is copied).

    ``take`` is given the local time and the most frames to take, and returns how many it took, or None at the input's
    end; ``held`` is asked before whether to wait. Both are called on the data plane.
    """

    def __init__(
        self,
        ctx: NodeContext,
        format: StreamFormat,
        take: Callable[[int, int], int | None],
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ctx = ctx
        self._rate = format.rate
        self._take = take
        self._held = held
        self._limit = max(1, frames_in(BLOCK_NS, format.rate))
        self._taken = 0
        self._looked_ns = ctx.local.now_ns()
        self._ended = trio.Event()
        # Many sinks take turns, a few together: one of many hundreds of wake-ups a second is dearer than what it does.
        self._phase_ns = zlib.crc32(ctx.id.encode()) % TURNS * TICK_NS // TURNS
        self.fast = False
        """Whether the input has lately delivered more than twice what real time does."""

    async def run(self) -> None:
        """Take until the input has ended and its last block was accepted."""
        self._ctx.attach(self._step)
        await self._ended.wait()

    def _step(self, now_ns: int) -> int:
        if self._held():
            return now_ns + _FAST_TICK_NS
        count = self._take(now_ns, self._limit)
        if count is None:
            self._ctx.call_soon(self._ended.set)
            return now_ns + _NEVER_NS
        self._taken += count
        self.fast |= self._ahead_ns(now_ns) > _FAST_NS
        if count == self._limit:
            return now_ns
        # Of an input in real time a frame or two more are due by now: they are worth no block of their own.
        self._rest(now_ns)
        if self.fast:
            return now_ns + _FAST_TICK_NS
        return now_ns + TICK_NS - (now_ns - self._phase_ns) % TICK_NS

    def _rest(self, now_ns: int) -> None:
        self.fast = self._ahead_ns(now_ns) > 0
        self._taken = 0
        self._looked_ns = now_ns

    def _ahead_ns(self, now_ns: int) -> int:
        # By how much what was taken since the last look is more than twice what real time delivers.
        taken_ns = duration_of(self._taken, self._rate)
        return taken_ns - 2 * (now_ns - self._looked_ns)
