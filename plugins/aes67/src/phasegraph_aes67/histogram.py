"""Percentiles of durations from a fixed number of logarithmic bins; no samples are kept.

One thread adds (the data plane), any thread reads. What was added is an immutable sum and a buffer that only fills up:
the writer replaces both at once when the buffer is full, and a reader adds the buffer to the sum on its own.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cached_property
from itertools import accumulate
from operator import sub
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phasegraph import Metric

_PER_OCTAVE = 16
_LEAST_NS = 1_000.0
_BINS = 26 * _PER_OCTAVE
"""From 1 us to 67 s, each bin 4.4 % wide; the same below zero."""
_GATHER = 256
"""Values that are counted together: much cheaper than each as it comes."""


class _Filled(NamedTuple):
    """The bins that are not empty, in order."""

    at: NDArray[np.int64]
    edges_ns: list[int]
    counts: list[int]
    sums: list[int]
    """Of the counts up to each."""


class Distribution:
    """Durations by bin, and the largest of them; never changed."""

    def __init__(self, bins: NDArray[np.int64], largest_ns: int | None) -> None:
        self.bins = bins
        self.largest_ns = largest_ns

    @cached_property
    def _filled(self) -> _Filled:
        at = np.flatnonzero(self.bins)
        counts = self.bins[at].tolist()
        return _Filled(at, [_EDGES_NS[each] for each in at.tolist()], counts, list(accumulate(counts)))

    def plus(self, values: NDArray[np.int64]) -> Distribution:
        """The same with more values."""
        if not len(values):
            return self
        at = np.minimum(_UPPER_EDGES_NS.searchsorted(values), 2 * _BINS - 1)
        counts = np.bincount(at, minlength=2 * _BINS)
        largest_ns = int(values.max())
        return Distribution(
            self.bins + counts, largest_ns if self.largest_ns is None else max(self.largest_ns, largest_ns)
        )

    def percentile(self, fraction: float) -> int:
        """The value that a fraction of the durations does not exceed: a bin's upper edge, at most the maximum."""
        filled = self._filled
        if self.largest_ns is None or not filled.sums:
            return 0
        return min(self.largest_ns, filled.edges_ns[bisect_left(filled.sums, fraction * filled.sums[-1])])

    def percentile_since(self, before: Distribution, fraction: float) -> int:
        """The same of the durations that were added after ``before``, at most the maximum of all."""
        filled = self._filled
        new = list(accumulate(map(sub, filled.counts, before.bins[filled.at].tolist())))
        if self.largest_ns is None or not new or not new[-1]:
            return 0
        return min(self.largest_ns, filled.edges_ns[bisect_left(new, fraction * new[-1])])

    def as_text(self) -> str:
        """``UPPER_EDGE_NS:COUNT`` of each bin that is not empty, in order: ``1189207:52 1243336:8``."""
        filled = self._filled
        return " ".join([f"{edge}:{count}" for edge, count in zip(filled.edges_ns, filled.counts, strict=True)])

    def metrics(self, name: str) -> dict[str, Metric]:
        """``NAME_p50_ns``, ``NAME_p99_ns`` and ``NAME_max_ns``, once anything was counted."""
        if self.largest_ns is None:
            return {}
        return {
            f"{name}_p50_ns": self.percentile(0.5),
            f"{name}_p99_ns": self.percentile(0.99),
            f"{name}_max_ns": self.largest_ns,
        }


def _upper_edge_ns(at: int) -> int:
    octaves = (at - _BINS + 1) / _PER_OCTAVE
    if octaves < 0:
        return round(-_LEAST_NS * math.exp2(-octaves))
    return 0 if octaves == 0 else round(_LEAST_NS * math.exp2(octaves))


_EDGES_NS = tuple(_upper_edge_ns(at) for at in range(2 * _BINS))
_UPPER_EDGES_NS = np.array(_EDGES_NS, np.int64)
EMPTY = Distribution(np.zeros(2 * _BINS, np.int64), None)


class HistogramSnapshot(NamedTuple):
    """What was added up to a moment: values that are counted, and values that the reader counts."""

    counted: Distribution = EMPTY
    values_ns: NDArray[np.int64] = EMPTY.bins[:0]

    def distribution(self) -> Distribution:
        """All of it, counted."""
        return self.counted.plus(self.values_ns)


class _Buffer:
    """Values that are not counted yet. The thread that adds writes them, then how many there are."""

    __slots__ = ("count", "values_ns")

    def __init__(self) -> None:
        self.values_ns: NDArray[np.int64] = np.empty(_GATHER, np.int64)
        self.count = 0


class _State(NamedTuple):
    """What was added: the values that are counted, and those that are not yet."""

    counted: Distribution
    buffer: _Buffer


class Histogram:
    """Counts durations, negative ones too; those within one microsecond of zero share a bin on each side."""

    def __init__(self) -> None:
        self._state = _State(EMPTY, _Buffer())
        """Written by the thread that adds. A buffer is filled, never cleared."""

    def add(self, values_ns: NDArray[np.int64]) -> None:
        """Count values in nanoseconds."""
        buffer = self._state.buffer
        start = buffer.count
        stop = start + len(values_ns)
        if stop > _GATHER:
            self._state = _State(self.distribution().plus(values_ns), _Buffer())
            return
        buffer.values_ns[start:stop] = values_ns
        buffer.count = stop

    def add_one(self, value_ns: int) -> None:
        """Count one value in nanoseconds."""
        buffer = self._state.buffer
        if buffer.count == _GATHER:
            buffer = _Buffer()
            self._state = _State(self.distribution(), buffer)
        buffer.values_ns[buffer.count] = value_ns
        buffer.count += 1

    def snapshot(self) -> HistogramSnapshot:
        """What was added until now, uncounted: cheap for the thread that adds."""
        counted, buffer = self._state
        return HistogramSnapshot(counted, buffer.values_ns[: buffer.count].copy())

    def distribution(self) -> Distribution:
        """What was added until now."""
        return self.snapshot().distribution()

    @property
    def count(self) -> int:
        """Values that were added."""
        return int(self.distribution().bins.sum())

    def percentile(self, fraction: float) -> int:
        """See `Distribution.percentile`."""
        return self.distribution().percentile(fraction)

    def metrics(self, name: str) -> dict[str, Metric]:
        """See `Distribution.metrics`."""
        return self.distribution().metrics(name)
