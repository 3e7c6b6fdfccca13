"""What only a simulation knows: how far what sounds truly is from where it should be."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from .._core.clock import NS_PER_S
from .._core.node import Metric
from .._run.crossing import CrossingTap
from .grandmaster import TimeBase

LOCK_FRAMES = 1.0
"""An alignment error below this is lock, in truth."""
LOCK_RATE_PPB = 1000.0
"""The same of the ratio, averaged over `LOCK_S`."""
LOCK_S = 5.0
"""For so long it must stay there."""
_SMOOTH_HZ = 5.0
"""Changes of pitch that are faster than this are heard as noise, not as pitch."""
_ROWS = 4096
_POINT_S = 0.1


class Spread:
    """Root mean square, mean, and extremes of a series, added to in pieces."""

    def __init__(self) -> None:
        self.count = 0
        self.least = math.inf
        self.most = -math.inf
        self._sum = 0.0
        self._squares = 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """More of the series."""
        if len(values):
            self.count += len(values)
            self.least, self.most = min(self.least, float(values.min())), max(self.most, float(values.max()))
            self._sum += float(values.sum())
            self._squares += float(values @ values)

    @property
    def mean(self) -> float:
        """Mean."""
        return self._sum / self.count

    @property
    def rms(self) -> float:
        """Root mean square."""
        return math.sqrt(self._squares / self.count)

    @property
    def deviation(self) -> float:
        """Root mean square about the mean."""
        return math.sqrt(max(0.0, self._squares / self.count - self.mean**2))

    @property
    def peak(self) -> float:
        """The largest absolute value."""
        return max(abs(self.least), abs(self.most))

    @property
    def span(self) -> float:
        """From the least to the most."""
        return self.most - self.least


class Settling:
    """Finds when something first came to stay within a limit for a while."""

    def __init__(self, limit: float, hold_s: float) -> None:
        self.since_s: float | None = None
        """When it came to stay; None while it has not."""
        self._limit = limit
        self._hold_s = hold_s
        self._within_s: float | None = None

    def add(self, at_s: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        """More of the series."""
        if self.since_s is not None or not len(values):
            return
        outside = np.flatnonzero(~(np.abs(values) < self._limit))
        # Stretches within the limit: the one that was going on, those between, the one that goes on.
        for begin, end in zip((-1, *outside.tolist()), (*outside.tolist(), len(values)), strict=True):
            if begin >= 0:
                self._within_s = None
            if end > begin + 1:
                if self._within_s is None:
                    self._within_s = float(at_s[begin + 1])
                if float(at_s[end - 1]) - self._within_s >= self._hold_s:
                    self.since_s = self._within_s
                    return


class CrossingTruth:
    """Watches one crossing, block by block, against the truth on both of its sides."""

    def __init__(self, tap: CrossingTap, source: TimeBase, sink: TimeBase) -> None:
        """``source`` is what the stream's clock follows, ``sink`` what paces the sink."""
        self.tap = tap
        self.underruns = 0
        """Blocks for which too little had arrived, from a second after the first on."""
        self.error_frames = 0.0
        """How far the newest block was behind."""
        self.source = source
        self._sink = sink
        self._rate = tap.stream.format.rate
        self._began_ns: int | None = None
        self._rows: list[tuple[int, float, float, bool]] = []
        self._locked = False
        self._error, self._ratio_error, self._slope = (_Before() for _ in range(3))
        self._aligned = Settling(LOCK_FRAMES, LOCK_S)
        self._in_tune = Settling(LOCK_RATE_PPB, LOCK_S)
        self._first: int | None = None
        self._margin = math.inf
        self._pitch: tuple[float, float] | None = None
        self._newest: deque[tuple[float, float]] = deque()
        self._sum = 0.0
        self.points: list[tuple[float, float, float]] | None = None
        """Seconds, alignment error in frames, ratio error in ppb, ten times a second: kept where it is a list."""

    @property
    def behind_ns(self) -> float:
        """`error_frames` as a time."""
        return self.error_frames * NS_PER_S / self._rate

    def before(self, frame: int, count: int) -> None:
        """Look at what has arrived, before the sink reads a block."""
        if self._first is None:
            self._first = frame
        silent = self.tap.correction.silent or self.tap.stream.end is not None
        if frame - self._first > self._rate and not silent:
            margin = self.tap.available(frame) - count
            self._margin = min(self._margin, margin)
            self.underruns += margin < 0

    def after(self, true_ns: int) -> None:
        """Look at what was read of a block that truly sounds from ``true_ns`` on."""
        tap = self.tap
        if self._began_ns is None:
            self._began_ns = true_ns
        if tap.correction.silent:
            return
        whole, rest = divmod(self.source.at(true_ns) * self._rate, NS_PER_S)
        position, fraction = tap.block_start
        self.error_frames = whole - tap.stream.playout_delay_frames - position + rest / NS_PER_S - fraction
        self._rows.append((true_ns, self.error_frames, tap.correction.ratio_ppb, tap.correction.locked))
        if len(self._rows) == _ROWS:
            self._flush()

    def metrics(self) -> dict[str, Metric]:
        """The figures so far; without a name's ``overall`` they are those after the compensator has locked."""
        self._flush()
        metrics: dict[str, Metric] = {"underruns": self.underruns}
        if self._margin < math.inf:
            metrics["true_margin_min_frames"] = int(self._margin)
        if not self._error.overall.count:
            return metrics
        for name, spreads in (("", self._error.latest), ("overall_", self._error.overall)):
            metrics[f"true_{name}alignment_error_rms_frames"] = round(spreads.rms, 4)
            metrics[f"true_{name}alignment_error_max_frames"] = round(spreads.peak, 4)
        error, ratio, slope = self._error.latest, self._ratio_error.latest, self._slope
        latency = self.tap.stream.playout_delay_frames + error.mean
        metrics |= {
            "true_alignment_error_mean_frames": round(error.mean, 4),
            "true_wander_rms_frames": round(error.deviation, 4),
            "true_wander_pp_frames": round(error.span, 4),
            "true_latency_ns": round(latency * NS_PER_S / self._rate),
            "true_ratio_error_rms_ppb": round(ratio.rms, 3),
            "true_ratio_error_max_ppb": round(self._ratio_error.overall.peak, 3),
        }
        if slope.overall.count:
            metrics["true_pitch_slope_max_ppb_per_s"] = round(slope.latest.peak, 3)
            metrics["true_overall_pitch_slope_max_ppb_per_s"] = round(slope.overall.peak, 3)
        for name, settling in (("lock", self._aligned), ("rate_lock", self._in_tune)):
            if settling.since_s is not None:
                metrics[f"true_time_to_{name}_s"] = round(settling.since_s, 3)
        return metrics

    def _flush(self) -> None:
        if len(self._rows) < 2:
            return
        assert self._began_ns is not None
        true_ns = np.array([row[0] for row in self._rows], np.int64)
        error, ratio = (np.array([row[column] for row in self._rows]) for column in (1, 2))
        locked = [row[3] for row in self._rows]
        self._rows.clear()
        ideal = (1e9 + self.source.rates_ppb(true_ns)) / (1e9 + self._sink.rates_ppb(true_ns))
        off = ratio - 1e9 * (ideal - 1.0)
        seconds = (true_ns - self._began_ns) / NS_PER_S
        slopes, means = self._smooth(seconds, ratio, off)
        first = 0 if self._locked else locked.index(True) if True in locked else None
        self._locked |= first is not None
        for series, values in ((self._error, error), (self._ratio_error, off), (self._slope, slopes)):
            series.add(values, first)
        self._aligned.add(seconds, error)
        self._in_tune.add(seconds, means)
        if self.points is not None:
            every = max(1, round(_POINT_S * len(seconds) / max(_POINT_S, seconds[-1] - seconds[0])))
            columns = (seconds, error, off)
            self.points += zip(*(column[::every].tolist() for column in columns), strict=True)

    def _smooth(
        self, seconds: NDArray[np.float64], ratio: NDArray[np.float64], off: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # How fast the pitch changes, and the ratio's error averaged over the last `LOCK_S`.
        pitch, newest = self._pitch, self._newest
        slopes, means = np.zeros(len(ratio)), np.empty(len(ratio))
        for at, (second, value, wrong) in enumerate(zip(seconds.tolist(), ratio.tolist(), off.tolist(), strict=True)):
            if pitch is not None and second > pitch[0]:
                elapsed = second - pitch[0]
                smooth = pitch[1] + (value - pitch[1]) * (1.0 - math.exp(-2 * math.pi * _SMOOTH_HZ * elapsed))
                slopes[at] = (smooth - pitch[1]) / elapsed
                pitch = (second, smooth)
            elif pitch is None:
                pitch = (second, value)
            newest.append((second, wrong))
            self._sum += wrong
            while newest[0][0] < second - LOCK_S:
                self._sum -= newest.popleft()[1]
            means[at] = self._sum / len(newest)
        self._pitch = pitch
        return slopes, means


class _Before:
    """A series as a whole, and from the lock on: the whole stands in for that as long as there is no lock."""

    def __init__(self) -> None:
        self.overall = Spread()
        self._locked = Spread()

    @property
    def latest(self) -> Spread:
        return self._locked if self._locked.count else self.overall

    def add(self, values: NDArray[np.float64], locked_from: int | None) -> None:
        self.overall.add(values)
        if locked_from is not None:
            self._locked.add(values[locked_from:])
