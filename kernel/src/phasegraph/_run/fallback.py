"""A clock with a fallback: another clock replaces it while it is without lock."""

from __future__ import annotations

import msgspec

from .._core.clock import ClockEstimate, ClockState
from .._core.stream import ClockReader

WATCH_S = 0.1
"""How often the clocks are checked."""
NO_FALLBACK_WATCH_S = 1.0
"""How often the graph is checked for a clock with a fallback, while it has none."""


class FallbackClock:
    """Reads a clock, or its fallback once the clock has been without lock for too long.

    Where both have the same timescale, readers get the fallback's time. Where they differ, the lost clock's time
    continues at the fallback's rate, so that nothing jumps. Readers return to the clock as soon as it locks.
    A jump of more than both bounds allow counts as a discontinuity.
    """

    def __init__(self, own: ClockReader, other: ClockReader, *, after_ns: int, began_ns: int) -> None:
        self._own = own
        self._other = other
        self._after_ns = after_ns
        self._locked_ns = began_ns
        self._view = _View(own)

    def change_patience(self, after_ns: int) -> None:
        """How long the clock may be without lock from now on."""
        self._after_ns = after_ns

    @property
    def active(self) -> bool:
        """Whether the fallback is what readers get."""
        return self._view.clock is self._other

    def estimate(self) -> ClockEstimate:
        """See `ClockReader.estimate`."""
        return self._view.estimate()

    def update(self, now_ns: int) -> str | None:
        """Decide which clock readers get. Returns the name of the event where that changes."""
        own = self._own.estimate()
        if own.state is ClockState.LOCKED:
            self._locked_ns = now_ns
        wanted = now_ns - self._locked_ns >= self._after_ns
        if wanted == self.active:
            return None
        other = self._other.estimate()
        if wanted and other.state not in (ClockState.LOCKED, ClockState.HOLDOVER):
            return None
        view = _View(self._own)
        if wanted:
            had_reference = own.state is not ClockState.UNLOCKED or bool(own.grandmaster)
            continued = had_reference and (own.timescale, other.timescale) != ("ptp", "ptp")
            shift_ns = own.reference_at(now_ns) - other.reference_at(now_ns) if continued else None
            view = _View(self._other, shift_ns)
        before, after = self.estimate(), view.estimate()
        jump = abs(after.reference_at(now_ns) - before.reference_at(now_ns)) > before.bound_ns + after.bound_ns
        self._view = msgspec.structs.replace(view, jumps=before.discontinuities + jump - after.discontinuities)
        return "fallback_taken" if wanted else "fallback_left"


class _View(msgspec.Struct, frozen=True):
    # What readers see. The control plane replaces it as a whole: readers are in other threads, and a jump must come
    # with its count.

    clock: ClockReader
    shift_ns: int | None = None
    """Added to the fallback's time, so that the lost clock's continues; None: readers get the fallback's own."""
    jumps: int = 0
    """Added to the clock's count of discontinuities."""

    def estimate(self) -> ClockEstimate:
        estimate = self.clock.estimate()
        if self.shift_ns is not None:
            shifted_ns = estimate.reference_ns + self.shift_ns
            estimate = msgspec.structs.replace(estimate, reference_ns=shifted_ns, timescale="arb")
        if self.jumps:
            estimate = msgspec.structs.replace(estimate, discontinuities=estimate.discontinuities + self.jumps)
        return estimate
