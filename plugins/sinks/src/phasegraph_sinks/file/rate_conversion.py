"""A file converted to another rate by libsoxr while it is read. Blocking: called from a thread."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from phasegraph import Frames

from .file_reader import FileSection

QUALITY = "VHQ"
"""THD+N below -150 dB in float32; a second of stereo takes a millisecond."""
BLOCK = 8192
"""Frames per read."""
PREROLL = 32_768
"""Frames of the file that are converted again where reading starts in the middle: longer than any filter."""


class ConvertedSection:
    """A section of a file at another rate. Frame ``n`` is the file's signal at ``n * from / to``, without delay.

    N frames of the file become N * to / from, rounded to the nearest.
    """

    def __init__(self, section: FileSection, channels: int, *, rate: int, to: int) -> None:
        self._section = section
        self._channels = channels
        self._rate, self._to = rate, to
        self._stream: Any = None
        self._ready: Frames = np.empty((0, channels), np.float32)
        self._ended = False

    def open_at(self, position: int) -> None:
        """As `FileSection.open_at`, in frames of the new rate."""
        # Both rates have a frame at the same time once a period; conversion can start at any such frame.
        common = math.gcd(self._rate, self._to)
        here, there = self._rate // common, self._to // common
        periods = max(0, position // there - -(-PREROLL // here))
        self._section.open_at(periods * here)
        self._stream = import_module("soxr").ResampleStream(
            self._rate, self._to, self._channels, dtype="float32", quality=QUALITY
        )
        self._ended = False
        self._ready = self._ready[:0]
        again = position - periods * there
        while again and len(skipped := self.read_frames(min(again, BLOCK))):
            again -= len(skipped)

    def close(self) -> None:
        """Close the file."""
        self._section.close()

    def read_frames(self, count: int) -> Frames:
        """As `FileSection.read_frames`."""
        parts, there = [self._ready], len(self._ready)
        while there < count and not self._ended:
            frames = self._section.read_frames(BLOCK)
            self._ended = len(frames) < BLOCK
            parts.append(self._stream.resample_chunk(np.ascontiguousarray(frames), last=self._ended))
            there += len(parts[-1])
        frames = np.concatenate(parts)
        self._ready = frames[count:]
        return frames[:count]
