"""An oscillator with known faults: the origin of every simulated clock's error.

Closed forms only: time can be computed at any instant, in any order, and for whole arrays at once.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

DAY_NS = 86_400_000_000_000


class Ramp(msgspec.Struct, frozen=True):
    """A lasting change of rate, such as from a fan that starts or a room that is heated."""

    at_ns: int
    """When it begins, in true time."""
    ppm: float
    over_ns: int = 0
    """How long it takes; 0 for a step."""


class Oscillator(msgspec.Struct, frozen=True, kw_only=True):
    """The count of a counter, given true time since it started."""

    ppm: float = 0.0
    """Rate offset at the start."""
    ageing_ppm_per_day: float = 0.0
    """Permanent change of the rate, in ppm a day."""
    swing_ppm: float = 0.0
    """Peak of a slow swing of the rate, as from the day's temperature."""
    swing_period_ns: int = DAY_NS
    warm_up_ppm: float = 0.0
    """How much faster it runs when it is warm."""
    warm_up_ns: int = 120_000_000_000
    """Time constant of the warm-up."""
    ramps: tuple[Ramp, ...] = ()

    def rate_ppb(self, true_ns: int) -> float:
        """Momentary rate minus that of true time, accurate to 0.01 ppb."""
        half = 500_000
        return 1e9 * (self.gain_ns(true_ns + half) - self.gain_ns(true_ns - half)) / (2 * half)

    def rates_ppb(self, true_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """`rate_ppb` for an array of times, exactly."""
        ppm = self.ppm + self.ageing_ppm_per_day * true_ns / DAY_NS
        ppm = ppm + self.swing_ppm * np.sin(2 * np.pi * true_ns / self.swing_period_ns)
        ppm = ppm - self.warm_up_ppm * np.expm1(-true_ns / self.warm_up_ns)
        for ramp in self.ramps:
            since = true_ns - ramp.at_ns
            ppm = ppm + ramp.ppm * (np.clip(since / ramp.over_ns, 0, 1) if ramp.over_ns else since >= 0)
        result: NDArray[np.float64] = 1000 * ppm
        return result

    def gain_ns(self, true_ns: int) -> float:
        """Nanoseconds that it is ahead of true time after ``true_ns``: the integral of the rate."""
        gain = self.ppm * true_ns
        if self.ageing_ppm_per_day:
            gain += self.ageing_ppm_per_day * true_ns * (true_ns / DAY_NS) / 2
        if self.swing_ppm:
            angle = 2 * math.pi / self.swing_period_ns
            gain += self.swing_ppm * (1 - math.cos(angle * true_ns)) / angle
        if self.warm_up_ppm:
            gain += self.warm_up_ppm * (true_ns + self.warm_up_ns * math.expm1(-true_ns / self.warm_up_ns))
        for ramp in self.ramps:
            since = true_ns - ramp.at_ns
            if since > 0:
                within = min(since, ramp.over_ns)
                gain += ramp.ppm * (since - within + (within * within / (2 * ramp.over_ns) if within else 0.0))
        return 1e-6 * gain

    def gains_ns(self, true_ns: NDArray[np.float64]) -> NDArray[np.float64]:
        """`gain_ns` for an array of times."""
        gain = self.ppm * true_ns + self.ageing_ppm_per_day * true_ns * (true_ns / DAY_NS) / 2
        angle = 2 * math.pi / self.swing_period_ns
        gain += self.swing_ppm * (1 - np.cos(angle * true_ns)) / angle
        gain += self.warm_up_ppm * (true_ns + self.warm_up_ns * np.expm1(-true_ns / self.warm_up_ns))
        for ramp in self.ramps:
            since = np.maximum(true_ns - ramp.at_ns, 0.0)
            within = np.minimum(since, ramp.over_ns)
            gain += ramp.ppm * (since - within + within * within / (2 * max(1, ramp.over_ns)))
        result: NDArray[np.float64] = 1e-6 * gain
        return result

    def elapsed(self, true_ns: int) -> int:
        """Its count, in its own nanoseconds, after ``true_ns``."""
        return true_ns + round(self.gain_ns(true_ns))

    def elapsed_array(self, true_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """`elapsed` for an array of times."""
        gain: NDArray[np.int64] = np.rint(self.gains_ns(true_ns.astype(np.float64))).astype(np.int64)
        return true_ns + gain

    def true_after(self, elapsed_ns: int) -> int:
        """True time at which it has counted ``elapsed_ns``: the inverse of `elapsed`, accurate to 1 ns."""
        true_ns = elapsed_ns
        for _ in range(4):  # each round divides the error by ten thousand or more
            true_ns = elapsed_ns - round(self.gain_ns(true_ns))
        return true_ns

    def true_after_array(self, elapsed_ns: NDArray[np.float64]) -> NDArray[np.float64]:
        """`true_after` for an array, not rounded."""
        true_ns = elapsed_ns
        for _ in range(4):
            true_ns = elapsed_ns - self.gains_ns(true_ns)
        return true_ns
