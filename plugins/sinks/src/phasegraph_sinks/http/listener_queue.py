"""What one listener has still to get: a bounded queue of blocks of frames."""

from __future__ import annotations

from collections import deque

import trio

from phasegraph import Frames


class ListenerQueue:
    """Blocks for one listener. Where it does not follow, the oldest are dropped, and it continues near to now.

    Control plane only.
    """

    def __init__(self, most_frames: int) -> None:
        self.frames_dropped = 0
        self._most_frames = most_frames
        self._blocks: deque[Frames] = deque()
        self._frames = 0
        self._ended = False
        self._changed = trio.Event()

    def append(self, block: Frames) -> None:
        """Append a block; nothing waits."""
        self._blocks.append(block)
        self._frames += len(block)
        while self._frames > self._most_frames and len(self._blocks) > 1:
            dropped = len(self._blocks.popleft())
            self._frames -= dropped
            self.frames_dropped += dropped
        self._wake()

    def end(self) -> None:
        """No more blocks come."""
        self._ended = True
        self._wake()

    async def next_block(self) -> Frames | None:
        """The next block; None at the end."""
        while not self._blocks:
            if self._ended:
                return None
            await self._changed.wait()
        block = self._blocks.popleft()
        self._frames -= len(block)
        return block

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
