"""The media ring: a window onto a stream, addressed by absolute frame index.

Because a frame's place follows from its index alone, packets that come late, twice, or over two redundant
paths merge by construction. Validity is kept per frame as the number of the lap that wrote it: a frame that was
not written in the present lap is a gap, and can never be read as old audio.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .samples import Encoded, Encoding, Frames

_LAPS = 1 << 32
_NO_LAP = _LAPS // 2 - 1
"""Lap of a frame that was never written. Laps count modulo 2**32 (decades of any ring); should this one come up, what
was never written is silence all the same."""


class MediaRing:
    """A ring of encoded frames with one writing thread and any number of readers.

    Frames are kept as they came (``encoding``) and converted when they are read, in large blocks. A reader may
    read any range; missing frames are silence and are counted.
    """

    def __init__(self, channels: int, capacity: int, encoding: Encoding = Encoding.FLOAT32) -> None:
        if channels < 1 or capacity < 1:
            raise ValueError("a ring needs at least one channel and one frame")
        self.channels = channels
        self.capacity = capacity
        self.encoding = encoding
        self.frame_bytes = channels * encoding.sample_bytes
        self._data: NDArray[np.uint8] = np.zeros((capacity, self.frame_bytes), np.uint8)
        self._lap: NDArray[np.uint32] = np.full(capacity, _NO_LAP, np.uint32)

    @property
    def size_bytes(self) -> int:
        """Memory that the ring takes."""
        return self._data.nbytes + self._lap.nbytes

    def write(self, start: int, encoded: Encoded) -> None:
        """Put encoded frames at absolute index ``start``; of more than the ring holds, the newest stay.

        The rows of ``encoded`` are frames, or packets of some frames each.
        """
        count = encoded.size // self.frame_bytes
        lap, at = divmod(start, self.capacity)
        if at + count <= self.capacity:
            self._data[at : at + count].reshape(encoded.shape)[:] = encoded
            self._lap[at : at + count] = lap % _LAPS
            return
        encoded = encoded.reshape(count, self.frame_bytes)
        if count > self.capacity:
            self.write(start + count - self.capacity, encoded[-self.capacity :])
            return
        head = self.capacity - at
        self._data[at:] = encoded[:head]
        self._lap[at:] = lap % _LAPS
        self._data[: count - head] = encoded[head:]
        self._lap[: count - head] = (lap + 1) % _LAPS

    def shift(self, by: int) -> None:
        """Move every frame to an index that is greater by ``by``."""
        places = np.arange(self.capacity) + by % self.capacity
        laps = self._lap + (by // self.capacity + places // self.capacity)
        self._lap[places % self.capacity] = laps % _LAPS
        self._data = np.roll(self._data, by % self.capacity, axis=0)

    def write_frames(self, start: int, frames: Frames) -> None:
        """Put float32 frames, encoding them as the ring does."""
        self.write(start, self.encoding.encode(frames))

    def holds(self, start: int, count: int) -> int:
        """Number of the frames ``start .. start + count`` that are there."""
        return int(np.count_nonzero(self.valid(start, count)))

    def valid(self, start: int, count: int) -> NDArray[np.bool_]:
        """Which of the frames ``start .. start + count`` are there."""
        there = np.empty(count, np.bool_)
        for at, length, lap, offset in self._segments(start, count):
            np.equal(self._lap[at : at + length], lap, out=there[offset : offset + length])
        return there

    def read(self, start: int, out: Frames) -> int:
        """Fill ``out`` (frames, channels) from absolute index ``start``; gaps become silence.

        Returns how many frames were missing.
        """
        missing = 0
        for at, length, lap, offset in self._segments(start, len(out)):
            part = out[offset : offset + length]
            self.encoding.decode(self._data[at : at + length], part)
            valid = self._lap[at : at + length] == lap
            if not valid.all():
                part[~valid] = 0.0
                missing += length - int(np.count_nonzero(valid))
        return missing

    def copy(self, start: int, out: Encoded) -> NDArray[np.bool_]:
        """Fill ``out`` (frames, bytes) from absolute index ``start`` with frames as they were written.

        Returns which of them are there; the others hold nothing of meaning.
        """
        for at, length, _, offset in self._segments(start, len(out)):
            out[offset : offset + length] = self._data[at : at + length]
        return self.valid(start, len(out))

    def _segments(self, start: int, count: int) -> list[tuple[int, int, int, int]]:
        # (place in the ring, length, lap, offset in the range) of a range, split where the ring wraps.
        segments = []
        offset = 0
        while offset < count:
            lap, at = divmod(start + offset, self.capacity)
            length = min(count - offset, self.capacity - at)
            segments.append((at, length, lap % _LAPS, offset))
            offset += length
        return segments
