"""The covariance of a Kalman filter whose states are a phase, its rate, and the change of that rate (drift).

Prediction over ``T`` seconds, with the random walks ``w`` of the rate and ``v`` of the drift::

    F = [[1, T, T^2 / 2], [0, 1, T], [0, 0, 1]]        P = F P F' + Q
    Q = w^2 [[T^3 / 3, T^2 / 2, 0], [T^2 / 2, T, 0], [0, 0, 0]]
      + v^2 [[T^5 / 20, T^4 / 8, T^3 / 6], [T^4 / 8, T^3 / 3, T^2 / 2], [T^3 / 6, T^2 / 2, T]]

Correction by a measurement of the phase, or of the rate, with the variance ``r``, where ``h`` is the row of ``P`` that
belongs to it and ``s`` its own variance and ``r``: the gains are ``h / s``, and ``P -= h' h / s``.

Written out, since it runs for every block: without a drift it is the filter of two states.
"""

from __future__ import annotations


class StateCovariance:
    """``P``, and the gains that follow from it."""

    def __init__(self, sigmas: tuple[float, float, float], wander: float, drift_wander: float) -> None:
        """``sigmas`` are the first standard deviations of phase, rate and drift; ``wander`` is the random walk of the
        rate, per root of a second, and ``drift_wander`` that of the drift."""
        phase, rate, drift = sigmas
        self.phase = phase * phase
        """Variance of the phase."""
        self.rate = rate * rate
        """Variance of the rate."""
        self.drift = drift * drift
        """Variance of the drift."""
        self._phase_rate = self._phase_drift = self._rate_drift = 0.0
        self._walk = wander * wander
        self._drift_walk = drift_wander * drift_wander

    def set_phase(self, sigma: float) -> None:
        """The phase is now known to ``sigma``, whatever rate and drift are."""
        self.phase, self._phase_rate, self._phase_drift = sigma * sigma, 0.0, 0.0

    def set_rate(self, sigma: float) -> None:
        """The rate is now known to ``sigma``, whatever phase and drift are."""
        self.rate, self._phase_rate, self._rate_drift = sigma * sigma, 0.0, 0.0

    def set_drift(self, sigma: float) -> None:
        """The drift is now known to ``sigma``, whatever phase and rate are."""
        self.drift, self._phase_drift, self._rate_drift = sigma * sigma, 0.0, 0.0

    def predict(self, passed_s: float, most_rate: float) -> None:
        """Let ``passed_s`` seconds pass. A rate that is less certain than about ``most_rate`` is known to that
        again, and nothing else of it."""
        t, walk = passed_s, self._walk * passed_s
        self.phase += 2.0 * t * self._phase_rate + t * t * (self.rate + walk / 3.0)
        self._phase_rate += t * (self.rate + walk / 2.0)
        self.rate += walk
        if self.drift or self._drift_walk:
            drift, across, more = self.drift, self._rate_drift, self._drift_walk * t
            self.phase += t * t * (self._phase_drift + t * across + t * t * (drift / 4.0 + more / 20.0))
            self._phase_rate += t * (self._phase_drift + t * (1.5 * across + t * (drift / 2.0 + more / 8.0)))
            self._phase_drift += t * (across + t * (drift / 2.0 + more / 6.0))
            self.rate += t * (2.0 * across + t * (drift + more / 3.0))
            self._rate_drift += t * (drift + more / 2.0)
            self.drift += more
        if self.rate > 1.5 * most_rate * most_rate:
            self.set_rate(most_rate)

    def correct_by_phase(self, variance: float) -> tuple[float, float, float]:
        """The gains of phase, rate and drift for a measured phase."""
        row = self.phase, self._phase_rate, self._phase_drift
        return self._correct(row, self.phase + variance)

    def correct_by_rate(self, variance: float) -> tuple[float, float, float]:
        """The gains of phase, rate and drift for a measured rate."""
        row = self._phase_rate, self.rate, self._rate_drift
        return self._correct(row, self.rate + variance)

    def _correct(self, row: tuple[float, float, float], s: float) -> tuple[float, float, float]:
        a, b, c = row
        phase, rate, drift = gains = a / s, b / s, c / s
        self.phase -= phase * a
        self._phase_rate -= phase * b
        self._phase_drift -= phase * c
        self.rate -= rate * b
        self._rate_drift -= rate * c
        self.drift -= drift * c
        if self.phase < 0.0 or self.rate < 0.0 or self.drift < 0.0:  # rounding must not make a variance negative
            self.phase, self.rate, self.drift = max(self.phase, 0.0), max(self.rate, 0.0), max(self.drift, 0.0)
        return gains
