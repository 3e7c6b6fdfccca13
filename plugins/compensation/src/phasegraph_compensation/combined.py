"""``combined``: the ratio follows the measured rate, and a slow, bounded feedback removes the error of the position.

``ratio = deviation + clamp(error / time_s)``. There is no integrator that could wind up: the estimated rate is what an
integrator would have to find. The feedback is proportional, limited to what the slope limit can take back in time, and
slower the longer it is locked.
"""

from __future__ import annotations

import math

from .feed_forward import FeedForward, FeedForwardConfig, FeedForwardGains
from .ratio import ACQUIRING_SLOPE


class CombinedGains(FeedForwardGains, frozen=True):
    """Constants of `Combined`, measured as docs/decisions/0013 says."""

    wander: float = 7e-9
    fastest_s: float = 2.0
    """Time constant of the feedback before lock."""
    slowest_s: float = 8.0
    """Time constant of the feedback long after lock: wander 0.104 frames rms at 8 s, 0.109 at 15 s, 0.123 at 30 s."""
    widening: float = 6.0
    """The time constant is the time since lock divided by this. Widened at once, an error would stay for minutes."""
    smoothness: float = 4.0
    """The ratio is smoothed over the feedback's time constant divided by this."""
    settling_s: float = 2.0
    """Time over which the feedback changes its time constant and its limit."""
    acquiring_most: float = 100e-6
    """Largest feedback before lock: 192 frames are caught up in 55 s, without overshoot."""
    tracking_most: float = 3e-6
    """Largest feedback after lock."""
    brake: float = 0.7
    """Share of the fastest approach from which the slope limit can still brake."""
    small: float = 0.5
    """Frames of error below which the strategy locks."""
    large: float = 8.0
    """Frames of error beyond which it loses lock."""
    lost_sigma: float = 5e-6
    """Standard deviation of the rate beyond which it loses lock."""
    doubt: float = 4.0
    """How much faster confidence falls than it grows: lock ends 0.25 s after the error was last small."""


class Combined(FeedForward):
    """Sets the ratio to the measured rate, and corrects the error slowly."""

    gains: CombinedGains = CombinedGains()

    def __init__(self, config: FeedForwardConfig, rate: int) -> None:
        super().__init__(config, rate)
        self._locked_s = 0.0
        self._time_s = self.gains.fastest_s
        self._most = self.gains.acquiring_most

    def _feedback(self, error: float, passed_s: float) -> float:
        slope = self.gains.tracking_slope if self._locked else ACQUIRING_SLOPE
        off_s = error / self._rate
        most = min(self._most, self.gains.brake * math.sqrt(2.0 * slope * abs(off_s)))
        return min(max(off_s / self._time_s, -most), most)

    def _update_lock(self, error: float | None, passed_s: float) -> None:
        gains, sigma = self.gains, self._observer.device.sigma
        if error is not None:
            good = abs(error) < gains.small and sigma < gains.good_sigma
            grown = self._good_s + (passed_s if good else -gains.doubt * passed_s)
            self._good_s = min(max(grown, 0.0), gains.good_s)  # capped: hours of lock must not delay its loss
            if self._good_s >= gains.good_s:
                self._locked = True
            elif abs(error) > gains.large or sigma > gains.lost_sigma:
                self._locked, self._good_s = False, 0.0
        self._locked_s = self._locked_s + passed_s if self._locked else 0.0
        time_s = min(max(self._locked_s / gains.widening, gains.fastest_s), gains.slowest_s)
        share = passed_s / gains.settling_s
        self._time_s += share * (time_s - self._time_s)
        self._smoothing_s = self._time_s / gains.smoothness
        self._most += share * ((gains.tracking_most if self._locked else gains.acquiring_most) - self._most)
