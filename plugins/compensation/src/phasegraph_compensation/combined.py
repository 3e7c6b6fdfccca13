"""``combined``: the ratio follows the measured rate, and a slow, bounded feedback takes the error away.

There is no integrator that could wind up: the estimate of the rate is what an integrator would have to find out. The
feedback is proportional, within what the slope limit lets it take back in time, and slower the longer it is locked.
"""

from __future__ import annotations

import math

from .feed_forward import GOOD, GOOD_S, TRACKING_SLOPE, FeedForward, FollowingConfig
from .ratio import ACQUIRING_SLOPE

_FASTEST_S, _SLOWEST_S = 2.0, 8.0
"""Time constant of the feedback, before lock and long after."""
_WIDENING = 6.0
"""It is the time since lock over this. Widened at once, an old error would stay for minutes."""
_SMOOTHNESS = 4.0
_SETTLING_S = 2.0
"""Over so much time feedback changes its ways."""
_ACQUIRING_MOST, _TRACKING_MOST = 100e-6, 3e-6
"""Largest feedback."""
_BRAKE = 0.7
"""Share of the fastest approach from which the slope limit can still brake."""
_SMALL, _LARGE = 0.5, 8.0
"""Frames of error below which it locks, and beyond which it is no longer locked."""
_LOST = 5e-6
"""A rate that is known no better is no longer locked to."""
_DOUBT = 4.0
"""How much faster than confidence grows it goes."""


class Combined(FeedForward):
    """Follows the measured rate, and corrects the error slowly."""

    wander = 7e-9

    def __init__(self, config: FollowingConfig, rate: int) -> None:
        super().__init__(config, rate)
        self._locked_s = 0.0
        self._time_s = _FASTEST_S
        self._most = _ACQUIRING_MOST

    def _feedback(self, error: float, passed_s: float) -> float:
        slope = TRACKING_SLOPE if self._locked else ACQUIRING_SLOPE
        off_s = error / self._rate
        most = min(self._most, _BRAKE * math.sqrt(2.0 * slope * abs(off_s)))
        return min(max(off_s / self._time_s, -most), most)

    def _judge(self, error: float | None, passed_s: float) -> None:
        sigma = self._sighting.device.sigma
        if error is not None:
            good = abs(error) < _SMALL and sigma < GOOD
            grown = self._good_s + (passed_s if good else -_DOUBT * passed_s)
            self._good_s = min(max(grown, 0.0), GOOD_S)  # no more: hours of lock are no reason to keep it
            if self._good_s >= GOOD_S:
                self._locked = True
            elif abs(error) > _LARGE or sigma > _LOST:
                self._locked, self._good_s = False, 0.0
        self._locked_s = self._locked_s + passed_s if self._locked else 0.0
        time_s = min(max(self._locked_s / _WIDENING, _FASTEST_S), _SLOWEST_S)
        share = passed_s / _SETTLING_S
        self._time_s += share * (time_s - self._time_s)
        self._smoothing_s = self._time_s / _SMOOTHNESS
        self._most += share * ((_TRACKING_MOST if self._locked else _ACQUIRING_MOST) - self._most)
