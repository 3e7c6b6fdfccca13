"""Which order statistic to believe, and how much the scatter of a direction is."""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np
from numpy.typing import NDArray

from .kalman_bank import Mixture
from .order_statistics import EARLIEST, FLOOR

Vector = NDArray[np.float64]

LEAST_NS = 15.0
"""Nothing is taken to scatter less."""
APART = 0.5
"""The part of the distance between the offset and the floor's that is taken for doubt: stamps of a busy machine may be
late in one direction by what no scatter shows."""
HISTORY = 48
_FIRST = 4.0
"""Differences that a first guess of the scatter counts for."""
_ENOUGH = 20


class StatisticWeights(msgspec.Struct, frozen=True):
    """How much each statistic counts, and what may be wrong with that."""

    weight: Vector
    """Shape (statistics,), of sum 1."""
    variance: float
    """Of the offset, the doubt included."""
    doubt: float
    """What of the variance is due to how far the offset lies from the floor's: each may be the one that is wrong."""


def weigh_statistics(known: Mixture, scatter: Vector) -> StatisticWeights:
    """Weigh the statistics. ``scatter`` is the noise of each over both directions, ns**2 * s, shape (4,).

    A statistic that is more precise than the floor is also right if its offset differs from the floor's by no more
    than their precisions explain (the test of Hausman, Econometrica 46 (1978) 1251). A difference beyond that is taken
    for bias where the floor is sharp, as with queues. Where it is blunt, made of a few packets that took a short cut,
    the floor is no better judge; then the difference is doubt.
    """
    apart = known.offset - known.offset[FLOOR]
    explained = 2 * np.maximum(known.variance[FLOOR] - known.variance, 0.0)
    bias = np.maximum(apart * apart - explained, 0.0)
    sharp = scatter / (scatter + scatter[EARLIEST])
    sharp[: EARLIEST + 1] = 1.0
    score = np.maximum(known.variance + sharp * bias, 1.0)
    weight = score.min() / score
    weight /= weight.sum()
    spread = known.offset - known.offset @ weight
    # Where extrapolating moved the floor, it may be wrong by as much.
    variance = (known.variance + bias + spread * spread) @ weight + bias[EARLIEST]
    doubt = (APART * float(apart @ weight)) ** 2
    return StatisticWeights(weight, float(variance) + doubt, doubt)


class Scatter:
    """How much a direction's statistics scatter from block to block, whatever the rate does meanwhile."""

    def __init__(self, guess: Vector, lags: tuple[int, ...]) -> None:
        self.sd = np.maximum(guess, LEAST_NS)
        """Standard deviations, shape (4,)."""
        self.variance = self.sd**2
        self._guess = self.sd
        self._lags = lags
        self._detrended: deque[Vector] = deque(maxlen=HISTORY)
        self._path = self._time = np.zeros(4)
        self._count = 0

    def add_block(self, value: Vector, time_s: Vector, slope_ppb: float) -> None:
        """A block's statistics, the time each is of, and how fast they are thought to grow."""
        self._path = self._path + slope_ppb * (time_s - self._time)
        self._time = time_s
        self._detrended.append(value - self._path)
        self._count += 1
        if self._count < HISTORY or self._count % 8 == 0:
            self._measure()

    def _measure(self) -> None:
        self.sd = self.sd.copy()
        values = np.array(self._detrended)
        for lag in set(self._lags):
            rows = [row for row, each in enumerate(self._lags) if each == lag]
            count = len(values) - lag
            if count < 3:
                continue
            steps = np.abs(values[lag:, rows] - values[:-lag, rows])
            middle = np.sort(steps, axis=0)[count // 2]  # the median, ten times as fast
            # The mean sees that the statistic jumps between two places; a few wild blocks must not count in it.
            found = np.maximum(1.0484 * middle, 0.8862 * np.minimum(steps, 8 * middle).mean(axis=0))
            if count < _ENOUGH:
                found = np.sqrt((_FIRST * self._guess[rows] ** 2 + count * found**2) / (_FIRST + count))
            self.sd[rows] = np.maximum(found, LEAST_NS)
        self.variance = self.sd**2
