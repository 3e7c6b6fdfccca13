"""Stamps of a clock that others set: brought into local time at once, and doubted where it was set meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from ..._core.localtime import LocalClock

SLEW_PPM = 500
"""The most by which an operating system slews its clock."""
BRACKET_ERROR_NS = 20_000
"""More than the best of five brackets is ever wrong by: 17 us was the worst of many single ones."""


class ForeignClock:
    """A clock other than the local one: CLOCK_REALTIME, or a network interface's."""

    def __init__(self, local: LocalClock, offset_ns: Callable[[], int]) -> None:
        """``offset_ns`` measures that clock minus local time, now."""
        self._local = local
        self._measure = offset_ns
        self.steps = 0
        """Times at which it was seen to be set."""
        self._last = self._before = (local.now_ns(), offset_ns())

    def offset_ns(self) -> int | None:
        """What to subtract from stamps that were taken just now; None where the clock was set since last time.

        It is unknown whether those stamps were taken before or after.
        """
        now, offset = self._local.now_ns(), self._measure()
        then, before = self._last
        self._before, self._last = self._last, (now, offset)
        if abs(offset - before) > BRACKET_ERROR_NS + (now - then) * SLEW_PPM // 1_000_000:
            self.steps += 1
            return None
        return offset

    def local_ns(self, stamp_ns: int) -> int:
        """Local time of a stamp that was taken between the last two measurements, and not long before."""
        (then, before), (now, offset) = self._before, self._last
        # A slewed clock moves against the local one while stamps wait: 125 ms of 20 ppm are 2.5 us.
        moved_ns = offset - before
        span_ns = now - then + moved_ns
        age_ns = min(max(now + offset - stamp_ns, 0), span_ns)
        return stamp_ns - offset + (moved_ns * age_ns // span_ns if age_ns else 0)
