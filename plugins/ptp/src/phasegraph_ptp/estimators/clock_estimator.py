"""An estimator: intake, a tracker, the line that it steers, and what may be said of it."""

from __future__ import annotations

import math

from phasegraph import UNKNOWN_NS, ClockEstimate, ClockState

from ..measurements import Sample, SyncSample
from .measurement_gate import END, Intake
from .offset_estimate import NS_PER_S, Fix, Observation, Tracker
from .options import EstimatorOptions
from .slewed_clock import Line

SIGMAS_IN_BOUND = 6.0
LOCKING = 5
"""Fixes in a row that must be good enough."""
PATIENCE_S = 60.0
"""A network may be too noisy ever to come within ``lock_within``. After so long half of ``unlock_beyond`` will do."""
LOCK_HORIZON_S = 5.0
"""Lock means that the rate, too, would keep it within ``lock_within`` for so long."""
SILENT_INTERVALS = 3
SILENT_NS = 2 * NS_PER_S
SLEW_LOCKED_S, SLEW_FREE_S, SLEW_BLIND_S, SLEW_MOST_S = 5.0, 0.2, 1.0, 30.0
"""Time constant of the slew: at least when locked, at least before (nobody relies on it yet), or while the delay is
not known and there is no hurry to be wrong by it; at most."""
FREE_SLEW_PPB = 1e7
MOST_RATE_PPB = 1e6
"""No oscillator is as far off as this; a told line that runs forwards, whatever it is fed with, must not be."""


class Estimator:
    """Fed with samples, tells the time. Never raises, whatever it is fed with.

    The map that `estimate` tells is continuous in phase. It jumps, and counts a discontinuity, only where a reference
    is first found, another timescale is followed, or a change of grandmaster or path (before the lock, whatever is
    learnt) moves it by more than ``step_beyond``. All else is slewed.
    """

    def __init__(self, tracker: Tracker, options: EstimatorOptions) -> None:
        self._tracker = tracker
        self._options = options
        self._intake = Intake()
        self._fix: Fix | None = None
        self._line: Line | None = None
        self._locked = False
        self._good = 0
        self._since_ns = 0
        self._heard_ns: int | None = None
        self._interval_ns = 0
        self._other_timescale = False
        self._steps = 0

    @property
    def current(self) -> bool:
        """Whether the map tells the time of the newest reference; for a while after `reference_changed` it still tells
        that of the one before, in holdover."""
        return self._fix is not None and self._fix.generation == self._tracker.generation

    def add(self, sample: Sample) -> None:
        """Take a sample in."""
        taken = self._intake.take(sample, self._surprise)
        if taken is None:
            return
        observation, other_stamps = taken
        if other_stamps:
            self._tracker.restart()
        if isinstance(sample, SyncSample):
            self._heard_ns = max(self._heard_ns or 0, sample.local_ns)
            self._interval_ns = sample.interval_ns
        fix = self._tracker.add(observation)
        if fix is not None:
            self._take(fix)

    def reference_changed(self, now_ns: int, *, same_timescale: bool) -> None:
        """Another grandmaster is followed from local time ``now_ns`` on, or none.

        Samples to come are of it. The rate is kept. The map goes on in holdover until the new one is known well enough;
        then it is slewed to it, or jumps if that is far, or another timescale.
        """
        self._tracker.restart()
        self._heard_ns = None
        self._since_ns = now_ns
        self._other_timescale |= not same_timescale

    def estimate(self, now_ns: int) -> ClockEstimate:
        """The map around a local time, which is not before that of the newest sample."""
        line, fix = self._line, self._fix
        if line is None or fix is None:
            return ClockEstimate(local_ns=now_ns, reference_ns=now_ns)
        sigma_ns = self._sigma(now_ns)
        whole, fraction = line.at(now_ns)
        delay_ns = UNKNOWN_NS if fix.delay_ns is None else max(fix.delay_ns, 0.0)
        return ClockEstimate(
            local_ns=now_ns,
            reference_ns=whole + round(fraction),
            rate_ppb=line.rate_at(now_ns),
            sigma_ns=sigma_ns,
            bound_ns=min(SIGMAS_IN_BOUND * sigma_ns + delay_ns, UNKNOWN_NS),
            state=self._state(now_ns, sigma_ns),
            path_delay_ns=fix.delay_ns,
            discontinuities=self._steps,
        )

    def metrics(self) -> dict[str, int | float]:
        """Samples by stamp, and dropped; what the tracker does; how far the map still is from what is known
        (``lag_ns``), how much of the past that averages over, and how the oscillator wanders (ppb / sqrt(s))."""
        figures = self._intake.metrics() | self._tracker.metrics() | {"restarts": self._tracker.generation}
        if self._line is not None and self._fix is not None:
            figures["lag_ns"] = round(self._line.lag_at(self._intake.newest_ns), 1)
            figures["memory_s"] = round(self._fix.memory_s, 1)
            figures["wander_ppb"] = round(self._fix.wander, 2)
        return figures

    def _take(self, fix: Fix) -> None:
        before, line = self._fix, self._line
        if line is None or before is None:
            jumps = True
            self._since_ns = fix.local_ns
        else:
            lag_ns = line.ahead_of(fix.local_ns, *fix.reference())
            far = abs(lag_ns) > self._options.step_beyond
            if fix.generation != before.generation:
                held_ns = 3 * math.sqrt(before.variance_at(fix.local_ns))
                found_ns = 3 * math.sqrt(fix.variance_at(fix.local_ns))
                if not fix.settled and found_ns > max(self._options.lock_within, held_ns):
                    return  # the line so far is still the better guess
                jumps = far or self._other_timescale
            else:
                sure_ns = SIGMAS_IN_BOUND * math.sqrt(fix.variance_at(fix.local_ns))
                jumps = far and (not self._locked or abs(lag_ns) > sure_ns)
        reference_ns, fraction_ns = fix.reference()
        rate_ppb = max(-MOST_RATE_PPB, min(MOST_RATE_PPB, -fix.rate_ppb))
        if line is None or jumps:
            if not 0 <= reference_ns < END:
                return  # no such time
            self._line = Line(fix.local_ns, reference_ns, fraction_ns, rate_ppb)
            self._steps += 1
            self._locked, self._good = False, 0
        elif self._locked:
            over_s = max(SLEW_LOCKED_S, min(SLEW_MOST_S, 0.5 * fix.memory_s))
            line.steer(fix.local_ns, lag_ns, rate_ppb, over_s, self._options.slew_limit)
        else:
            least_s = SLEW_BLIND_S if fix.delay_ns is None else SLEW_FREE_S
            over_s = max(least_s, min(SLEW_MOST_S, 0.5 * fix.memory_s))
            line.steer(fix.local_ns, lag_ns, rate_ppb, over_s, FREE_SLEW_PPB)
        self._other_timescale = False
        self._fix = fix
        self._judge(fix)

    def _judge(self, fix: Fix) -> None:
        # Whether it is locked.
        options, sigma_ns = self._options, self._sigma(fix.local_ns)
        bound_ns = SIGMAS_IN_BOUND * sigma_ns
        near = 3 * sigma_ns < options.lock_within
        patient = fix.local_ns - self._since_ns > PATIENCE_S * NS_PER_S
        good = near or (patient and bound_ns < options.unlock_beyond / 2)
        steady = 3 * math.sqrt(max(fix.rate_variance, 0.0)) * LOCK_HORIZON_S < options.lock_within
        self._good = self._good + 1 if good and steady else 0
        self._locked = bound_ns <= options.unlock_beyond and (self._locked or self._good >= LOCKING)

    def _sigma(self, now_ns: int) -> float:
        assert self._fix is not None
        assert self._line is not None
        fix_ns = math.sqrt(self._fix.variance_at(now_ns))
        return min(math.hypot(fix_ns, self._line.lag_at(now_ns), self._intake.doubt_ns), UNKNOWN_NS)

    def _state(self, now_ns: int, sigma_ns: float) -> ClockState:
        patience_ns = max(SILENT_INTERVALS * self._interval_ns, SILENT_NS)
        if self._heard_ns is None or now_ns - self._heard_ns > patience_ns or not self.current:
            held = SIGMAS_IN_BOUND * sigma_ns <= self._options.unlock_beyond
            return ClockState.HOLDOVER if held else ClockState.UNLOCKED
        return ClockState.LOCKED if self._locked else ClockState.ACQUIRING

    def _surprise(self, observation: Observation) -> float | None:
        return self._fix.surprise(observation) if self._fix is not None and self.current else None
