"""Simulated local time: a machine's counter under trio's MockClock, and a time of day that can be stepped."""

from __future__ import annotations

import math

import numpy as np
import trio
from numpy.typing import NDArray

from .._core.localtime import LocalClock
from .oscillator import Oscillator

LOCAL_EPOCH_NS = 1_000_000_000_000
"""Simulated local time at true time 0: a machine that has been up for 17 minutes."""
REALTIME_EPOCH_NS = 1_790_000_000_000_000_000
"""Simulated time of day at true time 0 (September 2026): large, as real epochs are."""
_MEASURED_FOR_NS = 1_000_000_000


def true_now_ns() -> int:
    """True time: the time of trio's clock, which is virtual under a MockClock; 0 before trio runs."""
    return round(_true_now_s() * 1e9)


def _true_now_s() -> float:
    try:
        return trio.current_time()
    except RuntimeError:
        return 0.0


class SimLocalClock:
    """One simulated machine's local clock. True time is trio's; this counter runs at its oscillator's pace."""

    virtual = True

    def __init__(
        self,
        ppm: float = 0.0,
        *,
        oscillator: Oscillator | None = None,
        epoch_ns: int = LOCAL_EPOCH_NS,
        realtime_ns: int = REALTIME_EPOCH_NS,
    ) -> None:
        """``ppm`` is short for ``oscillator=Oscillator(ppm=ppm)``.

        ``epoch_ns`` is local time and ``realtime_ns`` time of day at true time 0.
        """
        self.oscillator = oscillator or Oscillator(ppm=ppm)
        self._epoch = epoch_ns
        self._realtime = realtime_ns
        self._newest = (0.0, 0, self.at(0))  # trio's time, true time, local time
        self._measured = (
            -_MEASURED_FOR_NS,
            1.0,
        )  # true time, and the rate then

    def now_ns(self) -> int:
        """Local time now."""
        now_s = _true_now_s()
        if now_s != self._newest[0]:
            true_ns = round(now_s * 1e9)
            self._newest = (now_s, true_ns, self.at(true_ns))
        return self._newest[2]

    def seconds_until(self, local_ns: int, now_ns: int | None = None) -> float:
        """See `LocalClock.seconds_until`."""
        rest = local_ns - (self.now_ns() if now_ns is None else now_ns)
        if rest <= 0:
            return 0.0
        now_s, true_ns, _ = self._newest
        if not 0 <= true_ns - self._measured[0] < _MEASURED_FOR_NS:
            self._measured = (true_ns, 1.0 + self.rate_ppb(true_ns) * 1e-9)
        return (true_ns + math.ceil(rest / self._measured[1])) / 1e9 - now_s

    def realtime_offset_ns(self) -> int:
        """Time of day minus local time, now, without error: time of day is true time and its steps."""
        now = true_now_ns()
        return self._realtime + now - self.at(now)

    def step_realtime(self, by_ns: int) -> None:
        """Step the time of day, as a user or an NTP client does."""
        self._realtime += by_ns

    def at(self, true_ns: int) -> int:
        """Local time at a true time, which no node of the simulated machine can know."""
        return self._epoch + self.oscillator.elapsed(true_ns)

    def at_array(self, true_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """`at` for an array of true times."""
        return self._epoch + self.oscillator.elapsed_array(true_ns)

    def true_at(self, local_ns: int) -> int:
        """True time at a local time, accurate to 1 ns."""
        return self.oscillator.true_after(local_ns - self._epoch)

    def rate_ppb(self, true_ns: int) -> float:
        """Rate of local time minus that of true time, at a true time."""
        return self.oscillator.rate_ppb(true_ns)


class TrueTime:
    """True time for a simulated device, on a simulated or a real local clock.

    On a real clock, whose truth is unknown, local time counts as true time.
    """

    def __init__(self, local: LocalClock) -> None:
        self._local = local
        self._sim = local if isinstance(local, SimLocalClock) else None

    def now_ns(self) -> int:
        """True time now."""
        return true_now_ns() if self._sim is not None else self._local.now_ns()

    def of_local(self, local_ns: int) -> int:
        """True time at a local time."""
        return local_ns if self._sim is None else self._sim.true_at(local_ns)

    def to_local(self, true_ns: int) -> int:
        """Local time at a true time."""
        return true_ns if self._sim is None else self._sim.at(true_ns)

    def local_rate_ppb(self, true_ns: int) -> float:
        """Rate of local time minus that of true time."""
        return 0.0 if self._sim is None else self._sim.rate_ppb(true_ns)
