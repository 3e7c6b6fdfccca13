"""One direction of a path: its newest packets, how often they come, and how much they scatter."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .offset_estimate import LONGEST_NS, NS_PER_S, OffsetEstimate, PathObservation
from .order_statistics import EARLIEST, MIDDLE, PACKETS, OrderStatistics
from .statistic_weighting import Scatter

Vector = NDArray[np.float64]

EARLY_SIGMAS = 8.0
BROKEN_PACKETS = 4
"""Absurd packets in a row that mean another path, or a step."""
BROKEN_BLOCKS = 8
"""Blocks in a row, all too late, that mean the same, or else a very long queue."""


class PathDirection:
    """A window of packets, as seconds since an epoch and nanoseconds less a base."""

    def __init__(self) -> None:
        self.spacing_s = 0.0
        self.scatter: Scatter | None = None
        self.spread_ns = 0.0
        """How far the middle lies above the earliest."""
        self._times: deque[float] = deque(maxlen=PACKETS)
        self._values: deque[float] = deque(maxlen=PACKETS)
        self._fresh = 0
        self._newest_ns: int | None = None
        self._absurd = self._late = 0

    def record_spacing(self, local_ns: int) -> None:
        """Note when a packet came; a gap as long as the window empties it."""
        if self._newest_ns is not None:
            apart = min(max((local_ns - self._newest_ns) / NS_PER_S, 1e-6), 60.0)
            if apart > PACKETS * self.spacing_s:
                self._times.clear()
                self._values.clear()
            self.spacing_s += (0.05 if self.spacing_s else 1.0) * (apart - self.spacing_s)
        self._newest_ns = local_ns

    def prefill(
        self, times: Vector, values: Vector, slope: float, scatter: Scatter, statistics: OrderStatistics
    ) -> None:
        """Begin with packets that came before."""
        self.scatter = scatter
        for end in range(PACKETS, len(times) + 1, statistics.hop):
            window = slice(end - PACKETS, end)
            scatter.add_block(*statistics.compute(values[window], times[window], slope), slope)
        self._times.extend(times[-PACKETS:])
        self._values.extend(values[-PACKETS:])

    def absurd(self, miss_ns: float, fix: OffsetEstimate, local_ns: int) -> bool:
        """Whether a packet this far from the earliest that is expected is earlier than noise and doubt allow, or
        later than any queue."""
        if 0 <= miss_ns < LONGEST_NS or self.scatter is None:
            self._absurd = 0
            return False
        least_ns = -EARLY_SIGMAS * math.sqrt(self.scatter.variance[EARLIEST] + fix.variance_at(local_ns))
        absurd = not least_ns <= miss_ns < LONGEST_NS
        self._absurd = self._absurd + 1 if absurd else 0
        return absurd

    def add_packet(self, time_s: float, value_ns: float) -> None:
        """Take a packet in."""
        self._times.append(time_s)
        self._values.append(value_ns)
        self._fresh += 1

    def next_block(self, statistics: OrderStatistics, slope: float) -> tuple[Vector, Vector] | None:
        """The order statistics, if it is time for them, and the time that each is of."""
        if self._fresh < statistics.hop or len(self._times) < PACKETS:
            return None
        self._fresh = 0
        found = statistics.compute(np.array(self._values), np.array(self._times), slope)
        self.spread_ns = float(found[0][MIDDLE] - found[0][EARLIEST])
        return found

    def count_late_block(self, distance: float, miss_ns: float) -> bool:
        """Whether a block, by the earliest of its packets, is beyond the gate."""
        beyond = distance > 9.0
        self._late = self._late + 1 if beyond and miss_ns > 0 else 0
        return beyond

    @property
    def broken(self) -> bool:
        """Whether this is no longer the path, or the reference, that it was."""
        return self._absurd >= BROKEN_PACKETS or self._late >= BROKEN_BLOCKS

    @property
    def time_s(self) -> float:
        """When the newest packet of the window came."""
        return max(self._times)


def columns(packets: Sequence[PathObservation], epoch_ns: int, base_ns: int) -> tuple[Vector, Vector]:
    """Packets of one direction as times in s and values in ns, of which offsets are less ``base_ns``."""
    times = np.array([(each.local_ns - epoch_ns) / NS_PER_S for each in packets])
    return times, np.array([float(each.value_ns - each.direction.sign * base_ns) for each in packets])
