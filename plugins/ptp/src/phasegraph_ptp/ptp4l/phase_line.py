"""From single readings of the grandmaster's time to a clock: a straight line through the latest of them. Pure.

Local time is not steered, so with any oscillator the grandmaster's time is nearly a straight line over half a minute.
`phasegraph.ClockPublisher` makes a clock without jumps of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import msgspec

from phasegraph import NS_PER_S, ClockDoubt, ClockEstimate, ClockFix, ClockPublisher, PublisherSettings

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
_SLEW_INTERVALS = 4
"""A lag is removed within this many intervals, once the clock was locked; before, at once."""


class ReadingSource(msgspec.Struct, frozen=True):
    """Whose time it is."""

    grandmaster: str
    timescale: str


class PhaseLine:
    """Readings come by `add_reading`; `publish_at` is called at each interval."""

    def __init__(self, settings: PublisherSettings, domain: int | None = None) -> None:
        """``domain`` is what the estimates name."""
        self.publisher = ClockPublisher(settings)
        """Makes the estimates."""
        self._domain = domain
        self._points: deque[tuple[int, int]] = deque(maxlen=_POINTS)
        self._beside: list[tuple[int, int]] = []
        self._line: LeastSquaresLine | None = None
        self._known: LeastSquaresLine | None = None
        self._last_ns = 0
        self._source = self._shown = ReadingSource("", "arb")
        self._restarted = self._other_timescale = False
        self.rejected = 0
        """Readings that were too far beside the line."""
        self.estimate = ClockEstimate(local_ns=0, reference_ns=0)
        """The newest snapshot."""

    def set_source(self, source: ReadingSource) -> bool:
        """The readings to come are of this source; returns whether it is another than before.

        Readings are collected from the start, and the clock goes on as it is until there are enough of them.
        """
        if source == self._source:
            return False
        self._other_timescale |= source.timescale != self._source.timescale or source.timescale == "arb"
        self._source = source
        self._restart([])
        return True

    def add_reading(self, local_ns: int, reference_ns: int) -> None:
        """Another reading: the grandmaster's time at a local time."""
        point = local_ns, reference_ns
        if self._line is not None and len(self._points) >= _ENOUGH:
            gate = max(_GATE_LEAST_NS, _GATE * (self._line.noise_ns + self._line.sigma_ns(local_ns)))
            if abs(reference_ns - self._line.reference_at(local_ns)) > gate:
                self.rejected += 1
                self._beside.append(point)
                if len(self._beside) < _ENOUGH:
                    return
                self._restart(self._beside[:-1])
        self._beside.clear()
        self._points.append(point)
        self._last_ns = local_ns
        if len(self._points) >= _ENOUGH:
            self._line = LeastSquaresLine.through(self._points, self._known)

    def publish_at(self, now_ns: int, *, interval_ns: int, silence_ns: int, path_delay_ns: int) -> ClockEstimate:
        """Publish for ``now_ns``; the next call is expected in ``interval_ns``.

        After ``silence_ns`` without a reading that fits the line, the clock is in holdover. The path's delay is part of
        the bound, as its asymmetry cannot be seen.
        """
        line, publisher = self._line, self.publisher
        if line is None:
            return self.estimate
        ready = len(self._points) >= _ENOUGH
        silent = not ready or now_ns - self._last_ns > silence_ns
        if ready:
            publisher.steer(
                ClockFix(
                    local_ns=now_ns,
                    reference_ns=line.reference_at(now_ns),
                    rate_ppb=line.rate * NS_PER_S,
                    lockable=not silent,
                    doubt_at=lambda at_ns, lag_ns: self._doubt(line, silent, at_ns, lag_ns),
                ),
                slew_s=_SLEW_INTERVALS * interval_ns / NS_PER_S if publisher.was_locked else 0.0,
                other_reference=self._restarted,
                other_timescale=self._other_timescale,
            )
            self._shown = self._source
            self._restarted = self._other_timescale = False
        self.estimate = publisher.estimate(
            now_ns,
            silent=silent,
            path_delay_ns=path_delay_ns or None,
            asymmetry_ns=path_delay_ns,
            timescale=self._shown.timescale,
            grandmaster=self._shown.grandmaster,
            domain=self._domain,
        )
        return self.estimate

    def _restart(self, points: Sequence[tuple[int, int]]) -> None:
        if len(self._points) == _POINTS:
            self._known = self._line
        self._points = deque(points, _POINTS)
        self._beside.clear()
        self._restarted = True

    def _doubt(self, line: LeastSquaresLine, silent: bool, now_ns: int, lag_ns: float) -> ClockDoubt:
        line_ns = line.sigma_ns(now_ns)
        silent = silent or len(self._points) < _ENOUGH
        wander_ns = (now_ns - self._last_ns) * _WANDER_PPB / NS_PER_S if silent else 0.0
        bound_ns = _READ_BOUND_NS + max(line.worst_ns, 6 * line_ns) + 3 * wander_ns + abs(lag_ns)
        return ClockDoubt(math.hypot(line_ns, wander_ns, lag_ns), bound_ns)


class LeastSquaresLine(msgspec.Struct, frozen=True):
    """Reference time is ``reference_ns`` at ``middle_ns`` and runs fast of local time by ``rate``."""

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
    def through(cls, points: Sequence[tuple[int, int]], known: LeastSquaresLine | None) -> LeastSquaresLine:
        """Least squares. ``known`` is an earlier line: its rate holds until the points determine their own."""
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

    def reference_at(self, local_ns: int) -> int:
        """Reference time at a local time."""
        since = local_ns - self.middle_ns
        return self.reference_ns + since + round(since * self.rate)

    def sigma_ns(self, local_ns: int) -> float:
        """One standard deviation of that."""
        lever = (local_ns - self.middle_ns) / self.spread_ns
        return _CORRELATED * self.noise_ns * math.sqrt((1 + lever**2) / self.count)
