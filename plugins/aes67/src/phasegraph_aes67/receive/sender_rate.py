"""The rate of a sender's media clock against the graph's clock, from the lateness of its packets. Sans-IO.

A packet's lateness is a constant path delay, plus queueing, which only adds, plus what the clocks have drifted apart.
So the least lateness of each window follows the drift. A line is fitted to the newest windows by least squares; its
slope is the rate, with the standard error of the slope:

    rate = -slope          sigma = sqrt(sum(residual**2) / (n - 2) / sum((t - mean(t))**2))

A sender whose clock runs fast has packets that come earlier and earlier: its rate is positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

WINDOW_NS = 250_000_000
SAMPLE_NS = 50_000_000
WINDOWS = 240
"""A minute: what a clock does in that time is its rate, not its wander."""
FEWEST_WINDOWS = 6
STEP_NS = 20_000_000
"""The least lateness of two windows in a row differs by more only if the timestamps jumped, or a queue filled up."""


class RateEstimate(msgspec.Struct, frozen=True):
    """A rate in parts per billion; positive where the sender's clock is fast."""

    ppb: float
    sigma_ppb: float


class SenderRate:
    """Keeps the least lateness of each window. The data plane alone writes it."""

    def __init__(self) -> None:
        self._windows: NDArray[np.int64] = np.empty((2 * WINDOWS, 2), np.int64)
        self._count = 0
        self._end_ns: int | None = None
        self._least: tuple[int, int] = (0, 0)
        self.next_sample_ns = 0
        """A run of packets that arrives before this need not be counted."""

    def add(self, arrival_ns: int, lateness_ns: int) -> None:
        """Count a packet."""
        self.next_sample_ns = arrival_ns + SAMPLE_NS
        if self._end_ns is None or arrival_ns >= self._end_ns:
            if self._end_ns is not None:
                if self._count and self._is_step(self._windows[self._count - 1].tolist(), self._least):
                    self._count = 0
                self._append(self._least)
            self._end_ns = arrival_ns + WINDOW_NS
            self._least = arrival_ns, lateness_ns
        elif lateness_ns < self._least[1]:
            self._least = arrival_ns, lateness_ns

    def _append(self, window: tuple[int, int]) -> None:
        if self._count == len(self._windows):
            self._windows[:WINDOWS] = self._windows[WINDOWS:]
            self._count = WINDOWS
        self._windows[self._count] = window
        self._count += 1

    @staticmethod
    def _is_step(before: Sequence[int], after: tuple[int, int]) -> bool:
        # Beside the step, twice of what a clock drifts that is 1000 ppm off.
        return abs(after[1] - before[1]) > STEP_NS + (after[0] - before[0]) // 500

    def restart(self) -> None:
        """Forget it all: another sender, or another mapping of timestamps to the clock."""
        self._count = 0
        self._end_ns = None
        self.next_sample_ns = 0

    def windows(self) -> RateWindows:
        """The windows that are complete. Any thread may read what is returned."""
        return RateWindows(self._windows[max(0, self._count - WINDOWS) : self._count].copy())


class RateWindows:
    """Arrival and least lateness of some windows, shape (windows, 2), ns. They do not change."""

    def __init__(self, windows: NDArray[np.int64]) -> None:
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    @cached_property
    def rate(self) -> RateEstimate | None:
        """The rate that they show; None where they are too few. Computed at the first reading: most are never read."""
        return _fit(self._windows) if len(self) >= FEWEST_WINDOWS else None


NO_WINDOWS = RateWindows(np.empty((0, 2), np.int64))


def _fit(windows: NDArray[np.int64]) -> RateEstimate:
    # By sums of squares and products: few operations on arrays, since a status needs it of every stream.
    count, apart = len(windows), (windows - windows[0]).astype(np.float64)
    time_sum, lateness_sum = np.add.reduce(apart).tolist()
    (time_square, product), (_, lateness_square) = (apart.T @ apart).tolist()
    spread = time_square - time_sum * time_sum / count
    covariance = product - time_sum * lateness_sum / count
    slope = covariance / spread
    residual_square = max(0.0, lateness_square - lateness_sum * lateness_sum / count - slope * covariance)
    sigma = (residual_square / (count - 2) / spread) ** 0.5
    return RateEstimate(-slope * 1e9, sigma * 1e9)
