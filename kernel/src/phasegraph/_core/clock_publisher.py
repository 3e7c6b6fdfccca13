"""The one publisher of a followed clock: slew, lock, holdover and bound. Pure arithmetic.

A filter (Kalman bank, regression, envelope ...) describes the reference by a `ClockFix`, which may move with every
packet. A graph reads a `SlewedClock` instead, which is steered towards each fix.

The published clock at local time t, where t0 is the local time of the last `steer` (rates and slews as ratios):

    reference(t) = reference(t0) + (t - t0) * (1 + rate) + slew * min(t - t0, slew_time)
    lag(t)       = lag(t0) + slew * min(t - t0, slew_time)         published less fix; the slew takes it to zero
    slew         = -lag(t0) / slew_time, at most `slew_limit` while locked, `FREE_SLEW` before. At the limit
                   slew_time becomes longer: |lag(t0)| / limit

The map is continuous in phase, with three exceptions:

- A discontinuity: `steer` is given another timescale, or the fix is farther than `step_beyond` away and cannot be
  reached as a correction (the reference is another one, the clock is not locked, or the distance exceeds the fix's own
  bound). The clock jumps, counts it, and loses its lock.
- The first fix: before it there was no time to jump from.
- A `steer` with ``slew_s`` = 0, which a follower may give while its clock was never locked: the clock takes over the
  fix, and counts no discontinuity unless the first exception holds.

States, the same for every clock that is published here:

    UNLOCKED    no fix yet; or the reference is silent and the bound exceeds `unlock_beyond`
    ACQUIRING   fixes come, and the clock is not locked yet, or no longer
    LOCKED      `settling_fixes` fixes in a row were good: three sigmas of the published clock (its lag included) within
                `lock_within`, and the rate so sure that this holds for `LOCK_HORIZON`. A network may be too noisy
                ever to come so close: after `PATIENCE`, a bound within half of `unlock_beyond` is good as well.
                A locked clock stays locked until its bound exceeds `unlock_beyond`.
    HOLDOVER    the reference is silent, or is being replaced, and the bound does not exceed `unlock_beyond` yet; the
                clock runs on at its last rate, and its bound grows

The constants are those of the ``ptp`` clock, chosen by what `benchmarks/ptp_estimators.py` prints (its columns
"converged", "locked", ">3s" and ">bound"; docs/validation/ptp_estimators.md has the figures).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from .clock import NS_PER_S, UNKNOWN_NS, ClockEstimate, ClockState

PATIENCE_NS = 60 * NS_PER_S
LOCK_HORIZON_S = 5.0
FREE_SLEW_PPB = 1e7
"""How fast a clock that is not locked may correct its phase: nothing relies on it yet."""
MAX_RATE_PPB = 1e6
"""No oscillator is as far off as this. A published clock runs forwards, whatever a filter says."""
LAST_REFERENCE_NS = 2**62
"""Times from here on (the year 2116) are refused: 64-bit arithmetic on them needs room to both sides."""


class ClockDoubt(NamedTuple):
    """How wrong a clock may be."""

    sigma_ns: float
    """One standard deviation."""
    bound_ns: float
    """What the error does not exceed, apart from the asymmetry of the path."""


class ClockFix(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a filter knows of the reference."""

    local_ns: int
    reference_ns: int
    """Reference time at ``local_ns``."""
    fraction_ns: float = 0.0
    """The fraction of a nanosecond that ``reference_ns`` leaves out."""
    rate_ppb: float = 0.0
    """Reference against local."""
    rate_sigma_ppb: float = 0.0
    """One standard deviation of the rate; 0 where ``doubt_at`` allows for it and fixes come at least every second."""
    lockable: bool = True
    """Whether the filter has measured all that a lock needs; without the path's delay it has not."""
    doubt_at: Callable[[int, float], ClockDoubt]
    """ClockDoubt of a clock at a local time, given how far it lags this fix (ns)."""


class PublisherSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a clock is locked and lost, and how it is corrected."""

    lock_within_ns: float
    unlock_beyond_ns: float
    step_beyond_ns: float = 1_000_000
    slew_limit_ppb: float = 20_000.0
    settling_fixes: int = 5
    """1 for a filter whose first fix rests on several readings already."""


class SlewedClock:
    """Reference time over local time: an integer and a fraction, at a rate, with a slew on top that ends by itself."""

    def __init__(self, fix: ClockFix) -> None:
        self._local_ns = fix.local_ns
        self._reference_ns = fix.reference_ns
        self._fraction_ns = fix.fraction_ns
        self._rate_ppb = fix.rate_ppb
        self._lag_ns = 0.0
        self._slew_ppb = 0.0
        self._slew_s = 0.0

    def time_at(self, local_ns: int) -> tuple[int, float]:
        """Reference time at a local time: whole nanoseconds, and the fraction from 0 to 1."""
        seconds = (local_ns - self._local_ns) / NS_PER_S
        extra = self._fraction_ns + self._rate_ppb * seconds + self._slewed(seconds)
        whole = math.floor(extra)
        return self._reference_ns + local_ns - self._local_ns + whole, extra - whole

    def rate_at(self, local_ns: int) -> float:
        """Its momentary rate, reference against local, in ppb."""
        slewing = 0 <= local_ns - self._local_ns < self._slew_s * NS_PER_S
        return self._rate_ppb + (self._slew_ppb if slewing else 0.0)

    def lag_at(self, local_ns: int) -> float:
        """How far it is ahead of the fix that it was last steered to."""
        return self._lag_ns + self._slewed((local_ns - self._local_ns) / NS_PER_S)

    def ahead_of(self, fix: ClockFix) -> float:
        """How far it is ahead of a fix."""
        whole, fraction = self.time_at(fix.local_ns)
        return float(whole - fix.reference_ns) + fraction - fix.fraction_ns

    def steer(self, local_ns: int, lag_ns: float, rate_ppb: float, slew_s: float, limit_ppb: float) -> None:
        """Go on from here at a new rate, and remove a lag within a time, or at a limit if that takes longer."""
        self._reference_ns, self._fraction_ns = self.time_at(local_ns)
        self._local_ns = local_ns
        self._rate_ppb = rate_ppb
        self._lag_ns = lag_ns
        self._slew_ppb = max(-limit_ppb, min(limit_ppb, -lag_ns / slew_s))
        self._slew_s = -lag_ns / self._slew_ppb if self._slew_ppb else 0.0

    def _slewed(self, seconds: float) -> float:
        return self._slew_ppb * min(max(seconds, 0.0), self._slew_s)


class ClockPublisher:
    """Steers one clock towards the fixes of a filter, and publishes it. See the module.

    It belongs to the task that follows the reference; the data plane reads the frozen estimates alone.
    """

    def __init__(self, settings: PublisherSettings) -> None:
        self._settings = settings
        self._clock: SlewedClock | None = None
        self._fix: ClockFix | None = None
        self._good = 0
        self._since_ns = 0
        self.locked = False
        self.was_locked = False
        """Whether it was ever locked: from then on others may rely on it."""
        self.discontinuities = 0

    @property
    def fix(self) -> ClockFix | None:
        """The fix that it was last steered to; None before the first."""
        return self._fix

    def change_thresholds(self, *, lock_within_ns: float, unlock_beyond_ns: float) -> None:
        """Judge by other thresholds from the next fix, or estimate, on. What is locked stays so as long as its bound is
        within ``unlock_beyond_ns``."""
        self._settings = msgspec.structs.replace(
            self._settings, lock_within_ns=lock_within_ns, unlock_beyond_ns=unlock_beyond_ns
        )

    def restart_patience(self, local_ns: int) -> None:
        """Another reference from now on: `PATIENCE_NS` counts from here."""
        self._since_ns = local_ns

    def lag_at(self, local_ns: int) -> float:
        """How far the published clock is ahead of the last fix; 0 before the first."""
        return self._clock.lag_at(local_ns) if self._clock is not None else 0.0

    def steer(
        self, fix: ClockFix, *, slew_s: float, other_reference: bool = False, other_timescale: bool = False
    ) -> bool:
        """Go towards a fix within ``slew_s``; with 0, at once, which is a correction and no discontinuity.

        ``other_reference`` and ``other_timescale`` say what changed since the fix before. Returns False, and changes
        nothing, for a time that no clock can show.
        """
        settings, clock = self._settings, self._clock
        lag_ns = 0.0 if clock is None else clock.ahead_of(fix)
        far = abs(lag_ns) > settings.step_beyond_ns
        unreachable = other_reference or not self.locked or abs(lag_ns) > fix.doubt_at(fix.local_ns, 0.0).bound_ns
        jumps = clock is not None and (other_timescale or (far and unreachable))
        rate_ppb = max(-MAX_RATE_PPB, min(MAX_RATE_PPB, fix.rate_ppb))
        if clock is None or jumps or not slew_s:
            if not 0 <= fix.reference_ns < LAST_REFERENCE_NS:
                return False
            if clock is None:
                self._since_ns = fix.local_ns
            self._clock = SlewedClock(msgspec.structs.replace(fix, rate_ppb=rate_ppb))
            if jumps:
                self.discontinuities += 1
                self.locked, self._good = False, 0
        else:
            limit_ppb = settings.slew_limit_ppb if self.locked else FREE_SLEW_PPB
            clock.steer(fix.local_ns, lag_ns, rate_ppb, slew_s, limit_ppb)
        self._fix = fix
        self._update_lock(fix)
        return True

    def estimate(
        self,
        now_ns: int,
        *,
        silent: bool,
        path_delay_ns: float | None = None,
        asymmetry_ns: float = 0.0,
        timescale: str = "arb",
        grandmaster: str = "",
        domain: int | None = None,
    ) -> ClockEstimate:
        """The clock around a local time, which is not before the last fix.

        ``silent``: the reference is not received at present, or is another one than that of the last fix.
        ``asymmetry_ns`` is what the path's asymmetry may add to the bound.
        """
        clock, fix = self._clock, self._fix
        if clock is None or fix is None:
            return ClockEstimate(local_ns=now_ns, reference_ns=now_ns, domain=domain)
        doubt = fix.doubt_at(now_ns, clock.lag_at(now_ns))
        whole, fraction = clock.time_at(now_ns)
        return ClockEstimate(
            local_ns=now_ns,
            reference_ns=whole + round(fraction),
            rate_ppb=clock.rate_at(now_ns),
            sigma_ns=min(doubt.sigma_ns, UNKNOWN_NS),
            bound_ns=min(doubt.bound_ns + asymmetry_ns, UNKNOWN_NS),
            state=self._state(doubt, silent),
            timescale=timescale,
            grandmaster=grandmaster,
            domain=domain,
            path_delay_ns=path_delay_ns,
            discontinuities=self.discontinuities,
        )

    def _update_lock(self, fix: ClockFix) -> None:
        settings, doubt = self._settings, fix.doubt_at(fix.local_ns, self.lag_at(fix.local_ns))
        near = 3 * doubt.sigma_ns < settings.lock_within_ns
        patient = fix.local_ns - self._since_ns > PATIENCE_NS
        good = near or (patient and doubt.bound_ns < settings.unlock_beyond_ns / 2)
        steady = 3 * fix.rate_sigma_ppb * LOCK_HORIZON_S < settings.lock_within_ns
        self._good = self._good + 1 if good and steady and fix.lockable else 0
        within = doubt.bound_ns <= settings.unlock_beyond_ns
        self.locked = within and (self.locked or self._good >= settings.settling_fixes)
        self.was_locked |= self.locked

    def _state(self, doubt: ClockDoubt, silent: bool) -> ClockState:
        if silent:
            held = doubt.bound_ns <= self._settings.unlock_beyond_ns
            return ClockState.HOLDOVER if held else ClockState.UNLOCKED
        return ClockState.LOCKED if self.locked else ClockState.ACQUIRING
