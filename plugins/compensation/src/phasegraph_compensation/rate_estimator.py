"""Estimates a device's rate from the times at which its frames sound: a Kalman filter of two states, or of three.

State vector ``x = [t, p, d]``: ``t`` is the time at which the newest frame sounds, in seconds; ``p`` is the **pace**,
the seconds that pass while the device counts one nominal second of frames, so ``p = 1 / (1 + rate error)``; ``d`` is
the change of the pace per second, which stays 0 where no ``drift`` is allowed. `deviation` is ``p - 1``. Times are
integers in nanoseconds; only the remainder after a prediction is a float. The equations are in `state_covariance`.

A prediction covers the nominal seconds of frames that have passed. It is corrected by one stamp ``z`` of the time, with
the noise ``r``: ``y = z - t``.

``r`` is measured from the stamps (variance of ``y`` over a second, less ``a``) and has a floor for the slow wander of
the reference clock. A stamp beyond `GATE` standard deviations counts less, one beyond `FAR` does not count; `OUTLIERS`
of them in a row restart the phase. A changed rate is detected by the residual's mean: ``residual_mean`` (1 s) leaves
``residual_mean_slow`` (10 s) by more than `CHANGE` times ``residual_wander``, the usual distance between the two.

Where each constant was measured: the simulated crossing of ``benchmarks/compensation.py`` (PCI and USB stamps, six
seeds) and the scenario ``drift-step``; see docs/decisions/0013-the-compensators-constants.md.
"""

from __future__ import annotations

import math

from phasegraph import NS_PER_S, DeviceRate

from .state_covariance import StateCovariance

FIRST_DRIFT = 20e-9
"""Standard deviation of a drift that is not known, per second: a card that warms up by 3 ppm within two minutes."""
FIRST_SIGMA_S = 50e-6
"""Noise of a stamp until it is measured. USB cards, whose pointer moves by 6 frames, have 36 us."""
LEAST_SIGMA_S, LARGEST_SIGMA_S = 5e-6, 5e-3
"""Limits of the measured noise. Below 5 us a remembered rate of another card is not given up."""
_LEAST_R, _LARGEST_R = LEAST_SIGMA_S**2, LARGEST_SIGMA_S**2
UNKNOWN_RATE = 150e-6
"""Standard deviation of an unknown rate: crystals of sound cards are within 100 ppm."""
LEAST_KNOWN = 2e-6
"""Least standard deviation of a rate that an earlier run measured: the device was warm then (3 ppm of warm-up)."""
LARGEST_RATE = 1e-3
CLOCK_DENSITY = 4.8e-12
"""Slow wander of the reference clock, in s^2 times s: equals 30 us of noise in stamps that come every 5.3 ms. The
errors of PTP last for seconds and do not average out as a stamp's noise does."""
CLOCK_TIME_S = 20.0
"""Age at which the filter applies all of `CLOCK_DENSITY`: a younger filter is less certain than the clock."""
GATE = 3.0
"""Standard deviations beyond which a stamp counts less and less."""
FAR = 30.0
"""Standard deviations beyond which a stamp does not count."""
OUTLIERS = 12
"""Outliers in a row after which the phase restarts at them."""
AGAIN_S = 10.0
"""A phase that restarts twice within this time was lost to a wrong rate, which becomes unknown."""
LOSS_S = 1.0
"""Time after lost frames in which the phase may restart again, and the rate stays: the driver corrects their number."""
UNSETTLED_S = 2e-6
"""Least standard deviation of the phase within `LOSS_S` after a wrong count: the driver knows the time that has passed
better and better."""
LONGEST_GAP_S = 10.0
CHANGED_RATE = 20e-6
"""Standard deviation of a rate that has changed. In ``drift-step`` the error is then 1.2 frames, not 109."""
CHANGE = 6.0
"""Standard deviations of the residual's mean that show a changed rate."""
_MOST_USUAL = 3.0
"""Standard deviations of the residual's mean that still count as usual wander."""
LEAST_WANDER_S = 0.5e-6
"""Least usual wander of the residual's mean."""
_SLOW = 0.1
"""How much slower `residual_mean_slow` follows than `residual_mean`."""
_WANDER_TIME_S = 60.0
"""Time constant over which the usual wander of the residual's mean is measured."""
_NOISE_TIME_S = 1.0
"""Time constant over which the noise of the stamps is measured."""
_UNMEASURED = 10
"""First stamps, which are not used to measure noise."""


def deviation_of(device: DeviceRate) -> float:
    """The pace of a device, less one, from its rate."""
    rate = min(max(device.rate_ppb * 1e-9, -LARGEST_RATE), LARGEST_RATE)
    return 1.0 / (1.0 + rate) - 1.0


def device_rate_of(deviation: float, sigma: float) -> DeviceRate:
    """The rate of a device from its pace, less one: the inverse of `deviation_of`."""
    return DeviceRate((1.0 / (1.0 + deviation) - 1.0) * 1e9, sigma * 1e9)


class RateEstimator:
    """Estimates the rate, and the time of the newest frame, from (frame, time) pairs in order."""

    def __init__(
        self,
        rate: int,
        wander: float,
        drift: float | None = None,
        *,
        clock_density: float = CLOCK_DENSITY,
        first_sigma_s: float = FIRST_SIGMA_S,
    ) -> None:
        """``rate`` is the nominal rate in frames per second; ``wander`` its random walk, per root of a second.

        ``drift`` is the random walk of its drift, per second and root of a second; None for a filter of two states.
        ``clock_density`` is 0 for stamps of the local counter, which has no errors of its own. ``first_sigma_s`` is the
        noise of a stamp until it is measured.
        """
        self.deviation = 0.0
        """The pace less one."""
        self.interval_s = 0.0
        """Nominal time between the newest two frames."""
        self.span_s = 0.0
        """Nominal time since the first."""
        self.count = 0
        self.changes = 0
        """Number of changes of the rate that were detected."""
        self.reseeds = 0
        """Number of restarts of the phase that no loss explains."""
        self.since_loss_s = math.inf
        """Nominal time since frames were lost."""
        self._rate = rate
        self._drift = 0.0
        self._first_drift = 0.0 if drift is None else FIRST_DRIFT
        self._clock_density = clock_density
        self._frame = 0
        self._base_ns = 0
        self._rest_s = 0.0
        self._spread = StateCovariance(
            (first_sigma_s, UNKNOWN_RATE, self._first_drift), wander, 0.0 if drift is None else drift
        )
        self._r = self._noise = first_sigma_s**2
        self._residual_mean = self._residual_mean_slow = 0.0
        self._residual_wander = self._learned_s = 0.0
        self._outliers = 0
        self._unsettled = False
        self._quiet_s = math.inf
        self._since_s = 0.0  # since the first stamp, or since the newest change of the rate

    @property
    def sigma(self) -> float:
        """One standard deviation of `deviation`."""
        return math.sqrt(self._spread.rate)

    @property
    def sigma_s(self) -> float:
        """One standard deviation of the filtered time, in seconds."""
        return math.sqrt(self._spread.phase)

    def residual_s(self, time_ns: int) -> float:
        """Filtered time of the newest frame, less ``time_ns``, in seconds."""
        return (self._base_ns - time_ns) * 1e-9 + self._rest_s

    def after_s(self, other: RateEstimator) -> float:
        """Filtered time of the newest frame, less that of another estimator, in seconds."""
        return (self._base_ns - other._base_ns) * 1e-9 + self._rest_s - other._rest_s

    def start_with(self, device: DeviceRate) -> None:
        """Start with a rate that an earlier run measured. Call it before the first pair."""
        self.deviation = deviation_of(device)
        self._spread.set_rate(min(max(device.sigma_ppb * 1e-9, LEAST_KNOWN), UNKNOWN_RATE))

    def add_rate(self, deviation: float, sigma: float) -> None:
        """Use a rate that was measured elsewhere, unless the stamps have shown that it is another."""
        off, spread = deviation - self.deviation, self._spread
        if off * off > GATE * GATE * (spread.rate + sigma * sigma):
            return
        phase, pace, drift = spread.correct_by_rate(sigma * sigma)
        self._rest_s += phase * off
        self.deviation += pace * off
        self._drift += drift * off

    def shift_time(self, by_ns: int) -> None:
        """Follow a step of the timescale: add ``by_ns`` to the time of the newest frame."""
        self._base_ns += by_ns

    def renumber_frames(self, by: int) -> None:
        """Follow a renumbering: frame n is now called n + ``by``."""
        self._frame += by

    def add_frame_time(self, frame: int, time_ns: int, *, after_loss: bool = False) -> None:
        """Update the estimate by one stamp: ``frame`` sounds at ``time_ns``.

        ``after_loss`` if frames were lost before it: where their count was wrong, the phase restarts at this stamp,
        and the rate stays.
        """
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
        self.since_loss_s += passed
        self.count += 1
        self._predict_state(frame, passed)
        if after_loss:
            self.since_loss_s = 0.0
            self._unsettled = False
            if abs(self.residual_s(time_ns)) > math.sqrt(self._spread.phase + self._r):
                self._seed(frame, time_ns)
                self._unsettled = True
                # Stamps agree with each other then, and not yet with the truth.
                self._spread.set_phase(max(self.sigma_s, FIRST_SIGMA_S))
                return
        self._correct_state(time_ns)

    def _seed(self, frame: int, time_ns: int) -> None:
        self._frame, self._base_ns, self._rest_s = frame, time_ns, 0.0
        self._spread.set_phase(math.sqrt(self._r))
        self._outliers = 0
        self._residual_mean = self._residual_mean_slow = 0.0

    def _predict_state(self, frame: int, passed: float) -> None:
        whole, part = divmod((frame - self._frame) * NS_PER_S, self._rate)
        self._base_ns += whole
        self._rest_s += passed * (self.deviation + 0.5 * passed * self._drift) + part / self._rate * 1e-9
        self.deviation += passed * self._drift
        self._frame = frame
        if abs(self._rest_s) > 1e-6:  # into the integer part, so that the float stays small
            moved = round(self._rest_s * 1e9)
            self._base_ns += moved
            self._rest_s -= moved * 1e-9
        self._spread.predict(passed, UNKNOWN_RATE)
        if self.since_loss_s < LOSS_S and self._unsettled:
            self._spread.set_phase(max(self.sigma_s, UNSETTLED_S))

    def _correct_state(self, time_ns: int) -> None:
        y = -self.residual_s(time_ns)
        r = self._r
        spread = self._spread
        off = abs(y) / math.sqrt(spread.phase + r)
        if off > GATE:
            self._outliers += 1
            if self._outliers >= OUTLIERS:
                self._restart_phase(time_ns)
                return
            r *= off * off / 4.5 if off < FAR else 1e6
        else:
            self._outliers = 0
            self._measure_noise(y)
        if self.interval_s and self._clock_density:
            r = max(r, self._clock_density / self.interval_s * min(1.0, self._since_s / CLOCK_TIME_S))
        phase, pace, drift = spread.correct_by_phase(r)
        self._rest_s += phase * y
        self.deviation += pace * y
        if not -LARGEST_RATE <= self.deviation <= LARGEST_RATE:
            self.deviation = min(max(self.deviation, -LARGEST_RATE), LARGEST_RATE)
        self._drift += drift * y

    def _measure_noise(self, y: float) -> None:
        known = self.count - _UNMEASURED
        if known <= 0 or self.since_loss_s < LOSS_S:  # what a wrong count leaves is no noise of the stamps
            return
        share = max(1.0 / (known + 1), 1.0 - math.exp(-self.interval_s / _NOISE_TIME_S))
        off = y - self._residual_mean
        self._residual_mean += share * off
        self._residual_mean_slow += _SLOW * share * (self._residual_mean - self._residual_mean_slow)
        self._noise += share * (off * (y - self._residual_mean) - self._spread.phase - self._noise)
        lasting = 0.0
        if self._since_s >= AGAIN_S:
            # The slow wander of a bad clock is noise too, as far as it is usual. A young filter does not count it:
            # stamps that run away from a wrong rate have to become outliers.
            lasting = self._residual_mean**2
            if self._learned_s >= AGAIN_S:
                lasting = min(lasting, _MOST_USUAL**2 * self._residual_wander)
            self._detect_rate_change()
        self._r = min(max(1.15 * (self._noise + lasting), _LEAST_R), _LARGEST_R)

    def _detect_rate_change(self) -> None:
        # A changed rate moves the residual away from its mean, further with every stamp. The wander of the clock moves
        # it too, by a distance that is measured while nothing changes.
        fall = (self._residual_mean - self._residual_mean_slow) ** 2
        known = self._learned_s >= AGAIN_S
        if known and fall > CHANGE**2 * self._residual_wander:
            self.changes += 1
            self._since_s = 0.0
            self._residual_wander *= 2.0  # if the clock became worse instead, the next such wander is usual
            self._spread.set_phase(max(self.sigma_s, abs(self._residual_mean)))
            self._spread.set_rate(CHANGED_RATE)
            self._forget_drift()
            self._residual_mean = self._residual_mean_slow = 0.0
        elif self.span_s >= CLOCK_TIME_S:
            self._learned_s += self.interval_s
            wander, share = self._residual_wander, self.interval_s / min(self._learned_s, _WANDER_TIME_S)
            # Limited, so that the start of a change does not count as usual wander.
            fresh = min(fall, _MOST_USUAL**2 * wander) if known else fall
            self._residual_wander = max(wander + share * (fresh - wander), LEAST_WANDER_S**2)

    def _forget_drift(self) -> None:
        self._spread.set_drift(self._first_drift)
        self._drift = 0.0

    def _restart_phase(self, time_ns: int) -> None:
        # The phase jumped (an xrun, a step), and the rate of the card stays. A second jump within `AGAIN_S` shows that
        # the rate is wrong.
        if self.since_loss_s >= LOSS_S:
            self.reseeds += 1
            if self._quiet_s < AGAIN_S:
                self._spread.set_rate(UNKNOWN_RATE)
                self._forget_drift()
            self._quiet_s = 0.0
        self._seed(self._frame, time_ns)
