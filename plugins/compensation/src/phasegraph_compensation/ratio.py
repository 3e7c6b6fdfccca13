"""What all strategies share: the ratio, which never jumps while it is heard, and when to begin."""

from __future__ import annotations

from .rate_estimator import RateEstimator

LIMIT = 500e-6
"""No ratio is further from one."""
ACQUIRING_SLOPE = 20e-6
"""Most that the ratio changes in a second before lock."""
LONGEST_STEP_S = 0.1
"""After a longer gap the ratio has no more room to change than after this."""
INFORMATIVE = 60e-6
"""A rate that is known no better is no better than none."""
_MEASURED = 10e-6
_PLACED_S = 10e-6
"""When the rate, and the time of a frame, are known so well, it begins."""
_LEAST_S, _MOST_S = 0.1, 1.0
"""But not earlier, and not later, than this."""


class Ratio:
    """Input frames per output frame, less one: limited, and slow to change."""

    def __init__(self) -> None:
        self.value = 0.0

    def jump(self, wanted: float) -> None:
        """Take a value at once: while nothing sounds."""
        self.value = min(max(wanted, -LIMIT), LIMIT)

    def approach(self, wanted: float, passed_s: float, slope: float, smoothing_s: float = 0.0) -> None:
        """Go towards a value for as long as has passed, by at most ``slope`` a second.

        ``smoothing_s`` is the time constant in which it gets there.
        """
        if passed_s > 0.0:
            most = slope * passed_s
            way = (wanted - self.value) * passed_s / (passed_s + smoothing_s)
            self.jump(self.value + min(max(way, -most), most))


def ready(estimator: RateEstimator, known: bool = False) -> bool:
    """Whether enough is known of a phase and, unless it is ``known`` from elsewhere, of a rate to begin."""
    measured = (known or estimator.sigma < _MEASURED) and estimator.sigma_s < _PLACED_S
    return estimator.span_s >= (_LEAST_S if measured else _MOST_S)
