"""From single readings of the grandmaster's time to a clock: a straight line through the latest of them. Pure.

Local time is not steered, so with any oscillator the grandmaster's time is nearly a straight line over half a minute.
What is published follows that line without a jump.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import msgspec

from phasegraph import ClockEstimate, ClockState

_POINTS = 32
_ENOUGH = 5
"""Readings that make a line worth following; as many in a row beside the line make a new one."""
_CORRELATED = 2.0
"""ptp4l's path delay is a median of ten: successive offsets share its error, so they count as if they were fewer."""
_READ_NS = 100.0
_READ_BOUND_NS = 5_000.0
"""Error of comparing two clocks; an unlucky comparison may be interrupted."""
_GATE, _GATE_LEAST_NS = 5.0, 2_000.0
_WANDER_PPB = 300.0
"""By how much an oscillator may change its rate in holdover: one sigma; three are taken for the bound."""
_SLEW_PPB, _SLEW_INTERVALS = 20_000.0, 4
_STEP_NS = 1_000_000


class Quality(msgspec.Struct, frozen=True):
    """When the clock is locked, and when it is lost."""

    lock_within_ns: int
    """Locked once three sigmas are within this."""
    unlock_beyond_ns: int
    """Holdover ends when the bound has grown beyond this."""


class Reference(msgspec.Struct, frozen=True):
    """Whose time it is."""

    grandmaster: str
    timescale: str


class PhaseLine:
    """The clock. Readings come by `add`, time by `update`, which publishes."""

    def __init__(self, quality: Quality, domain: int | None = None) -> None:
        """``domain`` is what the estimates name."""
        self._quality = quality
        self._domain = domain
        self._points: deque[tuple[int, int]] = deque(maxlen=_POINTS)
        self._beside: list[tuple[int, int]] = []
        self._line: _Line | None = None
        self._known: _Line | None = None
        self._last_ns = 0
        self._reference = Reference("", "arb")
        self._jumps = False
        self._was_locked = False
        self.rejected = 0
        """Readings that were too far beside the line."""
        self.estimate = ClockEstimate(local_ns=0, reference_ns=0)
        """The newest snapshot."""

    def follow(self, reference: Reference) -> bool:
        """The readings to come are of this one; returns whether it is another than before.

        Readings of another one are collected anew, and what was known goes on until there are enough of them.
        """
        if reference == self._reference:
            return False
        self._jumps |= reference.timescale != self._reference.timescale or reference.timescale == "arb"
        self._reference = reference
        self._begin([])
        return True

    def add(self, local_ns: int, reference_ns: int) -> None:
        """Another reading: the grandmaster's time at a local time."""
        point = local_ns, reference_ns
        if self._line is not None and len(self._points) >= _ENOUGH:
            gate = max(_GATE_LEAST_NS, _GATE * (self._line.noise_ns + self._line.sigma_ns(local_ns)))
            if abs(reference_ns - self._line.at(local_ns)) > gate:
                self.rejected += 1
                self._beside.append(point)
                if len(self._beside) < _ENOUGH:
                    return
                self._begin(self._beside[:-1])
        self._beside.clear()
        self._points.append(point)
        self._last_ns = local_ns
        if len(self._points) >= _ENOUGH:
            self._line = _Line.through(self._points, self._known)

    def _begin(self, points: Sequence[tuple[int, int]]) -> None:
        if len(self._points) == _POINTS:
            self._known = self._line
        self._points = deque(points, _POINTS)
        self._beside.clear()

    def update(self, now_ns: int, *, interval_ns: int, silence_ns: int, path_delay_ns: int) -> ClockEstimate:
        """Publish for ``now_ns``; the next call is expected in ``interval_ns``.

        After ``silence_ns`` without a reading that fits it is holdover. The path's delay goes into the bound, as its
        asymmetry cannot be seen.
        """
        line, before = self._line, self.estimate
        if line is None:
            return before
        ready = len(self._points) >= _ENOUGH
        holding = not ready or now_ns - self._last_ns > silence_ns
        discontinuities, reference_ns = before.discontinuities, before.reference_at(now_ns)
        error_ns = line.at(now_ns) - reference_ns
        if ready and (not self._was_locked or self._jumps or abs(error_ns) > _STEP_NS):
            discontinuities += self._was_locked
            reference_ns, error_ns, self._jumps = reference_ns + error_ns, 0, False
        slew_ppb = max(-_SLEW_PPB, min(_SLEW_PPB, error_ns * 1e9 / (_SLEW_INTERVALS * interval_ns)))
        wander_ns = (now_ns - self._last_ns) * _WANDER_PPB / 1e9 if holding else 0.0
        line_ns = line.sigma_ns(now_ns)
        sigma_ns = math.hypot(line_ns, wander_ns, error_ns)
        bound_ns = path_delay_ns + _READ_BOUND_NS + max(line.worst_ns, 6 * line_ns) + 3 * wander_ns + abs(error_ns)
        state = self._state(holding, sigma_ns, bound_ns)
        self._was_locked |= state is ClockState.LOCKED
        whose = self._reference if ready else Reference(before.grandmaster, before.timescale)
        self.estimate = ClockEstimate(
            local_ns=now_ns,
            reference_ns=reference_ns,
            rate_ppb=line.rate * 1e9 + slew_ppb,
            sigma_ns=sigma_ns,
            bound_ns=bound_ns,
            state=state,
            timescale=whose.timescale,
            grandmaster=whose.grandmaster,
            domain=self._domain,
            path_delay_ns=path_delay_ns or None,
            discontinuities=discontinuities,
        )
        return self.estimate

    def _state(self, holding: bool, sigma_ns: float, bound_ns: float) -> ClockState:
        if holding:
            lost = not self._was_locked or bound_ns > self._quality.unlock_beyond_ns
            return ClockState.UNLOCKED if lost else ClockState.HOLDOVER
        # Once locked it stays so a little longer, not to flap.
        patience = 2 if self.estimate.state is ClockState.LOCKED else 1
        good = 3 * sigma_ns <= patience * self._quality.lock_within_ns
        return ClockState.LOCKED if good else ClockState.ACQUIRING


class _Line(msgspec.Struct, frozen=True):
    """By least squares: reference time is ``reference_ns`` at ``middle_ns`` and runs fast of local time by ``rate``."""

    middle_ns: int
    reference_ns: int
    rate: float
    count: int
    spread_ns: float
    """Standard deviation of the readings' local times."""
    noise_ns: float
    """Standard deviation of the readings about the line."""
    worst_ns: float

    @classmethod
    def through(cls, points: Sequence[tuple[int, int]], known: _Line | None) -> _Line:
        """``known`` is the line of before, whose rate holds, but for a wander, until the new points know better."""
        count = len(points)
        first_local, first_reference = points[0]
        times = [local - first_local for local, _ in points]
        gains = [reference - first_reference - time for time, (_, reference) in zip(times, points, strict=True)]
        middle, gain = sum(times) // count, sum(gains) / count
        square = sum((time - middle) ** 2 for time in times)
        product = sum((time - middle) * (each - gain) for time, each in zip(times, gains, strict=True))
        weight, expected = ((known.noise_ns / _WANDER_PPB * 1e9) ** 2, known.rate) if known else (0.0, 0.0)
        rate = (product + weight * expected) / (square + weight)
        residuals = [each - gain - rate * (time - middle) for time, each in zip(times, gains, strict=True)]
        # Few readings may happen to lie well: about Student's t for three sigmas.
        doubt = 1 + 6 / (count - 2)
        noise = math.sqrt(sum(residual**2 for residual in residuals) / (count - 2))
        return cls(
            middle_ns=first_local + middle,
            reference_ns=first_reference + middle + round(gain),
            rate=rate,
            count=count,
            spread_ns=math.sqrt(square / count),
            noise_ns=doubt * math.hypot(noise, _READ_NS),
            worst_ns=max(map(abs, residuals)),
        )

    def at(self, local_ns: int) -> int:
        since = local_ns - self.middle_ns
        return self.reference_ns + since + round(since * self.rate)

    def sigma_ns(self, local_ns: int) -> float:
        lever = (local_ns - self.middle_ns) / self.spread_ns
        return _CORRELATED * self.noise_ns * math.sqrt((1 + lever**2) / self.count)
