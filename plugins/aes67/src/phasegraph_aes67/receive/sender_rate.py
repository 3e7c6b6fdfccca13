"""The rate of a sender's media clock against the graph's clock, from the lateness of its packets. Sans-IO.

A packet's lateness is a constant path delay, plus queueing, which only adds, plus what the clocks have drifted apart.
So the least lateness of each window follows the drift. A line is fitted to the newest windows by least squares; its
slope is the rate, with the standard error of the slope:

    rate = -slope          sigma = sqrt(sum(residual**2) / (n - 2) / sum((t - mean(t))**2))

A sender whose clock runs fast has packets that come earlier and earlier: its rate is positive.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import msgspec

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


class RateWindows(NamedTuple):
    """Sums over windows, of the arrival t and the least lateness x of each in ns. Exact, so that windows can leave."""

    windows: int
    t: int
    x: int
    tt: int
    tx: int
    xx: int

    @property
    def rate(self) -> RateEstimate | None:
        """The rate that they show; None where they are too few."""
        count, t, x, tt, tx, xx = self
        if count < FEWEST_WINDOWS:
            return None
        spread, covariance = count * tt - t * t, count * tx - t * x
        residual_square = ((count * xx - x * x) * spread - covariance * covariance) / (count - 2)
        return RateEstimate(-covariance / spread * 1e9, residual_square**0.5 / spread * 1e9)


NO_WINDOWS = RateWindows(0, 0, 0, 0, 0, 0)


class SenderRate:
    """Keeps the least lateness of each window. The data plane alone writes it."""

    def __init__(self) -> None:
        self._windows: deque[tuple[int, int]] = deque()
        self._sums = list(NO_WINDOWS)
        self._end_ns: int | None = None
        self._least: tuple[int, int] = (0, 0)
        self.next_sample_ns = 0
        """A run of packets that arrives before this need not be counted."""

    def add(self, arrival_ns: int, lateness_ns: int) -> None:
        """Count a packet."""
        self.next_sample_ns = arrival_ns + SAMPLE_NS
        if self._end_ns is None or arrival_ns >= self._end_ns:
            if self._end_ns is not None:
                if self._windows and self._is_step(self._windows[-1], self._least):
                    self._forget()
                self._append(self._least)
            self._end_ns = arrival_ns + WINDOW_NS
            self._least = arrival_ns, lateness_ns
        elif lateness_ns < self._least[1]:
            self._least = arrival_ns, lateness_ns

    def _append(self, window: tuple[int, int]) -> None:
        self._windows.append(window)
        self._sum(window, 1)
        if len(self._windows) > WINDOWS:
            self._sum(self._windows.popleft(), -1)

    def _sum(self, window: tuple[int, int], sign: int) -> None:
        (t, x), sums = window, self._sums
        sums[0] += sign
        sums[1] += sign * t
        sums[2] += sign * x
        sums[3] += sign * t * t
        sums[4] += sign * t * x
        sums[5] += sign * x * x

    @staticmethod
    def _is_step(before: tuple[int, int], after: tuple[int, int]) -> bool:
        # Beside the step, twice of what a clock drifts that is 1000 ppm off.
        return abs(after[1] - before[1]) > STEP_NS + (after[0] - before[0]) // 500

    def restart(self) -> None:
        """Forget it all: another sender, or another mapping of timestamps to the clock."""
        self._forget()
        self._end_ns = None
        self.next_sample_ns = 0

    def _forget(self) -> None:
        self._windows.clear()
        self._sums = list(NO_WINDOWS)

    def windows(self) -> RateWindows:
        """The windows that are complete. Any thread may read what is returned."""
        return RateWindows(*self._sums)
