"""The known signals of simulated sources: a counter, and a sine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._core.samples import Frames

_COUNTS = 1 << 24
_CHANNEL_STRIDE = 1_000_003
"""The counters of two neighbouring channels differ by this: no channel is a delayed copy of another."""


def counter_frames(first: int, count: int, channels: int) -> Frames:
    """``count`` frames of the counter: 24-bit whole numbers, so exact as L24 and as float32."""
    index = np.arange(first, first + count, dtype=np.int64)[:, None] + np.arange(channels) * _CHANNEL_STRIDE
    return ((index % _COUNTS - _COUNTS // 2) * 2.0**-23).astype(np.float32)


def counted(frames: Frames, channel: int = 0) -> NDArray[np.int64]:
    """The frame indices, modulo 2**24, that samples of the counter encode; silence decodes as 2**23."""
    numbers = np.rint(frames[:, channel].astype(np.float64) * 2**23).astype(np.int64) + _COUNTS // 2
    index: NDArray[np.int64] = (numbers - channel * _CHANNEL_STRIDE) % _COUNTS
    return index


def sine_frames(first: int, count: int, channels: int, frequency: float, rate: int) -> Frames:
    """``count`` frames of a sine at half of full scale, the same in every channel."""
    index = np.arange(first, first + count, dtype=np.int64)
    # Whole turns are removed in integers, so that the phase is exact however large the index is.
    turns = (index % rate) * (frequency % rate) + (index // rate % 1_000_000) * (frequency * rate % rate)
    wave = 0.5 * np.sin(2 * np.pi * (turns % rate) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)
