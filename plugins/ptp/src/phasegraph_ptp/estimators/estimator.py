"""An estimator: intake, a tracker, the line that it steers, and what may be said of it."""

from __future__ import annotations

import math

from phasegraph import ClockEstimate, ClockState

from ..samples import Sample, SyncSample
from .fix import NS_PER_S, Direction, Fix, Observation, Tracker
from .intake import Intake
from .line import Line
from .options import EstimatorOptions

UNKNOWN_NS = float(2**63)
"""The bound of a clock that has heard nothing: all of time."""
SIGMAS_IN_BOUND = 6.0
LOCKING = 5
"""Fixes in a row that must be good enough."""
SETTLED_S = 60.0
"""A network may be too noisy ever to get within ``lock_within``: what no longer improves in so long is locked too."""
IMPROVING = 0.8
LOCK_HORIZON_S = 10.0
"""Lock means that the rate, too, keeps it within ``lock_within`` for so long."""
SILENT_INTERVALS = 3
SILENT_NS = 2 * NS_PER_S
QUICKEST_S, QUICK_S, SLOWEST_S = 5.0, 1.0, 30.0
"""Time constant of the slew: at least when locked, at least before, at most."""
FREE_SLEW_PPB = 1e7


class Estimator:
    """Fed with samples, tells the time. Never raises, whatever it is fed with.

    ``estimate`` gives integers: a map that is continuous in phase. It jumps, and counts a discontinuity, only when a
    reference is first found, when another timescale is followed, and when a change of grandmaster or path, or what is
    learnt before the lock, moves it by more than ``step_beyond``. Anything else is slewed.
    """

    def __init__(self, tracker: Tracker, options: EstimatorOptions) -> None:
        self._tracker = tracker
        self._options = options
        self._intake = Intake()
        self._fix: Fix | None = None
        self._line: Line | None = None
        self._locked = False
        self._good = 0
        self._settling: tuple[int, float] | None = None
        self._heard_ns: int | None = None
        self._interval_ns = 0
        self._other_timescale = False
        self._current = True
        self._steps = 0

    @property
    def current(self) -> bool:
        """Whether the map tells the time of the newest reference; after `reference_changed` it is at first that of
        the one before, in holdover."""
        return self._current

    def add(self, sample: Sample) -> None:
        """Take a sample in."""
        taken = self._intake.take(sample, self._unexpected)
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
        """Another grandmaster is followed from now on, or none.

        The rate is kept. The map goes on in holdover until the new one is known well enough; then it is slewed to it,
        or jumps if it is another timescale.
        """
        self._tracker.restart()
        self._heard_ns = None
        self._other_timescale |= not same_timescale
        self._current = False
        self._good = 0

    def estimate(self, now_ns: int) -> ClockEstimate:
        """The map at a local time, not earlier than that of the newest sample."""
        line, fix = self._line, self._fix
        if line is None or fix is None:
            return ClockEstimate(local_ns=now_ns, reference_ns=now_ns, sigma_ns=UNKNOWN_NS, bound_ns=UNKNOWN_NS)
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
        """Figures for people: samples by stamp and dropped, what the tracker does, steps, and how far the map is
        still from what is known (``lag_ns``)."""
        figures = self._intake.metrics() | self._tracker.metrics() | {"steps": self._steps}
        if self._line is not None and self._fix is not None:
            figures["lag_ns"] = round(self._line.lag_at(self._intake.newest_ns), 1)
            figures["memory_s"] = round(self._fix.memory_s, 1)
            figures["wander_ppb"] = round(self._fix.wander, 2)
        return figures

    def _take(self, fix: Fix) -> None:
        before, line = self._fix, self._line
        options = self._options
        now = fix.local_ns
        if line is None or before is None:
            self._begin(fix)
        elif fix.generation == before.generation:
            lag_ns = self._ahead(line, fix)
            if abs(lag_ns) > options.step_beyond and not self._locked:
                self._begin(fix)
            else:
                self._steer(line, fix, lag_ns)
        else:
            good_ns = max(options.lock_within, 3 * math.sqrt(before.variance_at(now)))
            if not fix.settled and 3 * math.sqrt(fix.variance) > good_ns:
                return  # the line so far is still the better guess
            lag_ns = self._ahead(line, fix)
            if self._other_timescale or abs(lag_ns) > options.step_beyond:
                self._begin(fix)
            else:
                self._steer(line, fix, lag_ns)
            self._other_timescale = False
        self._current = True
        self._fix = fix
        self._judge(now)

    def _begin(self, fix: Fix) -> None:
        # reference = local - base - offset
        whole = math.floor(fix.offset_ns)
        reference_ns = fix.local_ns - fix.base_ns - whole
        self._line = Line(fix.local_ns, reference_ns, whole - fix.offset_ns, -fix.rate_ppb)
        self._steps += 1

    def _ahead(self, line: Line, fix: Fix) -> float:
        whole = math.floor(fix.offset_ns)
        return line.ahead_of(fix.local_ns, fix.local_ns - fix.base_ns - whole, whole - fix.offset_ns)

    def _steer(self, line: Line, fix: Fix, lag_ns: float) -> None:
        over_s = max(QUICKEST_S if self._locked else QUICK_S, min(SLOWEST_S, 0.5 * fix.memory_s))
        limit_ppb = self._options.slew_limit if self._locked else FREE_SLEW_PPB
        line.steer(fix.local_ns, lag_ns, -fix.rate_ppb, over_s, limit_ppb)

    def _judge(self, now_ns: int) -> None:
        # Whether it is locked, after a new fix.
        assert self._fix is not None
        options, sigma_ns = self._options, self._sigma(now_ns)
        if SIGMAS_IN_BOUND * sigma_ns > options.unlock_beyond:
            self._locked = False
        steady = 3 * self._fix.rate_sigma_ppb * LOCK_HORIZON_S < options.lock_within
        good = 3 * sigma_ns < options.lock_within or self._settled(now_ns, sigma_ns)
        self._good = self._good + 1 if steady and good else 0
        self._locked |= self._good >= LOCKING

    def _settled(self, now_ns: int, sigma_ns: float) -> bool:
        if self._settling is None:
            self._settling = now_ns, sigma_ns
        since_ns, then_ns = self._settling
        if now_ns - since_ns < SETTLED_S * NS_PER_S:
            return False
        if sigma_ns < IMPROVING * then_ns:
            self._settling = None
        return SIGMAS_IN_BOUND * sigma_ns < self._options.unlock_beyond and sigma_ns >= IMPROVING * then_ns

    def _sigma(self, now_ns: int) -> float:
        assert self._fix is not None
        assert self._line is not None
        return math.hypot(math.sqrt(self._fix.variance_at(now_ns)), self._line.lag_at(now_ns))

    def _state(self, now_ns: int, sigma_ns: float) -> ClockState:
        patience_ns = max(SILENT_INTERVALS * self._interval_ns, SILENT_NS)
        silent = self._heard_ns is None or now_ns - self._heard_ns > patience_ns
        if silent or not self._current:
            held = SIGMAS_IN_BOUND * sigma_ns <= self._options.unlock_beyond
            return ClockState.HOLDOVER if held else ClockState.UNLOCKED
        return ClockState.LOCKED if self._locked else ClockState.ACQUIRING

    def _unexpected(self, observation: Observation) -> float | None:
        fix = self._fix
        if fix is None or fix.delay_ns is None:
            return None
        sign = (1, -1, 0)[observation.direction]
        delay = 0.0 if observation.direction is None else fix.delay_ns
        return float(observation.value_ns - sign * fix.base_ns) - sign * fix.offset_at(observation.local_ns) - delay


__all__ = ["Direction", "Estimator"]
