"""Order statistics of the delays of one direction, from the floor to the middle.

Queues only add. The earliest of many packets met none of them, wherever the load is, but their time scatters; the
middle of the packets scatters least where noise is even, and is wrong by half the queue where only one direction has
one. Which is better is decided later (``choice``); here all are taken, as weights upon the sorted values.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

PACKETS = 16
"""Of a window."""
MIDDLE_PACKETS = 3
"""At least these are in the middle's window, so that a packet that took a short cut is not in it."""
QUANTILES = (0.0, 0.0, 0.1, 0.5)
"""Roughly where the statistics lie: the extrapolated floor, the earliest, the early quarter, the middle."""
FLOOR, EARLIEST, EARLY, MIDDLE = range(4)
_DRAWS = np.random.default_rng(1).integers(0, 2**31, (100, PACKETS))


class OrderStatistics:
    """The four, over the newest packets of a window that moves on by ``hop`` packets."""

    def __init__(self, hop: int) -> None:
        half = max(PACKETS // 2, hop)
        self.hop = hop
        middle = max(MIDDLE_PACKETS, hop)
        self.windows = (PACKETS, PACKETS, half, middle)
        self.share = np.array([hop / window for window in self.windows])
        """How much of each window is new: an estimate that is fed with overlapping windows must not count it twice."""
        self.lags = tuple(-(-window // hop) for window in self.windows)
        """Hops after which each window has only new packets."""
        edge = (middle + 1) // 4
        self._weights = (
            _extrapolated(PACKETS),
            _mean_of(PACKETS, 0, 1),
            _mean_of(half, 0, 4),
            _mean_of(middle, edge, middle - edge),
        )

    def compute(self, values: Vector, times: Vector, slope: float) -> tuple[Vector, Vector]:
        """The statistics, shape (4,), and the time that each is of; of the newest ``PACKETS`` values, detrended."""
        where, when = np.empty(4), np.empty(4)
        before = 0
        for row, (window, weights) in enumerate(zip(self.windows, self._weights, strict=True)):
            if window != before:
                before, newest = window, times[-window:]
                centre = float(newest.sum()) / window
                ranked = np.sort(values[-window:] - slope * (newest - centre))
            where[row] = ranked @ weights
            when[row] = centre
        return where, when

    def scatter(self, residuals: Vector) -> Vector:
        """How much each would scatter, by resampling these few packets (bootstrap), shape (4,)."""
        drawn = residuals[_DRAWS % len(residuals)]
        return np.array(
            [
                float((np.sort(drawn[:, :window], axis=1) @ weights).std())
                for window, weights in zip(self.windows, self._weights, strict=True)
            ]
        )

    def mean(self, residuals: Vector) -> tuple[Vector, Vector]:
        """Their means over the windows that these residuals fill, shape (4,), and how many those were."""
        where, count = np.empty(4), np.empty(4)
        for row, (window, weights) in enumerate(zip(self.windows, self._weights, strict=True)):
            whole = len(residuals) // window
            blocks = residuals[len(residuals) - whole * window :].reshape(whole, window)
            where[row] = float((np.sort(blocks, axis=1) @ weights).mean())
            count[row] = whole
        return where, count


def _mean_of(window: int, first: int, end: int) -> Vector:
    weights = np.zeros(window)
    weights[first:end] = 1 / (end - first)
    return weights


def _extrapolated(window: int) -> Vector:
    # The earliest of n lies above the floor by about c / n. So twice that, less the mean of the earliest of all n / 2
    # that can be chosen from the n, lies on the floor.
    half = window // 2
    chosen = [math.comb(window - rank, half - 1) / math.comb(window, half) for rank in range(1, window + 1)]
    weights = -np.array(chosen)
    weights[0] += 2
    return weights
