"""Offsets that another program has measured and smoothed, such as nqptp: only their rate is estimated."""

from __future__ import annotations

from collections import deque

from .timing_samples import RATE_LIMIT, FilterSolution, LeaderSync, TimingSample, slope_of

_WINDOW_NS = 30_000_000_000
_LEAST_NS = 5_000_000_000
"""Least span of the offsets from which a rate is taken."""
_EVERY_NS = 500_000_000


class SmoothedOffsetFilter:
    """The last offset, with the slope of a line through the last half minute."""

    def __init__(self, bound_ns: int) -> None:
        """``bound_ns`` is how far off the offsets may be, which cannot be measured here."""
        self._bound_ns = bound_ns
        self._points: deque[tuple[int, int]] = deque()
        self._last: tuple[int, int] | None = None

    def add_sample(self, sample: TimingSample) -> None:
        """See `TimingFilter.add_sample`."""
        if not isinstance(sample, LeaderSync):
            return
        self._last = point = sample.arrived_ns, sample.departed_ns - sample.arrived_ns
        if not self._points or point[0] - self._points[-1][0] >= _EVERY_NS:
            self._points.append(point)
            while point[0] - self._points[0][0] > _WINDOW_NS:
                self._points.popleft()

    def solve(self, now_ns: int) -> FilterSolution | None:
        """See `TimingFilter.solve`."""
        if self._last is None:
            return None
        local_ns, offset_ns = self._last
        rate, age_ns = self._rate(), now_ns - local_ns
        bound_ns = self._bound_ns + age_ns * RATE_LIMIT
        return FilterSolution(
            local_ns=now_ns,
            offset_ns=offset_ns + round(age_ns * rate),
            rate=rate,
            sigma_ns=bound_ns / 3,
            bound_ns=bound_ns,
            two_way=True,
            delay_ns=None,
        )

    def _rate(self) -> float:
        points = self._points
        return slope_of(points) if points[-1][0] - points[0][0] >= _LEAST_NS else 0.0
