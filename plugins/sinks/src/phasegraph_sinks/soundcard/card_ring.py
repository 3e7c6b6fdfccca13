"""Frames between the data plane and a sound card's callback: two rings, one for each way.

Each has one writer and one reader, in different threads. Every counter is written by one of them alone, and what it
counts is done before it moves, so that nobody waits: a callback that waits is heard.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from phasegraph import Frames

_SAMPLE_BYTES = 4


class PlayRing:
    """From the data plane (`put`) to the callback (`take`), by the card's frame number.

    The callback counts in ``called`` the frames that it was asked for. ``skipped`` more have gone by without it, which
    the data plane knows from the card's time; together they are the number of the frame that is next.
    """

    def __init__(self, channels: int, capacity: int) -> None:
        self.channels = channels
        self.capacity = capacity
        self.called = 0
        self.skipped = 0
        self.begin = 0
        """Frames ``begin .. end`` have been put; what is not among them is silence."""
        self.end = 0
        self.last: int | None = None
        """Frame after the input's last; None while it goes on."""
        self.underruns = 0
        """Callbacks that found too little, after the first frame and before the last."""
        self._frames: Frames = np.zeros((capacity, channels), np.float32)
        self._bytes = self._frames.data.cast("B")
        self._silence = bytes(len(self._bytes))
        self._size = channels * _SAMPLE_BYTES

    @property
    def position(self) -> int:
        """The frame that the callback takes next."""
        return self.called + self.skipped

    def put(self, first: int, frames: Frames) -> None:
        """Data plane: give frames from ``first`` on, not before ``end``; missing channels are silence.

        At most ``capacity`` frames after `position` find room.
        """
        at, width = first % self.capacity, frames.shape[1]
        head = min(len(frames), self.capacity - at)
        self._frames[at : at + head, :width] = frames[:head]
        self._frames[: len(frames) - head, :width] = frames[head:]
        if first != self.end:
            self.begin = first
        self.end = first + len(frames)

    def take(self, out: Any, count: int) -> None:
        """Callback: fill ``out`` (a writable buffer of bytes) with the next ``count`` frames."""
        size = self._size
        if count > self.capacity:
            self.take(out[: self.capacity * size], self.capacity)
            self.take(out[self.capacity * size :], count - self.capacity)
            return
        first = self.called + self.skipped
        stop = first + count
        begin, end, last = max(self.begin, first), min(self.end, stop), self.last
        if begin >= end:  # nothing is there
            out[: count * size] = self._silence[: count * size]
            if self.begin < self.end <= first and (last is None or first < last):
                self.underruns += 1
        else:
            before = (begin - first) * size
            out[:before] = self._silence[:before]
            at = begin % self.capacity
            head = min(end - begin, self.capacity - at)
            middle = before + head * size
            after = before + (end - begin) * size
            out[before:middle] = self._bytes[at * size : (at + head) * size]
            out[middle:after] = self._bytes[: after - middle]
            out[after : count * size] = self._silence[: count * size - after]
            if end < stop and (last is None or end < last):
                self.underruns += 1
        self.called += count


class CaptureRing:
    """From the callback (`put`) to the data plane (`take`), in sequence."""

    def __init__(self, channels: int, capacity: int) -> None:
        self.capacity = capacity
        self.called = 0
        """Frames that the callback has put."""
        self.taken = 0
        """Frames that the data plane has taken, or lost."""
        self.largest = 0
        """Frames of the largest callback: so many may be being written now."""
        self.overruns = 0
        """Times that the data plane came too late and lost frames."""
        self._frames: Frames = np.zeros((capacity, channels), np.float32)
        self._bytes = self._frames.data.cast("B")
        self._size = channels * _SAMPLE_BYTES

    def put(self, data: Any, count: int) -> None:
        """Callback: append ``count`` frames from a buffer of bytes, over the oldest."""
        if count > self.capacity:
            self.put(data[: self.capacity * self._size], self.capacity)
            self.put(data[self.capacity * self._size :], count - self.capacity)
            return
        self.largest = max(self.largest, count)
        at = self.called % self.capacity
        head = min(count, self.capacity - at) * self._size
        self._bytes[at * self._size : at * self._size + head] = data[:head]
        self._bytes[: count * self._size - head] = data[head : count * self._size]
        self.called += count

    def take(self, stop: int) -> tuple[int, Frames]:
        """Data plane: the frames up to ``stop`` (at most ``called``) since the last call, and the number of the first.

        Where the callback has come round, what it was writing over is left out.
        """
        first = max(self.taken, stop - self.capacity)
        at, count = first % self.capacity, stop - first
        head = min(count, self.capacity - at)
        frames: Frames = np.concatenate([self._frames[at : at + head], self._frames[: count - head]])
        stale = max(0, self.called + self.largest - self.capacity - first)
        if first + stale > self.taken:
            self.overruns += 1
        self.taken = stop
        return first + stale, frames[stale:]
