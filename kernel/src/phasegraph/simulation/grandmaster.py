"""The true time of the grandmaster that all clocks follow."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .local_clock import REALTIME_EPOCH_NS
from .scenario_options import GrandmasterOptions


class Grandmaster:
    """True time since an epoch, with the steps at which other grandmasters take over."""

    def __init__(self, options: GrandmasterOptions) -> None:
        changes = sorted(options.changes, key=lambda change: change.at)
        self._changes = [change.at for change in changes]
        self._offsets = [REALTIME_EPOCH_NS]
        for change in changes:
            self._offsets.append(self._offsets[-1] + change.step)
        self._silences = [(change.at, change.at + change.silence) for change in changes]
        self._silences += [(silence.at, silence.at + silence.lasts) for silence in options.silences]

    def at(self, true_ns: int) -> int:
        """See `TimeBase.at`."""
        return true_ns + self._offsets[bisect.bisect_right(self._changes, true_ns)]

    def true_at(self, reference_ns: int) -> int:
        """The true time at which a reference time is shown: the last, where a step back shows it twice."""
        for number in range(len(self._changes), 0, -1):
            true_ns = reference_ns - self._offsets[number]
            if true_ns >= self._changes[number - 1]:
                return true_ns
        return reference_ns - self._offsets[0]

    def rate_ppb(self, true_ns: int) -> float:
        """See `TimeBase.rate_ppb`."""
        return 0.0

    def rates_ppb(self, true_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `TimeBase.rates_ppb`."""
        return np.zeros(len(true_ns))

    def silent(self, true_ns: int) -> bool:
        """See `TimeBase.silent`."""
        return any(begin <= true_ns < end for begin, end in self._silences)

    def identity(self, true_ns: int) -> str:
        """See `TimeBase.identity`: an EUI-64 as IEEE 1588 writes it."""
        return f"02-00-00-FF-FE-00-00-{bisect.bisect_right(self._changes, true_ns) % 256:02X}"

    def pieces(self, begin_ns: int, end_ns: int) -> Iterator[tuple[int, int, int]]:
        """A stretch of true time in pieces of one grandmaster: begin, end, and its time minus true time."""
        number = bisect.bisect_right(self._changes, begin_ns)
        while begin_ns < end_ns:
            until = min([*self._changes[number : number + 1], end_ns])
            yield begin_ns, until, self._offsets[number]
            begin_ns, number = until, number + 1
