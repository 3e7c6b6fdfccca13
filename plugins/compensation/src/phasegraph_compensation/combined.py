"""``combined``: the ratio follows the measured rate, and a slow, bounded feedback removes the error of the position.

``ratio = deviation + clamp(error / time_s)``. There is no integrator that could wind up: the estimated rate is what an
integrator would have to find. The feedback is proportional, and limited to what the slope limit can take back in time.

It starts at its place, so a small error is left to a slow feedback from the first frame on; only a large error,
as after a stall, is removed in a hurry.
"""

from __future__ import annotations

import math

from .feed_forward import FeedForward, FeedForwardConfig, FeedForwardGains
from .phase_observer import PhaseObserver
from .ratio import ACQUIRING_SLOPE, LEAST_S


class CombinedGains(FeedForwardGains, frozen=True):
    """Constants of `Combined`, measured as docs/decisions/0028 says."""

    wander: float = 2e-9
    drift: float = 2.5e-9
    """Random walk of the drift of the device's rate, per second and root of a second."""
    acquiring_slope: float = 5e-6
    """Largest change of the ratio per second before lock, while no error is large."""
    first_s: float = 40.0
    """Time constant of the feedback at the start, which is at its place as far as anybody knows."""
    excess_s: float = 3.0
    """Time constant of the part of an error that is beyond `small`."""
    hasty_s: float = 2.0
    """Time constant of the feedback after a large error."""
    placed: tuple[float, float] = (2e-6, 3e-6)
    """Standard deviations of the rate, and of the time of a frame, at which it starts at once."""
    start_sigma: float = 5e-6
    """Standard deviation of the rate at which it starts after `start_s`: within the slope limit, twice as large an
    error is taken back before it has moved the position by half a frame."""
    start_s: float = 0.95
    latest_start_s: float = 2.0
    calm_s: float = 8.0
    """Time constant of the feedback before lock."""
    locked_s: float = 4.0
    """Least time constant of the feedback long after lock: an error that a turning drift has left goes soon."""
    memories: float = 0.7
    """The same, as a share of `PhaseObserver.memory_s`: noisy stamps (USB) are not followed as quickly."""
    calming_s: float = 20.0
    """Time over which the feedback becomes as quick as that, after lock."""
    settling_s: float = 3.0
    """Time over which the feedback changes its time constant and its limit before lock."""
    hasty_most: float = 100e-6
    """Largest feedback after a large error: 192 frames are caught up in 55 s, without overshoot."""
    calm_most: float = 3e-6
    """Largest feedback at the start, and after lock."""
    smoothness: float = 4.0
    """The ratio is smoothed over the feedback's time constant divided by this, and half the time since the
    start divided by it while that is shorter."""
    brake: float = 0.7
    """Share of the fastest approach from which the slope limit can still brake."""
    small: float = 0.3
    """Frames of error below which the strategy locks."""
    late: float = 2.0
    """Frames of error beyond which it is removed in a hurry."""
    large: float = 8.0
    """Frames of error beyond which it loses lock."""
    good_s: float = 2.0
    lost_sigma: float = 5e-6
    """Standard deviation of the rate beyond which it loses lock."""
    doubt: float = 8.0
    """How much faster confidence falls than it grows: lock ends 0.25 s after the error was last small."""


class Combined(FeedForward):
    """Sets the ratio to the measured rate, and corrects the error slowly."""

    gains: CombinedGains = CombinedGains()

    def __init__(self, config: FeedForwardConfig, rate: int) -> None:
        super().__init__(config, rate)
        self._hasty = False
        self._heard_s = 0.0
        self._time_s = self.gains.first_s
        self._most = self.gains.calm_most

    def _make_observer(self) -> PhaseObserver:
        self._device = PhaseObserver(self._rate, self.gains.wander, self.gains.drift)
        return self._device

    def _measured(self) -> bool:
        observer, gains = self._observer, self.gains
        rate, place_s = gains.placed
        if observer.sigma < rate and observer.sigma_s < place_s:
            return observer.span_s >= LEAST_S
        return observer.span_s >= (gains.start_s if observer.sigma < gains.start_sigma else gains.latest_start_s)

    def _slope(self) -> float:
        if self._locked:
            return self.gains.tracking_slope
        return ACQUIRING_SLOPE if self._hasty else self.gains.acquiring_slope

    def _feedback(self, error: float, passed_s: float) -> float:
        off_s = error / self._rate
        most = min(self._most, self.gains.brake * math.sqrt(2.0 * self._slope() * abs(off_s)))
        wanted = off_s / self._time_s
        if (excess := abs(error) - self.gains.small) > 0.0:
            wanted += math.copysign(excess / self._rate / self.gains.excess_s, error)
        return min(max(wanted, -most), most)

    def _update_lock(self, error: float | None, passed_s: float) -> None:
        gains, sigma = self.gains, self._sigma
        if error is not None:
            self._hasty = abs(error) > (gains.small if self._hasty else gains.late)
            good = abs(error) < gains.small and sigma < gains.good_sigma
            if good:  # capped: hours of lock must not delay its loss
                self._good_s = min(self._good_s + passed_s, gains.good_s)
            else:
                self._good_s = max(self._good_s - gains.doubt * passed_s, 0.0)
            if self._good_s >= gains.good_s:
                self._locked = True
            elif abs(error) > gains.large or sigma > gains.lost_sigma:
                self._locked, self._good_s = False, 0.0
        self._heard_s += passed_s
        share = passed_s / gains.settling_s
        if self._hasty:
            self._time_s += share * (gains.hasty_s - self._time_s)
        elif self._locked:
            wanted_s = max(gains.locked_s, gains.memories * self._device.memory_s)
            self._time_s += passed_s / gains.calming_s * (wanted_s - self._time_s)
        else:
            self._time_s += share * (gains.calm_s - self._time_s)
        self._most += share * ((gains.hasty_most if self._hasty else gains.calm_most) - self._most)
        self._smoothing_s = min(self._time_s, 0.5 * self._heard_s) / gains.smoothness
