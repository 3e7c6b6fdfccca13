"""True peak by ITU-R BS.1770, annex 2: the largest magnitude of the signal between its samples.

The signal is interpolated to at least 192 kHz by a polyphase filter of 12 taps a phase, as in the annex. Its taps are a
sinc under a Hann window of 49 samples.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

TAPS = 12
"""Taps of a phase."""


def phases(factor: int) -> NDArray[np.float32]:
    """The interpolation filter without its phase 0, which is the samples themselves: taps by phases."""
    offsets = np.arange(TAPS)[:, None] - TAPS / 2 + 1 - np.arange(1, factor) / factor
    window = 0.5 + 0.5 * np.cos(np.pi * offsets / (TAPS / 2 + 0.125))
    taps: NDArray[np.float64] = np.sinc(offsets) * window
    taps /= taps.sum(axis=0)
    return taps.astype(np.float32)


class TruePeakMeter:
    """Interpolates a stream."""

    def __init__(self, rate: int, channels: int) -> None:
        self._factor = 4 if rate < 96_000 else 2 if rate < 192_000 else 1
        self._taps = phases(self._factor)
        self._past = np.zeros((channels, TAPS - 1), np.float32)

    def true_peaks(self, lines: NDArray[np.float32], sample_peaks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The true peak of each row of samples, which follow the ones before; all of them finite.

        ``sample_peaks``: their largest magnitudes. What lies behind the last six samples counts with the next ones.
        """
        if self._factor == 1 or not lines.size:
            return sample_peaks
        line = np.concatenate([self._past, lines], axis=1)
        self._past = line[:, -(TAPS - 1) :].copy()
        between = sliding_window_view(line, TAPS, axis=1) @ self._taps
        largest: NDArray[np.float32] = np.maximum(between.max(axis=(1, 2)), -between.min(axis=(1, 2)))
        return np.maximum(largest, sample_peaks)
