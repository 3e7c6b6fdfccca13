"""What time it truly was: CLOCK_REALTIME, which every host of `netns` shares, at any local time of a run."""

from __future__ import annotations

import time
from bisect import bisect

_ATTEMPTS = 9


class Truth:
    """Pairs of readings of the local clock (CLOCK_MONOTONIC_RAW) and CLOCK_REALTIME, and what lies between them."""

    def __init__(self) -> None:
        self._local: list[int] = []
        self._real: list[int] = []
        self.sample()

    def sample(self) -> None:
        """Read both clocks: the reading of CLOCK_REALTIME that took least, between two of the local clock."""
        readings = []
        for _ in range(_ATTEMPTS):
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            real = time.clock_gettime_ns(time.CLOCK_REALTIME)
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            readings.append((after - before, (before + after) // 2, real))
        _, local, real = min(readings)
        self._local.append(local)
        self._real.append(real)

    def at(self, local_ns: int) -> int:
        """CLOCK_REALTIME at a local time between the first sample and the last."""
        if not self._local[0] <= local_ns <= self._local[-1]:
            raise ValueError("this local time was not watched")
        after = min(bisect(self._local, local_ns), len(self._local) - 1)
        local, later = self._local[after - 1 : after + 1]
        real, real_later = self._real[after - 1 : after + 1]
        # From the nearer pair on, in integers: an epoch does not fit into a float.
        return real + (local_ns - local) * (real_later - real) // (later - local)
