"""Keeping a stream without a clock a little ahead of whoever reads it: what the file and tone sources share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from phasegraph import Frames, NodeContext, Stream, StreamFormat, duration_of, frames_in

WINDOW_NS = 3_000_000_000
"""What the ring holds: what is ahead of the reader, and something behind it for a resampler's filter."""
AHEAD_NS = 2_000_000_000
"""What is written ahead: so long may a disk, or a busy machine, keep the reading waiting."""
BLOCK_NS = 500_000_000
"""What is written at once, every half second in the steady state."""
_SHORTEST_PAUSE_NS = 5_000_000
NextBlock = Callable[[int], Awaitable[Frames]]
"""Gives the next so many frames of a source; fewer at its end, none after it."""


def new_stream(format: StreamFormat, *, endless: bool) -> Stream:
    """A stream without a clock, with the window that `feed` needs."""
    return Stream(format, window_ns=WINDOW_NS, endless=endless)


async def feed(ctx: NodeContext, stream: Stream, next_block: NextBlock, *, ready: Callable[[], None]) -> None:
    """Write a source into its stream, from the stream's head on, until its end, and finish the stream.

    ``ready`` is called when the first block, or the end, has been written.
    """
    block = frames_in(BLOCK_NS, stream.format.rate)
    told = stream.head > 0  # started again: there may be no room for long
    if told:
        ready()
    waited_ns = 0
    while stream.end is None:  # the kernel also ends it, when the run is stopped
        waited_ns = await _room_for(ctx, stream, block, waited_ns)
        frames = await next_block(block)
        if len(frames):
            head = stream.head
            stream.ring.write_frames(head, frames)
            stream.mark_written(head, head + len(frames))
        if len(frames) < block:
            stream.finish()
        if not told:
            told = True
            ready()
    if not told:
        ready()


async def _room_for(ctx: NodeContext, stream: Stream, count: int, before_ns: int) -> int:
    # Returns how long that took, and is told how long it took before: half of that, then longer, but never longer than
    # a reader in real time needs for what is missing. Such a one is looked at a few times a block, and one that is not
    # bound to real time (a file that is converted) soon waits for nothing.
    ahead = frames_in(AHEAD_NS, stream.format.rate)
    pause_ns = before_ns // 2
    waited_ns = 0
    await trio.lowlevel.checkpoint()  # a stream that nobody reads must not hold up the run
    while (missing := count - ahead + stream.ring.capacity - stream.room) > 0:
        pause_ns = max(min(pause_ns, duration_of(missing, stream.format.rate)), _SHORTEST_PAUSE_NS)
        await ctx.sleep(pause_ns)
        waited_ns += pause_ns
        pause_ns *= 2
    return waited_ns
