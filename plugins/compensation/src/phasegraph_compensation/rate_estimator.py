"""How fast a device runs, from the times at which its frames sound: a Kalman filter of two states.

The states are the time of the newest frame and the **pace**: seconds that pass while the device counts one nominal
second of frames, so 1 / (1 + how much it runs fast). Times are integers in nanoseconds, and only what is left after a
prediction becomes a float.
"""

from __future__ import annotations

import math

from phasegraph import NS_PER_S, DeviceRate

FIRST_SIGMA_S = 50e-6
"""Noise of a stamp, until the stamps themselves have told."""
LEAST_SIGMA_S, LARGEST_SIGMA_S = 5e-6, 5e-3
UNKNOWN_RATE = 150e-6
"""Standard deviation of a rate that nothing is known of: crystals of sound cards are within 100 ppm."""
LEAST_KNOWN = 2e-6
"""What earlier runs have learned is no better: then the device was warm."""
LARGEST_RATE = 1e-3
CLOCK_DENSITY = 4.8e-12
"""Slow wander of the reference, which is not the device's and not to be followed: s^2 times s, as much as 30 us of
noise in stamps that come every 5.3 ms."""
CLOCK_TIME_S = 20.0
"""It is not felt within less than this."""
GATE = 3.0
"""Standard deviations beyond which a stamp counts less and less."""
FAR = 30.0
"""Those beyond which it does not count."""
OUTLIERS = 12
"""Outliers in a row that are the truth: the phase begins anew there."""
AGAIN_S = 10.0
"""A phase that has to begin anew so soon again was lost to a wrong rate."""
LONGEST_GAP_S = 10.0
CHANGED_RATE = 20e-6
"""Standard deviation of a rate that was found to have changed."""
CHANGE = 6.0
"""Standard deviations beyond which the stamps' mean distance from the line says so."""
_MOST_USUAL = 3.0
"""Those that still count as what is usual."""
LEAST_LEAN_S = 0.5e-6
"""The least that one of them is."""
_SLOW = 0.1
"""How much slower a mean is that tells where they were before."""
_USUAL_TIME_S = 60.0
"""Over so much time it is measured how far that mean goes when nothing has changed."""
_NOISE_TIME_S = 1.0
"""Over so much time the noise of the stamps is measured."""
_UNMEASURED = 10
"""Stamps at the beginning that tell little of it."""


def deviation_of(device: DeviceRate) -> float:
    """The pace of a device, less one, by its rate."""
    rate = min(max(device.rate_ppb * 1e-9, -LARGEST_RATE), LARGEST_RATE)
    return 1.0 / (1.0 + rate) - 1.0


def published(deviation: float, sigma: float) -> DeviceRate:
    """The rate of a device by its pace: the inverse of `deviation_of`."""
    return DeviceRate((1.0 / (1.0 + deviation) - 1.0) * 1e9, sigma * 1e9)


class RateEstimator:
    """Give it (frame, time) pairs in order; ask it for the rate and for the filtered time of the newest frame."""

    def __init__(self, rate: int, wander: float) -> None:
        """``rate`` is the nominal one, in frames per second; ``wander`` its random walk, per root of a second."""
        self.deviation = 0.0
        """The pace less one."""
        self.interval_s = 0.0
        """Nominal time between the newest two frames."""
        self.span_s = 0.0
        """Nominal time since the first."""
        self.count = 0
        self.changes = 0
        """How often the rate was found to have changed."""
        self.reseeds = 0
        """How often the phase had to begin anew."""
        self._rate = rate
        self._wander = wander
        self._frame = 0
        self._base_ns = 0
        self._rest_s = 0.0
        self._a, self._b, self._c = FIRST_SIGMA_S**2, 0.0, UNKNOWN_RATE**2
        self._r = self._noise = FIRST_SIGMA_S**2
        self._lean = self._slow = 0.0
        self._usual = self._learned_s = 0.0
        self._outliers = 0
        self._quiet_s = math.inf
        self._since_s = 0.0  # the first stamp, or that the rate was found to have changed

    @property
    def sigma(self) -> float:
        """One standard deviation of `deviation`."""
        return math.sqrt(self._c)

    @property
    def sigma_s(self) -> float:
        """One standard deviation of the filtered time, in seconds."""
        return math.sqrt(self._a)

    def residual_s(self, time_ns: int) -> float:
        """How far the filtered time of the newest frame is after ``time_ns``."""
        return (self._base_ns - time_ns) * 1e-9 + self._rest_s

    def after_s(self, other: RateEstimator) -> float:
        """How far the filtered time of the newest frame is after another's."""
        return (self._base_ns - other._base_ns) * 1e-9 + self._rest_s - other._rest_s

    def know(self, device: DeviceRate) -> None:
        """Begin with what was known before the first pair."""
        self.deviation = deviation_of(device)
        self._c = min(max(device.sigma_ppb * 1e-9, LEAST_KNOWN), UNKNOWN_RATE) ** 2

    def shift(self, by_ns: int) -> None:
        """The timescale has been stepped: the same instants are now called later by so much."""
        self._base_ns += by_ns

    def renumber(self, by: int) -> None:
        """The frames have been renumbered: what was frame n is n + ``by`` now."""
        self._frame += by

    def update(self, frame: int, time_ns: int) -> None:
        """Take in that a frame sounds at a time."""
        passed = (frame - self._frame) / self._rate
        self.interval_s = 0.0
        if not self.count or not 0.0 <= passed <= LONGEST_GAP_S:
            self._seed(frame, time_ns)
            self.count += 1
            return
        self.interval_s = passed
        self.span_s += passed
        self._quiet_s += passed
        self._since_s += passed
        self.count += 1
        self._predict(frame, passed)
        self._correct(time_ns)

    def _seed(self, frame: int, time_ns: int) -> None:
        self._frame, self._base_ns, self._rest_s = frame, time_ns, 0.0
        self._a, self._b, self._outliers = self._r, 0.0, 0
        self._lean = self._slow = 0.0

    def _predict(self, frame: int, passed: float) -> None:
        whole, part = divmod((frame - self._frame) * NS_PER_S, self._rate)
        self._base_ns += whole
        self._rest_s += passed * self.deviation + part / self._rate * 1e-9
        self._frame = frame
        if abs(self._rest_s) > 1e-6:  # into the whole part, so that it stays small
            moved = round(self._rest_s * 1e9)
            self._base_ns += moved
            self._rest_s -= moved * 1e-9
        q = self._wander * self._wander * passed
        self._a += 2 * passed * self._b + passed * passed * self._c + q * passed * passed / 3
        self._b += passed * self._c + q * passed / 2
        self._c = min(self._c + q, UNKNOWN_RATE**2)

    def _correct(self, time_ns: int) -> None:
        y = -self.residual_s(time_ns)
        r = self._r
        off = abs(y) / math.sqrt(self._a + r)
        if off > GATE:
            self._outliers += 1
            if self._outliers >= OUTLIERS:
                self._begin_anew(time_ns)
                return
            r *= off * off / 4.5 if off < FAR else 1e6
        else:
            self._outliers = 0
            self._measure_noise(y)
        if self.interval_s:
            r = max(r, CLOCK_DENSITY / self.interval_s * min(1.0, self._since_s / CLOCK_TIME_S))
        s = self._a + r
        phase, pace = self._a / s, self._b / s
        self._rest_s += phase * y
        self.deviation = min(max(self.deviation + pace * y, -LARGEST_RATE), LARGEST_RATE)
        self._c -= pace * self._b
        self._a -= phase * self._a
        self._b -= phase * self._b

    def _measure_noise(self, y: float) -> None:
        known = self.count - _UNMEASURED
        if known <= 0:
            return
        share = max(1.0 / (known + 1), 1.0 - math.exp(-self.interval_s / _NOISE_TIME_S))
        off = y - self._lean
        self._lean += share * off
        self._slow += _SLOW * share * (self._lean - self._slow)
        self._noise += share * (off * (y - self._lean) - self._a - self._noise)
        lasting = 0.0
        if self._since_s >= AGAIN_S:
            # The slow wander of a bad clock is noise as well, as far as it is usual. Not at first: stamps that run away
            # from a wrong rate are outliers in the end.
            lasting = self._lean**2
            if self._learned_s >= AGAIN_S:
                lasting = min(lasting, _MOST_USUAL**2 * self._usual)
            self._look_for_a_change()
        self._r = min(max(1.15 * (self._noise + lasting), LEAST_SIGMA_S**2), LARGEST_SIGMA_S**2)

    def _look_for_a_change(self) -> None:
        # A rate that has changed takes the stamps away from the line, ever further. So does the clock's wander, but how
        # far is known from before.
        fall = (self._lean - self._slow) ** 2
        known = self._learned_s >= AGAIN_S
        if known and fall > CHANGE**2 * self._usual:
            self.changes += 1
            self._since_s = 0.0
            self._usual *= 2.0  # it may have been a clock that has become worse, and will be so again
            self._a = max(self._a, self._lean**2)
            self._c = CHANGED_RATE**2
            self._lean = self._slow = 0.0
        elif self.span_s >= CLOCK_TIME_S:
            self._learned_s += self.interval_s
            share = self.interval_s / min(self._learned_s, _USUAL_TIME_S)
            # What is on its way to become a change is not to pass for usual.
            fresh = min(fall, _MOST_USUAL**2 * self._usual) if known else fall
            self._usual = max(self._usual + share * (fresh - self._usual), LEAST_LEAN_S**2)

    def _begin_anew(self, time_ns: int) -> None:
        # The phase has jumped (an xrun, a step); the rate is the card's own and stays. Unless that has just happened:
        # then the stamps run away from the line because the rate is wrong.
        self.reseeds += 1
        if self._quiet_s < AGAIN_S:
            self._c = UNKNOWN_RATE**2
        self._quiet_s = 0.0
        self._seed(self._frame, time_ns)
