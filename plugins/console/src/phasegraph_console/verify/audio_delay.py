"""The delay between two recordings of one sound, to the sample, by cross-correlation (EBU LIST's audio-to-audio)."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

SURE = 0.9
"""A correlation below this is not believed."""
_MOST_FRAMES = 1 << 22


class AudioDelay(msgspec.Struct, frozen=True):
    """How much later one recording has what the other one has."""

    frames: int
    """Positive: the second is later."""
    correlation: float
    """Of the common part at that delay, between -1 and 1; 1 is the same sound."""

    @property
    def sure(self) -> bool:
        """Whether the recordings have one sound."""
        return abs(self.correlation) >= SURE


def audio_delay(one: NDArray[np.float32], other: NDArray[np.float32]) -> AudioDelay | None:
    """The delay of ``other`` behind ``one``. None where either is silent or too short.

    The peak of the correlation gives the delay, for which the common part is correlated again: parts that do not
    overlap have no say (LIST's second pass).
    """
    one, other = one[:_MOST_FRAMES], other[:_MOST_FRAMES]
    if min(len(one), len(other)) < 64:
        return None
    size = 1 << (len(one) + len(other) - 1).bit_length()
    spectrum = np.fft.rfft(other, size) * np.conj(np.fft.rfft(one, size))
    correlation = np.fft.irfft(spectrum, size)
    peak = int(np.abs(correlation).argmax())
    frames = peak if peak < len(other) else peak - size
    first, second = (one[max(0, -frames) :], other[max(0, frames) :])
    common = min(len(first), len(second))
    if common < 64:
        return None
    first, second = first[:common], second[:common]
    energy = float(np.sqrt(np.dot(first, first) * np.dot(second, second)))
    if energy == 0:
        return None
    return AudioDelay(frames, float(np.dot(first, second)) / energy)
