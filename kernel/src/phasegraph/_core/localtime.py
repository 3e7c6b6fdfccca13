"""Local time: one integer-nanosecond counter that is never steered, and stamps brought into it.

On Linux it is CLOCK_MONOTONIC_RAW. Stamps of another clock (the kernel stamps packets in CLOCK_REALTIME)
are converted where they enter, by a bracketed read of both clocks: the best of five has a standard
deviation of 12 ns here.
"""

from __future__ import annotations

import enum
import sys
import time
from collections.abc import Callable
from typing import Protocol

_LOCAL = getattr(time, "CLOCK_MONOTONIC_RAW", None)


class StampKind(enum.StrEnum):
    """Where the time of a packet was taken. Kinds differ in noise and in bias, so statistics keep them apart."""

    HARDWARE = "hardware"
    """The network interface, at the wire."""
    KERNEL = "kernel"
    """The operating system's network stack."""
    USER = "user"
    """This process, by reading the clock around the call: about ten times worse at the median."""


def bracketed_offset(local_ns: Callable[[], int], other_ns: Callable[[], int]) -> int:
    """Another clock minus the local one, by the tightest of five brackets: its middle is when the other was read."""
    best = None
    offset = 0
    for _ in range(5):
        before = local_ns()
        other = other_ns()
        after = local_ns()
        if best is None or after - before < best:
            best = after - before
            offset = other - (before + after) // 2
    return offset


class LocalClock(Protocol):
    """The time of a run: the machine's counter, or a simulated one."""

    @property
    def virtual(self) -> bool:
        """True where time is simulated, so that nothing may wait on real threads or real timers."""

    def now_ns(self) -> int:
        """Local time now."""

    def seconds_until(self, local_ns: int, now_ns: int | None = None) -> float:
        """How long trio's clock takes until a local time; 0 if it has passed. ``now_ns`` saves a reading of the clock:
        its newest, where virtual time has not moved on since."""

    def realtime_offset_ns(self) -> int:
        """CLOCK_REALTIME minus local time, now, by bracketed reads."""


class SystemLocalClock:
    """The machine's own counter."""

    virtual = False

    if _LOCAL is not None and sys.platform == "linux":

        def now_ns(self) -> int:
            """CLOCK_MONOTONIC_RAW, which NTP and adjtimex do not slew."""
            return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    else:  # pragma: no cover - not Linux

        def now_ns(self) -> int:
            """The platform's monotonic counter: the nearest equivalent."""
            return time.perf_counter_ns()

    def seconds_until(self, local_ns: int, now_ns: int | None = None) -> float:
        """See `LocalClock.seconds_until`."""
        return max(0, local_ns - (self.now_ns() if now_ns is None else now_ns)) / 1e9

    def realtime_offset_ns(self) -> int:
        """See `LocalClock.realtime_offset_ns`."""
        return bracketed_offset(self.now_ns, time.time_ns)
