"""A clock that another one stands in for while it is without lock."""

from __future__ import annotations

import msgspec

from .._core.clock import ClockEstimate, ClockState
from .._core.stream import ClockReader

WATCH_S = 0.1
"""How often the clocks are looked at."""


class FallbackClock:
    """Reads a clock, or its fallback once the clock has been without lock for too long.

    Where both tell the same timescale the fallback's time is taken as it is. Where they do not, the lost clock's time
    goes on at the fallback's rate, so that nothing jumps. Either way the clock is returned to as soon as it locks.
    A jump of more than both bounds allow counts as a discontinuity.
    """

    def __init__(self, own: ClockReader, other: ClockReader, *, after_ns: int, began_ns: int) -> None:
        self.active = False
        """Whether the fallback is what readers get."""
        self._own = own
        self._other = other
        self._after_ns = after_ns
        self._locked_ns = began_ns
        self._shift_ns = 0
        self._continued = False
        self._jumps = 0

    def estimate(self) -> ClockEstimate:
        """See `ClockReader.estimate`."""
        return self._shown(self._other.estimate()) if self.active else self._counted(self._own.estimate())

    def watch(self, now_ns: int) -> str | None:
        """Decide again. Returns the name of the event where that changes something."""
        own = self._own.estimate()
        if own.state is ClockState.LOCKED:
            self._locked_ns = now_ns
        wanted = now_ns - self._locked_ns >= self._after_ns
        if wanted == self.active:
            return None
        other = self._other.estimate()
        if wanted and other.state not in (ClockState.LOCKED, ClockState.HOLDOVER):
            return None
        before = self.estimate()
        if wanted:
            heard = own.state is not ClockState.UNLOCKED or bool(own.grandmaster)
            self._continued = heard and (own.timescale, other.timescale) != ("ptp", "ptp")
            self._shift_ns = own.reference_at(now_ns) - other.reference_at(now_ns) if self._continued else 0
        self.active = wanted
        after = self.estimate()
        jump = abs(after.reference_at(now_ns) - before.reference_at(now_ns)) > before.bound_ns + after.bound_ns
        self._jumps += before.discontinuities + jump - after.discontinuities
        return "fallback_taken" if wanted else "fallback_left"

    def _shown(self, other: ClockEstimate) -> ClockEstimate:
        if not self._continued:
            return self._counted(other)
        return msgspec.structs.replace(
            other,
            reference_ns=other.reference_ns + self._shift_ns,
            timescale="arb",
            discontinuities=other.discontinuities + self._jumps,
        )

    def _counted(self, estimate: ClockEstimate) -> ClockEstimate:
        if not self._jumps:
            return estimate
        return msgspec.structs.replace(estimate, discontinuities=estimate.discontinuities + self._jumps)
