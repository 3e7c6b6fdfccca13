"""Stamps of a steered clock, converted to local time. Pure."""

from __future__ import annotations

import msgspec

_STEERED_PPM = 1000
_STEERED_NS = 100_000
"""What a clock may have been steered between two comparisons: more is a step, or too much to interpolate."""


class ClockComparison(msgspec.Struct, frozen=True):
    """What another clock showed at one instant."""

    local_ns: int
    offset_ns: int
    """The other clock less local time."""


class IngressTimes:
    """Clock and local time at the last two comparisons; between them the clock ran evenly, or it was stepped."""

    def __init__(self) -> None:
        self._before: ClockComparison | None = None
        self._now: ClockComparison | None = None

    def add_comparison(self, relation: ClockComparison) -> int:
        """The clock was compared with local time. Returns its step since the last comparison, or 0."""
        self._before, self._now = self._now, relation
        if self._before is None:
            return 0
        moved = relation.offset_ns - self._before.offset_ns
        steered = (relation.local_ns - self._before.local_ns) * _STEERED_PPM // 1_000_000 + _STEERED_NS
        if abs(moved) <= steered:
            return 0
        self._before = None
        return moved

    def local_ns(self, clock_ns: int) -> int | None:
        """Local time at a stamp of the clock; None for stamps that are not from the time between the comparisons."""
        before, now = self._before, self._now
        if before is None or now is None or now.local_ns <= before.local_ns:
            return None
        span = now.local_ns - before.local_ns
        shown = span + now.offset_ns - before.offset_ns
        since = clock_ns - now.offset_ns - now.local_ns  # on the clock; negative: before the last comparison
        return now.local_ns + since * span // shown if -2 * span <= since <= 0 else None
