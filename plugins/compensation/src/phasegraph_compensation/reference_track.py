"""Tracks the stream's clock against the local counter, more smoothly than the clock's own estimates do.

The local counter is a crystal that changes its rate slowly, by much less than a clock's estimates move. A Kalman filter
of phase, rate and drift (`state_covariance`) therefore averages over a minute what a clock publishes, and knows within
a second, from the clock's own rate and its published sigma, as much as there is to know.

The error of a clock lasts: estimates that come every 125 ms have nearly the same error. Both measurements, phase and
rate, therefore count as one for each `CORRELATION_S`, or for the time since the first of them while that is shorter:
the variance ``sigma^2`` of one of them grows to ``sigma^2 (1 + 2 age / interval)``. While a clock corrects its
first error, which its falling sigma shows, the newest phase replaces those before it.

Two such filters run: one for a counter whose drift hardly changes (`CALM_DRIFT`), with a fifth less of the clock's
noise, and one for a counter that follows an air conditioner (`DRIFT`). Their distance, averaged over `DISTANCE_TIME_S`,
is small where the counter is calm, and grows beyond the clock's noise where it is not: the result moves from the calm
one to the quick one by the square of it.
"""

from __future__ import annotations

import math

from phasegraph import ClockEstimate, ClockState

from .state_covariance import StateCovariance

CORRELATION_S = 10.0
"""For how long the error of a clock lasts."""
WANDER = 0.5e-9
"""Random walk of the rate of the local counter, per root of a second."""
DRIFT = 50e-12
"""Random walk of its drift. A crystal that follows an air conditioner by 1 ppm in half an hour is then tracked to 0.06
frames rms, and 2 us of noise are averaged to 0.06 frames rms, 0.35 peak to peak in 4000 s."""
CALM_DRIFT = 12e-12
"""The same of a counter in a room of steady temperature: 2 us of noise are averaged to 0.055 frames rms."""
DISTANCE_TIME_S = 60.0
QUICK_SIGMAS = 1.25
"""Distance of the two filters, in sigmas of the clock, from which on the quick one counts alone. By noise it is 0.3."""
USUAL_POWER = 0.1
"""Square of that distance, as a share of the square of `QUICK_SIGMAS`, up to which the calm filter counts alone."""
FIRST_DRIFT = 5e-9
FALLING = 0.97
"""Factor on its sigma from one estimate to the next that shows a clock which still corrects its first error."""
UNKNOWN_RATE = 150e-6
LEAST_SIGMA_S, LARGEST_SIGMA_S = 50e-9, 10e-3
"""Limits of the published sigma."""
LEAST_RATE_SIGMA = 20e-9
"""Least standard deviation of a published rate."""
LONGEST_GAP_NS = 3600 * 1_000_000_000
"""Gap between two estimates after which it begins again."""
LEAST_INTERVAL_S, LARGEST_STEP_S = 1e-3, 10.0
FORGETS_DRIFT_S = 100.0
"""Time constant within which the drift is given up while nothing is measured."""
FAR = 6.0
"""Standard deviations beyond which an estimate is surprising."""
SURPRISES = 4
"""Surprises in a row that show a step of the clock, which it has not counted."""
_MEASURED = (ClockState.LOCKED, ClockState.ACQUIRING)


class ReferenceTrack:
    """The smoothed map from local to reference time. Positive times are ahead of the clock's own map."""

    def __init__(self) -> None:
        self._calm, self._quick = ReferenceFilter(CALM_DRIFT), ReferenceFilter(DRIFT)
        self._distance_s = 0.0
        self._quick_share = 0.0
        self._newest_ns: int | None = None
        self.rate = 0.0
        """Reference seconds per local second, less one, at the newest estimate."""
        self.sigma = self._quick.sigma
        """One standard deviation of `rate`."""

    @property
    def known(self) -> bool:
        """Whether there was an estimate that counts."""
        return self._quick.known

    @property
    def sigma_s(self) -> float:
        """One standard deviation of the smoothed time, in seconds."""
        return self._quick.sigma_s

    def ahead_s(self, local_ns: int) -> float:
        """Smoothed reference time, less that of the clock's newest estimate, in seconds."""
        calm_s = self._calm.ahead_s(local_ns)
        if not self._quick_share:
            return calm_s
        return calm_s + self._quick_share * (self._quick.ahead_s(local_ns) - calm_s)

    def observe(self, estimate: ClockEstimate) -> None:
        """Use the newest estimate of the clock. Estimates of a clock that has no reference move nothing."""
        self._calm.observe(estimate)
        self._quick.observe(estimate)
        if not self.known:
            return
        local_ns, before_ns = estimate.local_ns, self._newest_ns
        passed_s = 0.0 if before_ns is None else min(max((local_ns - before_ns) * 1e-9, 0.0), LARGEST_STEP_S)
        self._newest_ns = local_ns
        distance_s = self._quick.ahead_s(local_ns) - self._calm.ahead_s(local_ns)
        self._distance_s += passed_s / DISTANCE_TIME_S * (distance_s - self._distance_s)
        power = (self._distance_s / (QUICK_SIGMAS * _sigma_s(estimate))) ** 2
        self._quick_share = min(1.0, max(0.0, (power - USUAL_POWER) / (1.0 - USUAL_POWER)))
        self.rate = self._calm.rate + self._quick_share * (self._quick.rate - self._calm.rate)
        self.sigma = self._quick.sigma


class ReferenceFilter:
    """One Kalman filter of phase, rate and drift of the clock against the local counter: a part of `ReferenceTrack`."""

    def __init__(self, drift: float) -> None:
        """``drift`` is the random walk of the drift, per second and root of a second."""
        self.rate = 0.0
        """Reference seconds per local second, less one, at the newest estimate."""
        self.known = False
        """Whether there was an estimate that counts."""
        self._newest: ClockEstimate | None = None
        self._drift = 0.0
        self._local_ns = self._reference_ns = 0
        self._rest_s = 0.0
        self._age_s = self._phase_age_s = 0.0
        self._surprises = 0
        self._spread = StateCovariance((LARGEST_SIGMA_S, UNKNOWN_RATE, FIRST_DRIFT), WANDER, drift)

    @property
    def sigma(self) -> float:
        """One standard deviation of `rate`."""
        return math.sqrt(self._spread.rate)

    @property
    def sigma_s(self) -> float:
        """One standard deviation of the smoothed time, in seconds."""
        return math.sqrt(self._spread.phase)

    def ahead_s(self, local_ns: int) -> float:
        """Smoothed reference time, less that of the clock's newest estimate, in seconds."""
        if self._newest is None or not self.known:
            return 0.0
        since_ns = local_ns - self._local_ns
        whole = self._reference_ns + since_ns - self._newest.reference_at(local_ns)
        since_s = since_ns * 1e-9
        return whole * 1e-9 + self._rest_s + since_s * (self.rate + 0.5 * since_s * self._drift)

    def observe(self, estimate: ClockEstimate) -> None:
        """Use the newest estimate of the clock. Estimates of a clock that has no reference move nothing."""
        before, self._newest = self._newest, estimate
        measured = estimate.state in _MEASURED
        if not self.known or abs(estimate.local_ns - self._local_ns) > LONGEST_GAP_NS:
            if measured:
                self._begin(estimate)
            return
        assert before is not None
        if estimate.jumped_since(before):
            self._reference_ns += estimate.reference_at(estimate.local_ns) - before.reference_at(estimate.local_ns)
        passed_s = (estimate.local_ns - self._local_ns) * 1e-9
        if passed_s < LEAST_INTERVAL_S:
            return
        self._predict(passed_s, measured)
        if not measured:
            return
        if estimate.grandmaster != before.grandmaster or before.state not in _MEASURED:
            self._doubt_phase(estimate)
        self._correct(estimate, before, min(passed_s, LARGEST_STEP_S))

    def _begin(self, estimate: ClockEstimate) -> None:
        self.known = True
        self._local_ns, self._reference_ns = estimate.local_ns, estimate.reference_ns
        self.rate = estimate.rate_ppb * 1e-9
        self._rest_s = self._drift = self._age_s = self._phase_age_s = 0.0
        self._spread.set_phase(_sigma_s(estimate))
        self._spread.set_drift(FIRST_DRIFT)
        self._spread.set_rate(_rate_sigma(estimate))

    def _predict(self, passed_s: float, measured: bool) -> None:
        passed_ns = round(passed_s * 1e9)
        self._local_ns += passed_ns
        self._rest_s += passed_s * (self.rate + 0.5 * passed_s * self._drift)
        moved = round(self._rest_s * 1e9)  # into the integer part, so that the float stays small
        self._reference_ns += passed_ns + moved
        self._rest_s -= moved * 1e-9
        self.rate += passed_s * self._drift
        if not measured:
            self._drift *= math.exp(-passed_s / FORGETS_DRIFT_S)
        self._spread.predict(passed_s, UNKNOWN_RATE)
        self._age_s += passed_s
        self._phase_age_s += passed_s

    def _doubt_phase(self, estimate: ClockEstimate) -> None:
        # Another grandmaster, or the first word after a silence: the rate stays, the phase is what it says.
        off_s = self.ahead_s(estimate.local_ns)
        self._spread.set_phase(max(self.sigma_s, abs(off_s), _sigma_s(estimate)))
        self._phase_age_s = 0.0
        self._surprises = 0

    def _correct(self, estimate: ClockEstimate, before: ClockEstimate, interval_s: float) -> None:
        sigma_s = _sigma_s(estimate)
        off_s = -self.ahead_s(estimate.local_ns)
        surprising = abs(off_s) > FAR * math.hypot(self.sigma_s, sigma_s)
        self._surprises = self._surprises + 1 if surprising else 0
        if self._surprises >= SURPRISES:
            self._doubt_phase(estimate)
        elif surprising:
            return
        if sigma_s < min(self.sigma_s, FALLING * _sigma_s(before)):
            # One that is better than all before it, as while a clock corrects its first error: the rate, which has
            # nothing to do with that, stays.
            self._rest_s += off_s
            self._spread.set_phase(sigma_s)
            self._phase_age_s = 0.0
            off_s = 0.0
        alike = 1.0 + 2.0 * min(self._phase_age_s, CORRELATION_S) / interval_s
        self._move(self._spread.correct_by_phase(sigma_s**2 * alike), off_s)
        alike = 1.0 + 2.0 * min(self._age_s, CORRELATION_S) / interval_s
        off = estimate.rate_ppb * 1e-9 - self.rate
        self._move(self._spread.correct_by_rate(_rate_sigma(estimate) ** 2 * alike), off)

    def _move(self, gains: tuple[float, float, float], off: float) -> None:
        phase, rate, drift = gains
        self._rest_s += phase * off
        self.rate += rate * off
        self._drift += drift * off


def _sigma_s(estimate: ClockEstimate) -> float:
    return min(max(estimate.sigma_ns * 1e-9, LEAST_SIGMA_S), LARGEST_SIGMA_S)


def _rate_sigma(estimate: ClockEstimate) -> float:
    # A clock whose error lasts for a time constant knows its rate to that error in that time.
    return max(_sigma_s(estimate) / CORRELATION_S, LEAST_RATE_SIGMA)
