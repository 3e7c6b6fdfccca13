"""The median of the last eight exchanges, brought to one instant by the rate.

What airplay2-rs does (window of 8), put right: the median of an even number is the mean of the middle two, the rate
comes from a straight line through many medians and is used, three exchanges are needed before there is an answer, and
one-way samples are never mixed with exchanges.
"""

from __future__ import annotations

import statistics
from collections import deque

from .timing_samples import PATH_LIMIT_NS, RATE_LIMIT, DelayExchange, FilterSolution, LeaderSync, TimingSample, slope_of

_WINDOW = 8
_ENOUGH = 3
_GROUPS = 64
_LEAST_SPAN_NS = 8_000_000_000
"""A rate is taken from no less."""
_SILENCE_NS = 30_000_000_000
"""Syncs alone are used after this long without an exchange."""
_RATE_SIGMA = 10e-6


class MedianFilter:
    """See the module."""

    def __init__(self) -> None:
        self._exchanges: deque[DelayExchange] = deque(maxlen=_WINDOW)
        self._syncs: deque[LeaderSync] = deque(maxlen=_WINDOW)
        self._groups: deque[tuple[int, int]] = deque(maxlen=_GROUPS)
        """Local time and median of every eight exchanges."""
        self._count = 0
        self._rate = 0.0

    def add_sample(self, sample: TimingSample) -> None:
        """See `TimingFilter.add_sample`."""
        if isinstance(sample, LeaderSync):
            self._syncs.append(sample)
            return
        self._exchanges.append(sample)
        self._count += 1
        if self._count % _WINDOW == 0:
            middle_ns = (self._exchanges[0].asked_ns + sample.asked_ns) // 2
            self._groups.append((middle_ns, round(statistics.median(self._offsets(middle_ns)))))
            if sample.asked_ns - self._groups[0][0] >= _LEAST_SPAN_NS and len(self._groups) >= _ENOUGH:
                self._rate = max(-RATE_LIMIT, min(RATE_LIMIT, slope_of(self._groups)))

    def solve(self, now_ns: int) -> FilterSolution | None:
        """See `TimingFilter.solve`."""
        exchanges = self._exchanges
        if len(exchanges) < _ENOUGH or now_ns - exchanges[-1].asked_ns > _SILENCE_NS:
            return self._one_way(now_ns)
        offsets = self._offsets(now_ns)
        offset = statistics.median(offsets)
        halves = [max(exchange.round_trip_ns, 0) / 2 for exchange in exchanges]
        age = now_ns - exchanges[0].asked_ns
        # The truth is within half of each round trip of its offset, so the tightest of them bounds it.
        bound = min(abs(each - offset) + half for each, half in zip(offsets, halves, strict=True))
        return FilterSolution(
            local_ns=now_ns,
            offset_ns=round(offset),
            rate=self._rate,
            sigma_ns=1.4826 * statistics.median(abs(each - offset) for each in offsets) + age * _RATE_SIGMA,
            bound_ns=bound + age * RATE_LIMIT + 10_000,
            two_way=True,
            delay_ns=min(halves),
        )

    def _offsets(self, at_ns: int) -> list[float]:
        return [each.offset_ns + round((at_ns - each.asked_ns) * self._rate) for each in self._exchanges]

    def _one_way(self, now_ns: int) -> FilterSolution | None:
        if len(self._syncs) < _ENOUGH:
            return None
        offset = statistics.median(
            sync.departed_ns - sync.arrived_ns + round((now_ns - sync.arrived_ns) * self._rate) for sync in self._syncs
        )
        return FilterSolution(
            local_ns=now_ns,
            offset_ns=round(offset),
            rate=self._rate,
            sigma_ns=PATH_LIMIT_NS / 6,
            bound_ns=PATH_LIMIT_NS,
            two_way=False,
            delay_ns=None,
        )
