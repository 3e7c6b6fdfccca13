"""Frames that were read from the graph and wait for the disk."""

from __future__ import annotations

from collections import deque

import msgspec
import trio

from phasegraph import Frames, MediaPosition


class QueuedBlock(msgspec.Struct, frozen=True, gc=False):
    """Frames of one file, in sequence."""

    frames: Frames
    position: MediaPosition
    """Of the first one."""

    def __len__(self) -> int:
        return len(self.frames)


class WriteQueue:
    """A queue of blocks, measured in frames. A block leaves it only when it is written.

    It outlives a failed write: a block that the disk refused goes to the next file. Control plane only.
    """

    def __init__(self) -> None:
        self.frames = 0
        """Frames that wait, the block that is being written included."""
        self._blocks: deque[QueuedBlock] = deque()
        self._ended = False
        self._changed: trio.Event | None = None  # while the writer waits

    def expect_blocks(self) -> None:
        """Expect more blocks."""
        self._ended = False

    def end(self) -> None:
        """No more blocks come."""
        self._ended = True
        self._wake()

    def append(self, block: QueuedBlock) -> None:
        """Append a block."""
        self._blocks.append(block)
        self.frames += len(block)
        self._wake()

    async def wait_first(self) -> QueuedBlock | None:
        """The first block, once there is one; it stays in the queue. None when the queue is empty and has ended."""
        while not self._blocks:
            if self._ended:
                return None
            self._changed = self._changed or trio.Event()
            await self._changed.wait()
        return self._blocks[0]

    def drop_first(self) -> None:
        """Remove the first block: it is written."""
        self.frames -= len(self._blocks.popleft())
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
