"""Percentiles of durations from a fixed number of logarithmic bins; no samples are kept.

One thread adds (the data plane), any thread reads. What was added is an immutable sum and two lists that only grow: the
writer replaces all three at once when a list is long, and a reader adds the lists to the sum on its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phasegraph import Metric

_PER_OCTAVE = 16
_LEAST_NS = 1_000.0
_BINS = 26 * _PER_OCTAVE
"""From 1 us to 67 s, each bin 4.4 % wide."""
_GATHER = 64
"""Arrays that are counted together."""
_GATHER_SINGLE = 256
"""Single values that are counted together."""


class _Sum(NamedTuple):
    """Values by bin, and the largest of them; never changed."""

    bins: NDArray[np.int64]
    largest: int | None

    def plus(self, arrays: list[NDArray[np.int64]], singles: list[int]) -> _Sum:
        values = np.concatenate([*arrays, np.array(singles, np.int64)])
        if not len(values):
            return self
        bins = np.log2(np.maximum(values, _LEAST_NS) / _LEAST_NS) * _PER_OCTAVE
        counts = np.bincount(np.minimum(bins.astype(np.int64), _BINS - 1), minlength=_BINS)
        largest = int(values.max())
        return _Sum(self.bins + counts, largest if self.largest is None else max(self.largest, largest))

    def percentile(self, fraction: float) -> int:
        if self.largest is None:
            return 0
        at = int(np.searchsorted(np.cumsum(self.bins), fraction * int(self.bins.sum())))
        edge_ns: float = _LEAST_NS * 2.0 ** ((at + 1) / _PER_OCTAVE)
        return min(self.largest, round(edge_ns))


class _State(NamedTuple):
    """What was added: the values that are counted, and those that are not yet."""

    counted: _Sum
    arrays: list[NDArray[np.int64]]
    singles: list[int]

    def sum(self) -> _Sum:
        return self.counted.plus(self.arrays[:], self.singles[:])


class Histogram:
    """Counts durations; those below one microsecond (negative ones too) share the first bin."""

    def __init__(self) -> None:
        self._state = _State(_Sum(np.zeros(_BINS, np.int64), None), [], [])
        """Written by the thread that adds. The lists are appended to, never cleared."""

    def add(self, values_ns: NDArray[np.int64]) -> None:
        """Count values in nanoseconds. Keeps the array until it is counted, many together: that is much cheaper."""
        state = self._state
        state.arrays.append(values_ns)
        if len(state.arrays) >= _GATHER:
            self._state = _State(state.sum(), [], [])

    def add_one(self, value_ns: int) -> None:
        """Count one value in nanoseconds."""
        state = self._state
        state.singles.append(value_ns)
        if len(state.singles) >= _GATHER_SINGLE:
            self._state = _State(state.sum(), [], [])

    def _now(self) -> _Sum:
        return self._state.sum()

    @property
    def count(self) -> int:
        """Values that were added."""
        return int(self._now().bins.sum())

    def percentile(self, fraction: float) -> int:
        """The value that a fraction of what was counted does not exceed: a bin's upper edge, at most the maximum."""
        return self._now().percentile(fraction)

    def metrics(self, name: str) -> dict[str, Metric]:
        """``NAME_p50_ns``, ``NAME_p99_ns`` and ``NAME_max_ns``, once anything was counted."""
        now = self._now()
        if now.largest is None:
            return {}
        return {
            f"{name}_p50_ns": now.percentile(0.5),
            f"{name}_p99_ns": now.percentile(0.99),
            f"{name}_max_ns": now.largest,
        }
