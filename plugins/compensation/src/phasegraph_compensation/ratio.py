"""What all strategies share: a ratio that never jumps while it sounds, and the condition to start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .crossing_observer import CrossingObserver
    from .rate_estimator import RateEstimator

LIMIT = 500e-6
"""Largest distance of the ratio from one."""
ACQUIRING_SLOPE = 20e-6
"""Largest change of the ratio per second before lock."""
LONGEST_STEP_S = 0.1
"""Longest gap between two decisions that counts as time passed: after a longer gap the ratio changes no further."""
INFORMATIVE = 60e-6
"""Standard deviation above which a measured rate is not used: a ratio of one is as near."""
_MEASURED = 10e-6
_PLACED_S = 10e-6
"""Standard deviations of the rate, and of the time of a frame, at which a strategy starts."""
LEAST_S, _MOST_S = 0.1, 0.95
"""Earliest and latest start."""


class Ratio:
    """Input frames per output frame, less one. Its distance from zero and its slope are limited."""

    def __init__(self) -> None:
        self.value = 0.0

    def jump(self, wanted: float) -> None:
        """Set a value at once. Only while the output is silent."""
        self.value = min(max(wanted, -LIMIT), LIMIT)

    def approach(self, wanted: float, passed_s: float, slope: float, smoothing_s: float = 0.0) -> None:
        """Move towards a value, by at most ``slope`` per second of ``passed_s``.

        ``smoothing_s`` is the time constant of the approach.
        """
        if passed_s > 0.0:
            most = slope * passed_s
            way = (wanted - self.value) * passed_s / (passed_s + smoothing_s)
            self.jump(self.value + min(max(way, -most), most))


def can_start(estimator: RateEstimator | CrossingObserver, known: bool = False) -> bool:
    """Whether phase and rate are known well enough to start. ``known``: the rate is known from an earlier run."""
    measured = (known or estimator.sigma < _MEASURED) and estimator.sigma_s < _PLACED_S
    return estimator.span_s >= (LEAST_S if measured else _MOST_S)
