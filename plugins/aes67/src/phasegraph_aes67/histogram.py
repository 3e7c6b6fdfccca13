"""Percentiles of durations from a fixed number of logarithmic bins; no samples are kept.

One thread adds (the data plane), any thread reads. What was added is an immutable sum and a buffer that only fills up:
the writer replaces both at once when the buffer is full. A `Distribution` is what was in both at a moment; the thread
that reads its figures first counts what was in the buffer, so that one that is never read costs nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasegraph import Metric

_PER_OCTAVE = 16
_LEAST_NS = 1_000.0
_BINS = 26 * _PER_OCTAVE
"""From 1 us to 67 s, each bin 4.4 % wide; the same below zero."""
_GATHER = 4096
"""Values that are counted together: much cheaper than each as it comes."""
_NO_VALUES: NDArray[np.int64] = np.empty(0, np.int64)


class _Counts(NamedTuple):
    """Durations that are counted."""

    by_edge_ns: Mapping[int, int]
    """Of the bins that are not empty, in order: by upper edge in nanoseconds."""
    largest_ns: int | None

    def plus(self, values_ns: NDArray[np.int64]) -> _Counts:
        """The same with more values."""
        if not len(values_ns):
            return self
        ordered = np.sort(values_ns)
        least_ns, largest_ns = int(ordered[0]), int(ordered[-1])
        first, last = (min(bisect_left(_EDGES_NS, each), 2 * _BINS - 1) for each in (least_ns, largest_ns))
        sums = [*ordered.searchsorted(_UPPER_EDGES_NS[first:last], side="right").tolist(), len(ordered)]
        counts, counted = dict(self.by_edge_ns), 0
        for edge_ns, total in zip(_EDGES_NS[first : last + 1], sums, strict=True):
            if total > counted:
                counts[edge_ns] = counts.get(edge_ns, 0) + total - counted
                counted = total
        if len(counts) > len(self.by_edge_ns):
            counts = dict(sorted(counts.items()))
        return _Counts(counts, largest_ns if self.largest_ns is None else max(self.largest_ns, largest_ns))


class Distribution:
    """Durations by bin, and the largest of them; what is read of it never changes."""

    def __init__(self, counted: _Counts, waiting_ns: NDArray[np.int64]) -> None:
        self._state = counted, waiting_ns
        """Any thread that reads replaces it, by the same with nothing waiting."""

    def _count(self) -> _Counts:
        counted, waiting_ns = self._state
        if len(waiting_ns):
            counted = counted.plus(waiting_ns)
            self._state = counted, _NO_VALUES
        return counted

    @property
    def counts(self) -> Mapping[int, int]:
        """Of the bins that are not empty, in order: by upper edge in nanoseconds."""
        return self._count().by_edge_ns

    @property
    def largest_ns(self) -> int | None:
        """The largest duration; None where there is none."""
        return self._count().largest_ns

    @cached_property
    def _sums(self) -> list[int]:
        # Of the counts up to each.
        return list(accumulate(self.counts.values()))

    @cached_property
    def _edges_ns(self) -> list[int]:
        return list(self.counts)

    @property
    def count(self) -> int:
        """Durations that it has."""
        return self._sums[-1] if self._sums else 0

    def percentile(self, fraction: float) -> int:
        """The value that a fraction of the durations does not exceed: a bin's upper edge, at most the maximum."""
        return self._percentile(self._sums, fraction)

    def percentile_since(self, before: Distribution, fraction: float) -> int:
        """The same of the durations that were added after ``before``, at most the maximum of all."""
        known = before.counts
        new = [count - known[edge] if edge in known else count for edge, count in self.counts.items()]
        return self._percentile(list(accumulate(new)), fraction)

    def _percentile(self, sums: list[int], fraction: float) -> int:
        if self.largest_ns is None or not sums[-1]:
            return 0
        return min(self.largest_ns, self._edges_ns[bisect_left(sums, fraction * sums[-1])])

    def as_text(self) -> str:
        """``UPPER_EDGE_NS:COUNT`` of each bin that is not empty, in order: ``1189207:52 1243336:8``."""
        # From JSON, without its marks: msgspec writes numbers ten times as fast as Python does.
        return msgspec.json.encode(self.counts).translate(_COMMA_TO_SPACE, b'{}"').decode()

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
_COMMA_TO_SPACE = bytes.maketrans(b",", b" ")
_NOTHING = _Counts({}, None)
EMPTY = Distribution(_NOTHING, _NO_VALUES)


class _Buffer:
    """Values that are not counted yet. The thread that adds writes them, then how many there are."""

    __slots__ = ("count", "values_ns")

    def __init__(self) -> None:
        self.values_ns: NDArray[np.int64] = np.empty(_GATHER, np.int64)
        self.count = 0


class _State(NamedTuple):
    """What was added: the values that are counted, and those that are not yet."""

    counted: _Counts
    buffer: _Buffer

    def total(self) -> _Counts:
        """All of it."""
        return self.counted.plus(self.buffer.values_ns[: self.buffer.count])


class Histogram:
    """Counts durations, negative ones too; those within one microsecond of zero share a bin on each side."""

    def __init__(self) -> None:
        self._state = _State(_NOTHING, _Buffer())
        """Written by the thread that adds. A buffer is filled, never cleared."""

    def add(self, values_ns: NDArray[np.int64]) -> None:
        """Count values in nanoseconds."""
        buffer = self._state.buffer
        start = buffer.count
        stop = start + len(values_ns)
        if stop > _GATHER:
            self._state = _State(self._state.total().plus(values_ns), _Buffer())
            return
        buffer.values_ns[start:stop] = values_ns
        buffer.count = stop

    def add_one(self, value_ns: int) -> None:
        """Count one value in nanoseconds."""
        buffer = self._state.buffer
        if buffer.count == _GATHER:
            buffer = _Buffer()
            self._state = _State(self._state.total(), buffer)
        buffer.values_ns[buffer.count] = value_ns
        buffer.count += 1

    def distribution(self) -> Distribution:
        """What was added until now. For any thread."""
        counted, buffer = self._state
        return Distribution(counted, buffer.values_ns[: buffer.count])
