"""Writes a stream without a clock a little ahead of its readers: for the file and tone sources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from phasegraph import Frames, NodeContext, Stream, StreamFormat, duration_of, frames_in

WINDOW_NS = 3_000_000_000
"""Length of the ring: frames ahead of the reader, and some behind it for a resampler's filter."""
AHEAD_NS = 2_000_000_000
"""How far the stream is written ahead: how long a disk or a busy machine may stall."""
BLOCK_NS = 500_000_000
"""Frames per block, one every half second in the steady state."""
_SHORTEST_PAUSE_NS = 5_000_000
NextBlock = Callable[[int], Awaitable[Frames]]
"""Returns the next frames of a source, as many as it is asked for; fewer at its end, none after it."""


def new_stream(format: StreamFormat, *, endless: bool) -> Stream:
    """A stream without a clock, with the window that `write_ahead` needs."""
    return Stream(format, window_ns=WINDOW_NS, endless=endless)


async def write_ahead(ctx: NodeContext, stream: Stream, next_block: NextBlock, *, ready: Callable[[], None]) -> None:
    """Write a source into its stream, from the stream's head on, until its end, and finish the stream.

    ``ready`` is called when the first block, or the end, has been written.
    """
    block = frames_in(BLOCK_NS, stream.format.rate)
    reported = stream.head > 0  # started again: the ring may be full for long
    if reported:
        ready()
    waited_ns = 0
    while stream.end is None:  # the kernel also ends it, when the run stops
        waited_ns = await _room_for(ctx, stream, block, waited_ns)
        frames = await next_block(block)
        if len(frames):
            head = stream.head
            stream.ring.write_frames(head, frames)
            stream.mark_written(head, head + len(frames))
        if len(frames) < block:
            stream.finish()
        if not reported:
            reported = True
            ready()
    if not reported:
        ready()


async def _room_for(ctx: NodeContext, stream: Stream, count: int, before_ns: int) -> int:
    # Returns how long it waited; ``before_ns`` is the wait before. The first pause is half of that, and pauses double,
    # up to the time that a reader in real time needs for the missing room. A reader in real time is checked a few times
    # per block; a faster one (a file that is converted) soon makes no pause.
    ahead = frames_in(AHEAD_NS, stream.format.rate)
    pause_ns = before_ns // 2
    waited_ns = 0
    await trio.lowlevel.checkpoint()  # a stream without a reader must not block the run
    while (missing := count - ahead + stream.ring.capacity - stream.room) > 0:
        pause_ns = max(min(pause_ns, duration_of(missing, stream.format.rate)), _SHORTEST_PAUSE_NS)
        await ctx.sleep(pause_ns)
        waited_ns += pause_ns
        pause_ns *= 2
    return waited_ns
