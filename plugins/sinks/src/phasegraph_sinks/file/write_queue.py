"""Frames that were taken from the graph and wait for the disk."""

from __future__ import annotations

from collections import deque

import trio

from phasegraph import Frames


class Backlog:
    """A queue of blocks, measured in frames. A block leaves it only when it is written.

    It outlives a failed write: what the disk refused is there for the next file.
    """

    def __init__(self) -> None:
        self.frames = 0
        """Frames that wait, the block that is being written among them."""
        self._blocks: deque[Frames] = deque()
        self._closed = False
        self._changed = trio.Event()

    def open(self) -> None:
        """Expect more blocks."""
        self._closed = False

    def close(self) -> None:
        """Say that no more blocks come."""
        self._closed = True
        self._tell()

    def put(self, block: Frames) -> None:
        """Append a block."""
        self._blocks.append(block)
        self.frames += len(block)
        self._tell()

    async def first(self) -> Frames | None:
        """The block that is next, once there is one; it stays. None when all are gone and no more come."""
        while not self._blocks:
            if self._closed:
                return None
            await self._changed.wait()
        return self._blocks[0]

    def written(self) -> None:
        """Drop the first block."""
        self.frames -= len(self._blocks.popleft())
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
