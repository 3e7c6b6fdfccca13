"""Percentiles of durations from a fixed number of logarithmic bins; no samples are kept.

One thread adds (the data plane), any thread reads. What was added is an immutable sum and two lists that only grow: the
writer replaces all three at once when a list is long, and a reader adds the lists to the sum on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phasegraph import Metric

_PER_OCTAVE = 16
_LEAST_NS = 1_000.0
_BINS = 26 * _PER_OCTAVE
"""From 1 us to 67 s, each bin 4.4 % wide; the same below zero."""
_GATHER = 256
"""Arrays that are counted together."""
_GATHER_SINGLE = 256
"""Single values that are counted together."""


class Distribution(NamedTuple):
    """Durations by bin, and the largest of them; never changed."""

    bins: NDArray[np.int64]
    largest_ns: int | None

    def plus(self, arrays: Sequence[NDArray[np.int64]], singles: Sequence[int]) -> Distribution:
        """The same with more values."""
        values = np.concatenate([*arrays, np.array(singles, np.int64)])
        if not len(values):
            return self
        octaves = np.log2(np.maximum(np.abs(values), _LEAST_NS) / _LEAST_NS)
        at = np.minimum((octaves * _PER_OCTAVE).astype(np.int64), _BINS - 1)
        counts = np.bincount(np.where(values < 0, _BINS - 1 - at, _BINS + at), minlength=2 * _BINS)
        largest_ns = int(values.max())
        return Distribution(
            self.bins + counts, largest_ns if self.largest_ns is None else max(self.largest_ns, largest_ns)
        )

    def percentile(self, fraction: float) -> int:
        """The value that a fraction of the durations does not exceed: a bin's upper edge, at most the maximum."""
        if self.largest_ns is None:
            return 0
        at = int(np.searchsorted(np.cumsum(self.bins), fraction * int(self.bins.sum()))) - _BINS
        if at < -1:
            edge_ns: float = -_LEAST_NS * 2.0 ** ((-1 - at) / _PER_OCTAVE)
        else:
            edge_ns = 0.0 if at == -1 else _LEAST_NS * 2.0 ** ((at + 1) / _PER_OCTAVE)
        return min(self.largest_ns, round(edge_ns))

    def metrics(self, name: str) -> dict[str, Metric]:
        """``NAME_p50_ns``, ``NAME_p99_ns`` and ``NAME_max_ns``, once anything was counted."""
        if self.largest_ns is None:
            return {}
        return {
            f"{name}_p50_ns": self.percentile(0.5),
            f"{name}_p99_ns": self.percentile(0.99),
            f"{name}_max_ns": self.largest_ns,
        }


EMPTY = Distribution(np.zeros(2 * _BINS, np.int64), None)


class HistogramSnapshot(NamedTuple):
    """What was added up to a moment: values that are counted, and values that the reader counts."""

    counted: Distribution = EMPTY
    arrays: Sequence[NDArray[np.int64]] = ()
    singles: Sequence[int] = ()

    def distribution(self) -> Distribution:
        """All of it, counted."""
        return self.counted.plus(self.arrays, self.singles)


class _State(NamedTuple):
    """What was added: the values that are counted, and those that are not yet."""

    counted: Distribution
    arrays: list[NDArray[np.int64]]
    singles: list[int]


class Histogram:
    """Counts durations, negative ones too; those within one microsecond of zero share a bin on each side."""

    def __init__(self) -> None:
        self._state = _State(EMPTY, [], [])
        """Written by the thread that adds. The lists are appended to, never cleared."""

    def add(self, values_ns: NDArray[np.int64]) -> None:
        """Count values in nanoseconds. Keeps the array until it is counted, many together: that is much cheaper."""
        state = self._state
        state.arrays.append(values_ns)
        if len(state.arrays) >= _GATHER:
            self._state = _State(self.distribution(), [], [])

    def add_one(self, value_ns: int) -> None:
        """Count one value in nanoseconds."""
        state = self._state
        state.singles.append(value_ns)
        if len(state.singles) >= _GATHER_SINGLE:
            self._state = _State(self.distribution(), [], [])

    def snapshot(self) -> HistogramSnapshot:
        """What was added until now, uncounted: cheap for the thread that adds."""
        state = self._state
        return HistogramSnapshot(state.counted, state.arrays[:], state.singles[:])

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
