"""Keeping a stream without a clock a little ahead of whoever reads it: what the file and tone sources share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from phasegraph import Frames, NodeContext, Stream, StreamFormat, duration_of, frames_in

WINDOW_NS = 1_000_000_000
"""What the ring holds: what is ahead of the reader, and as much behind it for a resampler's filter."""
AHEAD_NS = 500_000_000
"""The most that is written ahead: it still sounds after the run was told to stop."""
BLOCK_NS = 250_000_000
"""What is written at once: four wake-ups a second in the steady state."""
_SHORTEST_PAUSE_NS = 5_000_000
_LONGEST_PAUSE_NS = 100_000_000
_ENDLESS_MARGIN = 100
"""An endless stream runs at most 1/100 faster than local time: more than any clock's rate is off, so that a sink
that has a clock never starves, while one that takes whatever is there does not fill its disk."""

NextBlock = Callable[[int], Awaitable[Frames]]
"""Gives the next so many frames of a source; fewer at its end, none after it."""


def new_stream(format: StreamFormat) -> Stream:
    """A stream without a clock, with the window that `feed` needs."""
    return Stream(format, window_ns=WINDOW_NS)


async def feed(
    ctx: NodeContext, stream: Stream, next_block: NextBlock, *, endless: bool, ready: Callable[[], None]
) -> None:
    """Write a source into its stream, from the stream's head on, until its end, and finish the stream.

    ``ready`` is called when the first block, or the end, has been written.
    """
    allowance = _Allowance(ctx, stream, endless)
    block = frames_in(BLOCK_NS, stream.format.rate)
    told = False
    while stream.end is None:  # the kernel also ends it, when the run is stopped
        await allowance.wait_for(block)
        frames = await next_block(block)
        if len(frames):
            head = stream.head
            stream.ring.write_frames(head, frames)
            stream.wrote(head, head + len(frames))
        if len(frames) < block:
            stream.finish()
        if not told:
            told = True
            ready()
    if not told:
        ready()


class _Allowance:
    """How many frames may be written now."""

    def __init__(self, ctx: NodeContext, stream: Stream, endless: bool) -> None:
        self._ctx = ctx
        self._stream = stream
        self._ahead = frames_in(AHEAD_NS, stream.format.rate)
        self._endless = endless
        self._began_ns = ctx.local.now_ns()
        self._first = stream.head

    def frames(self) -> int:
        stream = self._stream
        unread = stream.ring.capacity - stream.room
        allowed = self._ahead - unread
        if self._endless:
            elapsed = self._ctx.local.now_ns() - self._began_ns
            elapsed += elapsed // _ENDLESS_MARGIN
            limit = self._first + self._ahead + frames_in(elapsed, stream.format.rate)
            allowed = min(allowed, limit - stream.head)
        return allowed

    async def wait_for(self, count: int) -> None:
        # Short pauses at first: a reader that is not bound to real time (a file that is converted) has taken
        # everything by then. One that is does not run out while the pauses grow to what is missing.
        pause = _SHORTEST_PAUSE_NS
        await trio.lowlevel.checkpoint()  # a stream that nobody reads must not hold up the run
        while (missing := count - self.frames()) > 0:
            await self._ctx.sleep(min(pause, duration_of(missing, self._stream.format.rate) + 1, _LONGEST_PAUSE_NS))
            pause *= 2
