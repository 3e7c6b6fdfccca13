"""Taking what is due from an input without a clock: the loop of the sinks that follow their sources."""

from __future__ import annotations

import trio

from phasegraph import Frames, Input, NodeContext, duration_of, frames_in

TICK_NS = 200_000_000
"""How often a sink looks at an input that runs in real time."""
BLOCK_NS = 250_000_000
"""The most that is taken at once."""
_FAST_TICK_NS = 10_000_000
_FAST_NS = 1_000_000_000


class Intake:
    """Takes an input in blocks, soon again from one that delivers faster than real time (a file that is copied)."""

    def __init__(self, ctx: NodeContext, input: Input) -> None:
        self._ctx = ctx
        self._input = input
        self._limit = max(1, frames_in(BLOCK_NS, input.format.rate))
        self._taken = 0
        self._looked_ns = ctx.local.now_ns()
        self.fast = False
        """Whether the input has lately delivered more than twice what real time does."""

    async def next(self) -> Frames | None:
        """The next block, when there is one; None at the end of the input."""
        await trio.lowlevel.checkpoint()
        while True:
            frames = self._input.take(self._ctx.local.now_ns(), self._limit)
            if frames is None:
                return None
            if len(frames):
                self._taken += len(frames)
                self.fast |= self._ahead_ns() > _FAST_NS
                return frames
            await self._ctx.sleep(self._pause_ns())

    def _pause_ns(self) -> int:
        self.fast = self._ahead_ns() > 0
        self._taken = 0
        self._looked_ns = self._ctx.local.now_ns()
        return _FAST_TICK_NS if self.fast else TICK_NS

    def _ahead_ns(self) -> int:
        # By how much what was taken since the last look is more than twice what real time delivers.
        taken_ns = duration_of(self._taken, self._input.format.rate)
        return taken_ns - 2 * (self._ctx.local.now_ns() - self._looked_ns)
