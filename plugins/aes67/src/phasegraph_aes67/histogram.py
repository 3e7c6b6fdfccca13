"""Percentiles of times, counted as they come: a fixed number of logarithmic bins, no samples kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasegraph import Metric

_PER_OCTAVE = 16
_LEAST_NS = 1_000.0
_BINS = 26 * _PER_OCTAVE
"""From 1 us to 67 s, each bin 4.4 % wide."""
_GATHER = 64


class Histogram:
    """Counts durations; those below one microsecond (negative ones too) share the first bin."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self._largest: int | None = None
        self._waiting: list[NDArray[np.int64]] = []

    def add(self, values_ns: NDArray[np.int64]) -> None:
        """Count values in nanoseconds. Keeps the array until it is counted, many together: that is much cheaper."""
        self._waiting.append(values_ns)
        if len(self._waiting) >= _GATHER:
            self._count()

    def _count(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        values = np.concatenate(waiting)
        if not len(values):
            return
        bins = np.log2(np.maximum(values, _LEAST_NS) / _LEAST_NS) * _PER_OCTAVE
        self._counts += np.bincount(np.minimum(bins.astype(np.int64), _BINS - 1), minlength=_BINS)
        largest = int(values.max())
        self._largest = largest if self._largest is None else max(self._largest, largest)

    def percentile(self, fraction: float) -> int:
        """The value that a fraction of what was counted does not exceed: a bin's upper edge, at most the maximum."""
        self._count()
        if self._largest is None:
            return 0
        at = int(np.searchsorted(np.cumsum(self._counts), fraction * int(self._counts.sum())))
        edge_ns: float = _LEAST_NS * 2.0 ** ((at + 1) / _PER_OCTAVE)
        return min(self._largest, round(edge_ns))

    def metrics(self, name: str) -> dict[str, Metric]:
        """``NAME_p50_ns``, ``NAME_p99_ns`` and ``NAME_max_ns``, once anything was counted."""
        self._count()
        if self._largest is None:
            return {}
        return {
            f"{name}_p50_ns": self.percentile(0.5),
            f"{name}_p99_ns": self.percentile(0.99),
            f"{name}_max_ns": self._largest,
        }
