"""The default filter: the corridor between the packets that were fastest in each direction.

A Sync that left at T1 and arrived at T2 says that the offset (leader's time less local time) is at least T1 - T2,
since no packet takes less than no time; a question that left at T3 and arrived at T4, that it is at most T4 - T3; its
answer, which left at T4 or later, that it is at least T4 less the answer's arrival.
With a constant rate the offset is a straight line above all points of the first kind and below all of the second.
The lines that fit are a hard bound, which holds for any asymmetry. The estimate runs in the middle between two parallel
lines that touch the points of either kind: right where the fastest packets of both directions took equally long,
however much the others were delayed. Many rates fit, so the estimate is the mean of these middles, each weighted by how
likely its rate makes the points, and sigma follows from how far they are apart. (After Zhang, Liu and Xia, "Clock
synchronization algorithms for network measurements", 2002, who take the hull; the likelihood is ours.)
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from .timing_samples import PATH_LIMIT_NS, RATE_LIMIT, FilterSolution, LeaderSync, TimingSample, limits_of

Point = tuple[int, int]
"""Local time, and offset less the base; nanoseconds."""

_WINDOW_NS = 60_000_000_000
"""Least window of a leader that answers. Syncs alone are kept as long as any: without a way back they determine the
rate worse."""
_BLOCK_NS = 500_000_000
"""Of the points of a direction within a block only the fastest is kept."""
_LEAST_POINTS, _OLDEST_NS = 8, 300_000_000_000
"""Points of each direction that are kept beyond the window, up to an age."""
_STAMP_NS = 10_000
"""Error of a stamp: points may lie this far on the wrong side of the line."""
_WANDER = 20e-9 / 1e9
"""Largest change of a rate in a nanosecond: 20 ppb/s."""
_USUAL_WANDER = 10e-9 / 1e9
"""A window of T nanoseconds bends by this times T**2 / 12 at its end, and its line errs by some 4 mean distances of
points, divided by their number. The window is as long as makes both alike: longer where the network is noisier."""
_SIGMA_NS = 2_000.0
_CAUTION, _YOUNG = 2.0, 10
"""Sigma is the standard deviation of the estimate times this, since delays are exponential in the model alone; and
more, by the share of `_YOUNG` points, while a single packet decides."""
_FEW, _FEW_NS = 3, 1_000_000.0
"""One sigma of a direction with fewer points, but not more than half of the corridor, nor less than a sixth."""
_RATE_SIGMA = 30e-6
"""One sigma of the difference of two clocks' rates, before any packet: 20 ppm of each."""
_UNLIKELY = 12.0
"""A rate whose likelihood is less than the best one's by this, as a logarithm, has no weight."""
_QUIET_NS = 500.0
"""For these weights, distances of points from the line that are much smaller are alike."""
_STEPS = 4
"""Steps of the mean over rates, from one corner of the corridor to the next."""


class EnvelopeFilter:
    """See the module."""

    def __init__(self) -> None:
        self._base: int | None = None
        self._fast = _Side(+1)
        """From the leader: below the line."""
        self._back = _Side(-1)
        """To the leader: above the line."""
        self._fit = _Fit(0.0, -RATE_LIMIT, RATE_LIMIT, None, _FEW_NS, 0, 0.0)
        self._fresh = False
        self._window_ns = _WINDOW_NS
        self._delay_ns: float | None = None

    def add_sample(self, sample: TimingSample) -> None:
        """See `TimingFilter.add_sample`."""
        if self._base is None:
            _, _, self._base = next(limits_of(sample))
        for lower, local, offset in limits_of(sample):
            side = self._fast if lower else self._back
            window_ns = self._window_ns if self._back.points else _OLDEST_NS
            # An answer waits in the leader before it leaves, so it may only be faster than a Sync of the same block.
            opens = not lower or isinstance(sample, LeaderSync)
            self._fresh |= side.add_point((local, offset - self._base), self._fit.rate, window_ns, opens=opens)

    def solve(self, now_ns: int) -> FilterSolution | None:
        """See `TimingFilter.solve`."""
        fast, back = self._fast, self._back
        if self._base is None or not fast.points:
            return None
        if self._fresh:
            self._fresh = False
            back.forget(now_ns - _OLDEST_NS)
            while (fit := self._fitted()).width is not None and fit.width < -2 * _STAMP_NS:
                if not fast.shorten() | back.shorten():
                    break
            self._fit = fit
        fit = self._fit
        below = fast.support(fit.rate, now_ns)
        margin_ns = fit.sigma_ns
        if fit.width is None:
            middle, low = below + (self._delay_ns or 0.0), below
            high = below + PATH_LIMIT_NS
        else:
            # The corridor is a bound already, apart from the stamps' errors.
            margin_ns = 0.0
            self._delay_ns = fit.width / 2
            middle = fit.middle + fit.rate * (now_ns - fit.at_ns)
            low = fast.limit(fit.slowest, now_ns)
            high = back.limit(fit.fastest, now_ns)
        silent_ns = now_ns - max(side.points[-1][0] for side in (fast, back) if side.points)
        sigma = math.hypot(fit.sigma_ns, silent_ns * (fit.fastest - fit.slowest) / 6)
        return FilterSolution(
            local_ns=now_ns,
            offset_ns=self._base + round(middle),
            rate=fit.rate,
            sigma_ns=sigma,
            bound_ns=max(abs(high - middle), abs(middle - low)) + margin_ns + _STAMP_NS,
            two_way=fit.width is not None,
            delay_ns=self._delay_ns,
        )

    def _fitted(self) -> _Fit:
        # The most likely line, were the delays on top of the least ones exponential: on its rates the corridor turns
        # about a corner, and between two such rates no likelihood is greater.
        fast, back = self._fast, self._back
        at = fast.points[-1][0]
        two_way = bool(back.points)

        def width(rate: float) -> float:
            return back.support(rate, at) - fast.support(rate, at) if two_way else 0.0

        def likelihood(rate: float, quiet_ns: float = _STAMP_NS) -> tuple[float, float]:
            logarithm = fast.likelihood(rate, quiet_ns) + (back.likelihood(rate, quiet_ns) if two_way else 0.0)
            return min(width(rate) + 2 * _STAMP_NS, 0.0), logarithm - (rate / _RATE_SIGMA) ** 2 / 2

        slopes = [slope for slope in (*fast.slopes(), *(back.slopes() if two_way else ())) if abs(slope) < RATE_LIMIT]
        rates = sorted({self._fit.rate, 0.0, -RATE_LIMIT, RATE_LIMIT, *slopes})
        best = max(rates, key=likelihood)
        if not two_way:
            return _Fit(best, -RATE_LIMIT, RATE_LIMIT, None, PATH_LIMIT_NS / 6, at, 0.0)
        index = rates.index(best)
        mean, middle, sigma_ns = self._mean_line(rates, best, at, lambda rate: likelihood(rate, _QUIET_NS))
        corridor, points = width(best), min(len(fast.points), len(back.points))
        apart_ns = max(fast.apart(best), back.apart(best))
        longest_ns = math.cbrt(4 * 12 * apart_ns * _BLOCK_NS / _USUAL_WANDER)
        self._window_ns = round(min(max(longest_ns, _WINDOW_NS), _OLDEST_NS))
        if points < _FEW:
            sigma_ns = math.sqrt(2) * max(min(_FEW_NS, corridor / 2 + _STAMP_NS), corridor / 6)
        else:
            sigma_ns *= _CAUTION * (1 + _YOUNG / points)
        return _Fit(
            mean,
            _closing(width, rates[index::-1]),
            _closing(width, rates[index:]),
            corridor,
            math.hypot(_SIGMA_NS, sigma_ns),
            at,
            middle,
        )

    def _mean_line(
        self, rates: Sequence[float], best: float, at_ns: int, likelihood: Callable[[float], tuple[float, float]]
    ) -> tuple[float, float, float]:
        # The mean rate, and the mean middle of the corridor at a time, of all rates that fit; and by how much the
        # middle may differ from it, by the rate and by what the fastest packets had in excess of the least delay.
        least, _ = likelihood(best)
        known = [likelihood(rate) for rate in rates]
        most = max(logarithm for closed, logarithm in known if closed >= least)

        def weight(closed: float, logarithm: float) -> float:
            return math.exp(logarithm - most) if closed >= least and logarithm > most - _UNLIKELY else 0.0

        likely = [index for index, each in enumerate(known) if weight(*each)]
        corners = rates[max(likely[0] - 1, 0) : likely[-1] + 2]
        total = rate_sum = beside_sum = square_sum = 0.0
        best_ns = self._middle(best, at_ns)
        for low, high in pairwise(corners):
            for step in range(_STEPS):
                rate = low + (high - low) * (step + 0.5) / _STEPS
                share = weight(*likelihood(rate)) * (high - low)
                total += share
                rate_sum += share * rate
                beside = self._middle(rate, at_ns) - best_ns
                beside_sum += share * beside
                square_sum += share * (beside**2 + (self._fast.excess(rate) ** 2 + self._back.excess(rate) ** 2) / 4)
        if not total:
            return best, best_ns, math.hypot(self._fast.excess(best), self._back.excess(best)) / 2
        mean = beside_sum / total
        return rate_sum / total, best_ns + mean, math.sqrt(max(square_sum / total - mean**2, 0.0))

    def _middle(self, rate: float, at_ns: int) -> float:
        return (self._fast.support(rate, at_ns) + self._back.support(rate, at_ns)) / 2


class _Fit(NamedTuple):
    rate: float
    slowest: float
    """The least rate with which a line fits."""
    fastest: float
    width: float | None
    """Of the corridor, in nanoseconds; None without a way back."""
    sigma_ns: float
    at_ns: int
    middle: float
    """Of the corridor, at that time; with a way back."""


def _closing(width: Callable[[float], float], rates: Sequence[float]) -> float:
    # Going along these rates from the best one: where the corridor, stamps being what they are, is closed.
    known, room = rates[0], max(width(rates[0]), 0.0) + 2 * _STAMP_NS
    for rate in rates[1:]:
        left = width(rate) + 2 * _STAMP_NS
        if left <= 0:
            return known + (rate - known) * room / (room - left)
        known, room = rate, left
    return known


class _Side:
    """The points of one direction, and their hull: only its corners can touch a line that has all points on a side."""

    def __init__(self, sign: int) -> None:
        self.points: deque[Point] = deque()
        self._newest: Point | None = None
        """The last point that may open a block, kept or not: while the rate is not known, old points limit little."""
        self._sign = sign
        self._hull: list[Point] = []
        self._edges: list[float] = []
        """Slopes of the hull's edges, negative for the upper hull: in increasing order."""
        self._middle, self._mean = 0, 0.0
        """Means of the points' times and offsets."""
        self._apart: dict[float, float] = {}
        """What `apart` has found for these points, by rate: each is asked for several times."""

    def add_point(self, point: Point, rate: float, window_ns: int, *, opens: bool) -> bool:
        """Another point; returns whether it is kept. Older ones than the window are not, if there are enough.

        ``opens`` says whether it is kept where it is the first of its block.
        """
        points, (local, offset) = self.points, point
        if opens:
            self._newest = point
        elif not points or local // _BLOCK_NS != points[-1][0] // _BLOCK_NS:
            return False
        if points:
            last_local, last_offset = points[-1]
            if local // _BLOCK_NS < last_local // _BLOCK_NS:
                return False
            if local // _BLOCK_NS == last_local // _BLOCK_NS:
                if self._sign * (offset - last_offset - rate * (local - last_local)) <= 0:
                    return False
                points.pop()
        points.append(point)
        while len(points) > 1 and local - points[0][0] > (window_ns if len(points) > _LEAST_POINTS else _OLDEST_NS):
            points.popleft()
        self._hull = []
        return True

    def forget(self, before_ns: int) -> None:
        """Forget what is older."""
        while self.points and self.points[0][0] < before_ns:
            self.points.popleft()
            self._hull = []

    def shorten(self) -> bool:
        """Forget the oldest; returns whether there were enough of them."""
        enough = len(self.points) > 2
        for _ in range(max(1, len(self.points) // 8) if enough else 0):
            self.points.popleft()
        self._hull = []
        return enough

    def support(self, rate: float, at_ns: int) -> float:
        """Offset at a time of the line of this rate that touches the points from their outside."""
        corners = self._corners()
        local, offset = corners[bisect_left(self._edges, -self._sign * rate)]
        return offset + rate * (at_ns - local)

    def limit(self, rate: float, at_ns: int) -> float:
        """The same for what a line may become whose rate wanders."""
        sign, half = self._sign, _WANDER / 2
        points = self._corners() if self._newest is None else [*self._corners(), self._newest]
        return sign * max(
            sign * (offset + rate * (at_ns - local)) - half * (at_ns - local) ** 2 for local, offset in points
        )

    def slopes(self) -> list[float]:
        """Of the edges of the hull."""
        self._corners()
        return [-self._sign * edge for edge in self._edges]

    def likelihood(self, rate: float, quiet_ns: float) -> float:
        """Logarithm of how likely this rate makes the points, if they lie off a line exponentially, whichever line of
        this rate and whatever the mean of their distances.

        Distances well below ``quiet_ns`` make no difference.
        """
        return -(len(self.points) - 1) * math.log(self.apart(rate) + quiet_ns)

    def excess(self, rate: float) -> float:
        """How far the fastest point is likely to be from where a packet with the least delay would be."""
        return self.apart(rate) / max(len(self.points) - 1, 1)

    def apart(self, rate: float) -> float:
        """The mean distance of the points from the line."""
        self._corners()  # and the means with them
        found = self._apart.get(rate)
        if found is None:
            found = self._apart[rate] = self._sign * (self.support(rate, self._middle) - self._mean)
        return found

    def _corners(self) -> list[Point]:
        if not self._hull:
            hull: list[Point] = []
            for t, y in self.points:
                while len(hull) > 1:
                    (t0, y0), (t1, y1) = hull[-2:]
                    if self._sign * ((y1 - y0) * (t - t0) - (y - y0) * (t1 - t0)) > 0:
                        break
                    hull.pop()
                hull.append((t, y))
            self._hull, self._apart = hull, {}
            self._edges = [-self._sign * (b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(hull)]
            self._middle = sum(t for t, _ in self.points) // len(self.points)
            self._mean = sum(y for _, y in self.points) / len(self.points)
        return self._hull
