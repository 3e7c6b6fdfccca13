"""When a sender that is exactly on the grandmaster's time sends which packet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._core.clock import NS_PER_S
from .grandmaster import Grandmaster


class Sender:
    """Sends packet p, which holds frames p * size and on, when the grandmaster shows that it is full."""

    def __init__(self, grandmaster: Grandmaster, rate: int, size: int) -> None:
        self.size = size
        """Frames of a packet."""
        self._grandmaster = grandmaster
        self._rate = rate
        self._packet: int | None = None

    def send(self, begin_ns: int, end_ns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first frames of the packets of a stretch of true time, and the true times at which they leave.

        Where another grandmaster takes over its packets go on as the new time says: by a step of up to a packet they
        only leave at other times, by a larger one some are left out, or come again.
        """
        frames, sent = [], []
        for begin, end, offset in self._grandmaster.pieces(begin_ns, end_ns):
            first, after = self._number(begin + offset), self._number(end + offset)
            if self._packet is not None and abs(first - self._packet) <= 1:
                first = self._packet
            count = max(0, after - first)
            due = self._full_at(first) - offset + np.arange(count, dtype=np.int64) * self.size * NS_PER_S // self._rate
            frames.append((first + np.arange(count, dtype=np.int64)) * self.size)
            sent.append(np.clip(due, begin, end))
            self._packet = first + count
        return np.concatenate(frames), np.concatenate(sent)

    def _number(self, reference_ns: int) -> int:
        # The first packet that is full at a reference time or later.
        return -(-reference_ns * self._rate // (self.size * NS_PER_S)) - 1

    def _full_at(self, packet: int) -> int:
        return (packet + 1) * self.size * NS_PER_S // self._rate
