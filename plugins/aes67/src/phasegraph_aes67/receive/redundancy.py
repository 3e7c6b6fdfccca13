"""One stream made of two legs (SMPTE ST 2022-7), sans-IO: of each packet the copy that arrives first is written."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..histogram import Histogram
from .ring_writer import RingWriter
from .sequence import WINDOW, SequenceTracker, Verdict


class RedundantMerge:
    """Leaves out what the other leg has brought, and counts the stream that both make. The data plane alone calls it.

    A batch is handled leg by leg, so "first" is by the order of handling, not by arrival: the frames are the same, and
    a packet that is late on one leg counts as late only while the other leg has not brought it in time.
    """

    def __init__(self, writer: RingWriter) -> None:
        self._writer = writer
        self.sequence = SequenceTracker()
        """Numbers that came on either leg."""
        self.packets_received = 0
        """Packets of the stream; one that came on both legs counts once."""
        self.packets_early = 0
        self.lateness = Histogram()
        """Of the copies that are written."""
        self._late: dict[int, None] = {}
        # Packets that were late on one leg and have not come on the other, by their first frame.
        self._late_before = 0
        # Late packets that are too old to be in ``_late``.

    @property
    def packets_late(self) -> int:
        """Packets of which at least one frame came too late on every leg."""
        return self._late_before + len(self._late)

    def write_run(
        self, sequence: int, frame: int, payloads: NDArray[np.uint8], lateness_ns: NDArray[np.int64], arrival_ns: int
    ) -> None:
        """Write packets that follow each other, whole and in time, one a row; ``sequence`` is the first one's."""
        stream = self._writer.stream
        count = len(payloads)
        frames = payloads.size // stream.ring.frame_bytes
        size = frames // count
        self.packets_received += self.sequence.merge(sequence, count)
        if self._late:
            self._in_time(range(frame, frame + frames, size))
        if stream.first is None or frame >= stream.head:
            begin = 0
        elif frame >= stream.contiguous_from and frame >= stream.first:
            begin = min(-(-(stream.head - frame) // size), count)  # packets that the other leg has brought
        else:
            there = stream.ring.valid(frame, frames).reshape(count, size).all(axis=1)
            for row in np.flatnonzero(~there).tolist():
                self._writer.write_packets(frame + row * size, size, payloads[row], arrival_ns)
            self.lateness.add(lateness_ns[~there])
            return
        if begin < count:
            self.lateness.add(lateness_ns[begin:])
            self._writer.write_packets(frame + begin * size, frames - begin * size, payloads[begin:], arrival_ns)

    def is_fresh(self, sequence: int, frame: int, frames: int) -> bool:
        """Count one packet. Returns whether any of its frames is still missing."""
        self.packets_received += self.sequence.accept(sequence, trusted=True) is not Verdict.DUPLICATE
        return self._writer.stream.ring.holds(frame, frames) < frames

    def count_late(self, frame: int) -> None:
        """The packet that begins at this frame was late, and nothing of it had come before."""
        self._late[frame] = None
        if len(self._late) > WINDOW:
            del self._late[next(iter(self._late))]
            self._late_before += 1

    def count_in_time(self, frame: int) -> None:
        """The packet that begins at this frame was in time."""
        if self._late:
            self._in_time((frame,))

    def _in_time(self, frames: Iterable[int]) -> None:
        for frame in frames:
            self._late.pop(frame, None)
