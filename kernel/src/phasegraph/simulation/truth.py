"""The truth, which only a simulation knows: how wrong clocks are, and how far frames are from where they should be.

`CrossingTruth` checks each block that a sink reads of an edge that crosses clock domains. `WorldTruth` is a step of the
engine that checks every clock and every pair of sound cards ten times a second.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .._core.clock import NS_PER_S, ClockEstimate, ClockState
from .._core.node import ClockSource, Metric
from .._run.crossing import CrossingTap
from .grandmaster import Grandmaster
from .local_clock import true_now_ns
from .time_base import TimeBase

LOCK_FRAMES = 1.0
"""A crossing is truly locked when its alignment error stays below this."""
LOCK_RATE_PPB = 1000.0
"""Its ratio is truly locked when the error, averaged over `LOCK_S`, stays below this."""
LOCK_CLOCK_NS = 10_000
"""A clock is truly locked when its error stays below this: half a frame."""
LOCK_S = 5.0
"""How long an error must stay below its limit."""
RECOVERED_NS = 250_000
"""A clock that started again has recovered when its error is below this."""
WORLD_INTERVAL_NS = 100_000_000
_SMOOTH_HZ = 5.0
"""Faster changes of pitch are perceived as noise, not as pitch."""
_SMOOTH_PER_S = -2 * math.pi * _SMOOTH_HZ
_ROWS = 4096
_CLOCK_ROWS = 600
_POINT_S = 0.1


class Spread:
    """Root mean square, mean and extremes of a series that comes in pieces."""

    def __init__(self) -> None:
        self.count = 0
        self.least = math.inf
        self.most = -math.inf
        self._sum = 0.0
        self._squares = 0.0

    def extend(self, values: NDArray[np.float64]) -> None:
        """The next piece of the series."""
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


class LargestDistances:
    """The largest distance between any two of a group, at one instant after the other."""

    def __init__(self) -> None:
        self._values = array("f")

    def add(self, values: Sequence[float]) -> None:
        """What each member shows at an instant; at least two are needed."""
        if len(values) > 1:
            self._values.append(max(values) - min(values))

    def metrics(self, name: str) -> dict[str, Metric]:
        """Root mean square, 99th percentile and maximum in nanoseconds; nothing without an instant."""
        if not self._values:
            return {}
        values = np.asarray(self._values, np.float64)
        return {
            f"true_{name}_rms_ns": round(math.sqrt(float((values**2).mean())), 1),
            f"true_{name}_p99_ns": round(float(np.percentile(values, 99))),
            f"true_{name}_max_ns": round(float(values.max())),
        }


class Settling:
    """Finds when a series first came within a limit and stayed there for a while."""

    def __init__(self, limit: float, hold_s: float) -> None:
        self.since_s: float | None = None
        """When it came within the limit for that long; None while it has not."""
        self._limit = limit
        self._hold_s = hold_s
        self._within_s: float | None = None

    def extend(self, at_s: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        """The next piece of the series."""
        if self.since_s is not None or not len(values):
            return
        outside = np.flatnonzero(~(np.abs(values) < self._limit))
        # Stretches within the limit: the open one, those between two values outside, the one that stays open.
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
    """Compares one crossing, block by block, with the truth on both of its sides."""

    def __init__(self, tap: CrossingTap, source: TimeBase, sink: TimeBase) -> None:
        """``source`` is the time base that the stream's clock follows, ``sink`` the one that paces the sink."""
        self.tap = tap
        self.underruns = 0
        """Blocks for which too few frames had arrived, counted from a second after the first block."""
        self.error_frames = 0.0
        """How many frames the newest block was behind its target."""
        self.source = source
        self._sink = sink
        self._rate = tap.stream.format.rate
        self._began_ns: int | None = None
        self._rows: list[tuple[int, float, float, bool]] = []
        self._locked = False
        self._error, self._ratio_error, self._slope = (_SinceLock() for _ in range(3))
        self._aligned = Settling(LOCK_FRAMES, LOCK_S)
        self._rate_settled = Settling(LOCK_RATE_PPB, LOCK_S)
        self._first: int | None = None
        self._margin = math.inf
        self._pitch: tuple[float, float] | None = None
        self._newest: deque[tuple[float, float]] = deque()
        self._sum = 0.0
        self.points: list[tuple[float, float, float]] | None = None
        """Seconds, alignment error in frames, ratio error in ppb, ten times a second; kept only if set to a list."""

    @property
    def behind_ns(self) -> float:
        """`error_frames` as a time."""
        return self.error_frames * NS_PER_S / self._rate

    def before_read(self, frame: int, count: int) -> None:
        """Check which frames have arrived, before the sink reads a block."""
        if self._first is None:
            self._first = frame
        silent = self.tap.correction.silent or self.tap.stream.end is not None
        if frame - self._first > self._rate and not silent:
            margin = self.tap.available(frame) - count
            if margin < self._margin:
                self._margin = margin
            self.underruns += margin < 0

    def after_read(self, true_ns: int) -> None:
        """Check the position of the block that was read, whose first frame truly sounds at ``true_ns``."""
        tap, correction = self.tap, self.tap.correction
        if self._began_ns is None:
            self._began_ns = true_ns
        if correction.silent:
            return
        whole, rest = divmod(self.source.at(true_ns) * self._rate, NS_PER_S)
        position, fraction = tap.block_start
        self.error_frames = whole - tap.stream.playout_delay_frames - position + rest / NS_PER_S - fraction
        self._rows.append((true_ns, self.error_frames, correction.ratio_ppb, correction.locked))
        if len(self._rows) == _ROWS:
            self._flush()

    def metrics(self) -> dict[str, Metric]:
        """The figures so far; without ``overall`` in its name a figure counts from the compensator's lock on."""
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
        for name, settling in (("lock", self._aligned), ("rate_lock", self._rate_settled)):
            if settling.since_s is not None:
                metrics[f"true_time_to_{name}_s"] = round(settling.since_s, 3)
        return metrics

    def _flush(self) -> None:
        if len(self._rows) < 2:
            return
        assert self._began_ns is not None
        times, errors, ratios, locked = zip(*self._rows, strict=True)
        true_ns, error, ratio = np.array(times, np.int64), np.array(errors), np.array(ratios)
        self._rows.clear()
        ideal = (1e9 + self.source.rates_ppb(true_ns)) / (1e9 + self._sink.rates_ppb(true_ns))
        off = ratio - 1e9 * (ideal - 1.0)
        seconds = (true_ns - self._began_ns) / NS_PER_S
        slopes, means = self._smooth(seconds, ratio, off)
        first = 0 if self._locked else locked.index(True) if True in locked else None
        self._locked |= first is not None
        for series, values in ((self._error, error), (self._ratio_error, off), (self._slope, slopes)):
            series.extend(values, first)
        self._aligned.extend(seconds, error)
        self._rate_settled.extend(seconds, means)
        if self.points is not None:
            every = max(1, round(_POINT_S * len(seconds) / max(_POINT_S, seconds[-1] - seconds[0])))
            columns = (seconds, error, off)
            self.points += zip(*(column[::every].tolist() for column in columns), strict=True)

    def _smooth(
        self, seconds: NDArray[np.float64], ratio: NDArray[np.float64], off: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # Rate of change of the pitch, and the ratio's error averaged over the last `LOCK_S`.
        newest, total = self._newest, self._sum
        before, smooth = self._pitch or (float(seconds[0]), float(ratio[0]))
        slopes, means = [], []
        for second, value, wrong in zip(seconds.tolist(), ratio.tolist(), off.tolist(), strict=True):
            elapsed = second - before
            if elapsed > 0.0:
                smoother = smooth + (value - smooth) * (1.0 - math.exp(_SMOOTH_PER_S * elapsed))
                slopes.append((smoother - smooth) / elapsed)
                before, smooth = second, smoother
            else:
                slopes.append(0.0)
            newest.append((second, wrong))
            total += wrong
            while newest[0][0] < second - LOCK_S:
                total -= newest.popleft()[1]
            means.append(total / len(newest))
        self._pitch, self._sum = (before, smooth), total
        return np.array(slopes), np.array(means)


class _SinceLock:
    """A series as a whole, and from the lock on; before there is a lock, the whole series counts for both."""

    def __init__(self) -> None:
        self.overall = Spread()
        self._locked = Spread()

    @property
    def latest(self) -> Spread:
        return self._locked if self._locked.count else self.overall

    def extend(self, values: NDArray[np.float64], locked_from: int | None) -> None:
        self.overall.extend(values)
        if locked_from is not None:
            self._locked.extend(values[locked_from:])


class ClockTruth:
    """Compares one clock with the truth."""

    def __init__(self) -> None:
        self._error = _SinceLock()
        self._settling = Settling(LOCK_CLOCK_NS, LOCK_S)
        self._has_locked = False
        self._outside_bound = 0
        self._newest_s: float | None = None
        """When there was an estimate for the last time."""
        self._absent_since_s: float | None = None
        self._recovery_s: float | None = None
        self._newest: list[tuple[float, float, bool]] = []

    def record_error(self, true_s: float, error_ns: int, estimate: ClockEstimate) -> None:
        """Record one estimate and its true error."""
        if estimate.state is ClockState.UNLOCKED:
            if self._newest_s is not None and self._absent_since_s is None:
                self._absent_since_s = self._newest_s
            return
        self._newest_s = true_s
        if self._absent_since_s is not None and abs(error_ns) < RECOVERED_NS:
            self._recovery_s = max(self._recovery_s or 0.0, true_s - self._absent_since_s)
            self._absent_since_s = None
        self._has_locked |= estimate.state is ClockState.LOCKED
        self._outside_bound += abs(error_ns) > estimate.bound_ns
        self._newest.append((true_s, error_ns, self._has_locked))
        if len(self._newest) == _CLOCK_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._newest:
            seconds, error, locked = (np.array(column) for column in zip(*self._newest, strict=True))
            # Once it has locked, it counts as locked.
            self._error.extend(error.astype(np.float64), int(np.argmax(locked)) if locked.any() else None)
            self._settling.extend(seconds, error)
            self._newest.clear()

    def metrics(self) -> dict[str, Metric]:
        """The figures; without ``overall`` in its name a figure counts from the clock's own lock on."""
        self._flush()
        latest, overall = self._error.latest, self._error.overall
        if not overall.count:
            return {}
        metrics: dict[str, Metric] = {
            "true_offset_error_rms_ns": round(latest.rms, 1),
            "true_offset_error_max_ns": round(latest.peak),
            "true_offset_error_mean_ns": round(latest.mean, 1),
            "true_overall_offset_error_rms_ns": round(overall.rms, 1),
            "true_overall_offset_error_max_ns": round(overall.peak),
            "true_outside_bound": self._outside_bound,
        }
        if self._settling.since_s is not None:
            metrics["true_time_to_lock_s"] = round(self._settling.since_s, 3)
        if self._recovery_s is not None:
            metrics["true_recovery_s"] = round(self._recovery_s, 3)
        return metrics


class WorldTruth:
    """Compares all clocks with the truth, and the sound cards with each other."""

    def __init__(
        self, grandmaster: Grandmaster, clocks: Mapping[str, ClockSource], truths: Iterable[CrossingTruth]
    ) -> None:
        """``clocks`` by id; ``truths`` of the crossings whose streams are on the grandmaster's time."""
        self.clocks = {id: ClockTruth() for id in clocks}
        self._grandmaster = grandmaster
        self._nodes = clocks
        self._truths = list(truths)
        self._cards_apart, self._clocks_apart = LargestDistances(), LargestDistances()
        self._began_ns: int | None = None

    def sample(self, local_ns: int) -> int:
        """Compare now; returns the local time of the next comparison."""
        now = true_now_ns()
        if self._began_ns is None:
            self._began_ns = now
        truth = self._grandmaster.at(now)
        errors: list[float] = []
        for id, watch in self.clocks.items():
            estimate = self._nodes[id].estimate()
            if estimate.state is ClockState.LOCKED:
                errors.append(estimate.reference_at(local_ns) - truth)
            watch.record_error((now - self._began_ns) / NS_PER_S, estimate.reference_at(local_ns) - truth, estimate)
        if len(errors) == len(self.clocks):
            self._clocks_apart.add(errors)
        if all(each.tap.correction.locked for each in self._truths):
            self._cards_apart.add([each.behind_ns for each in self._truths])
        return local_ns + WORLD_INTERVAL_NS

    def metrics(self) -> dict[str, Metric]:
        """Between what the sound cards play while all compensators are locked, and between clocks while all are."""
        return self._cards_apart.metrics("apart") | self._clocks_apart.metrics("clocks_apart")
