"""An oscillator with known faults: where every simulated clock's error comes from.

Closed forms only, so that time can be asked for at any instant, in any order, and for whole arrays at once.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

DAY_NS = 86_400_000_000_000


class Oscillator(msgspec.Struct, frozen=True, kw_only=True):
    """How far a counter has gone, given true time since it began."""

    ppm: float = 0.0
    """How much it runs fast."""
    ageing_ppm_per_day: float = 0.0
    """How fast that changes for good."""
    swing_ppm: float = 0.0
    """A slow swing about it, as the day's temperature makes one: its peak."""
    swing_period_ns: int = DAY_NS

    def rate_ppb(self, true_ns: int) -> float:
        """Momentary rate against true time."""
        swing = self.swing_ppm * math.sin(2 * math.pi * true_ns / self.swing_period_ns)
        return 1000 * (self.ppm + self.ageing_ppm_per_day * true_ns / DAY_NS + swing)

    def gain_ns(self, true_ns: int) -> float:
        """Nanoseconds that it is ahead after ``true_ns``: the integral of the rate."""
        angle = 2 * math.pi / self.swing_period_ns
        swing = self.swing_ppm * (1 - math.cos(angle * true_ns)) / angle if self.swing_ppm else 0.0
        return 1e-6 * (self.ppm * true_ns + self.ageing_ppm_per_day * true_ns * (true_ns / DAY_NS) / 2 + swing)

    def elapsed(self, true_ns: int) -> int:
        """What it has counted, in its own nanoseconds, after ``true_ns``."""
        return true_ns + round(self.gain_ns(true_ns))

    def elapsed_array(self, true_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """`elapsed` for an array of times."""
        if self.swing_ppm or self.ageing_ppm_per_day:
            return np.array([self.elapsed(int(at)) for at in true_ns], np.int64)
        gain: NDArray[np.int64] = np.rint(1e-6 * (self.ppm * true_ns)).astype(np.int64)
        return true_ns + gain

    def true_after(self, elapsed_ns: int) -> int:
        """True time at which it has counted so much: the inverse of `elapsed`, right to a nanosecond."""
        true_ns = elapsed_ns
        for _ in range(4):  # each round divides the error by ten thousand or more
            true_ns = elapsed_ns - round(self.gain_ns(true_ns))
        return true_ns
