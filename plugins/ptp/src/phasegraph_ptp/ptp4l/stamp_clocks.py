"""The clock that ptp4l stamps with, seen from local time: CLOCK_REALTIME, or that of a network interface."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from phasegraph import LocalClock, NodeError

from .ingress_times import ClockComparison

_SYSFS = Path("/sys/class/net")
_TRIES = 5


class StampClock(Protocol):
    """A clock that can be compared with local time."""

    name: str
    utc: bool
    """Whether it counts UTC where the grandmaster counts TAI."""

    def compare(self) -> ClockComparison:
        """By bracketed reads, now."""

    def close(self) -> None:
        """Let go of it."""


class RealtimeStampClock:
    """CLOCK_REALTIME: what software stamps are taken with."""

    name = "CLOCK_REALTIME"
    utc = True

    def __init__(self, local: LocalClock) -> None:
        self._local = local

    def compare(self) -> ClockComparison:
        """See `StampClock.compare`."""
        offset = self._local.realtime_offset_ns()
        return ClockComparison(self._local.now_ns(), offset)

    def close(self) -> None:
        """Nothing to let go of."""


class HardwareStampClock:
    """The clock of a network interface, by its device: /dev/ptp0 and the like. Only read, never set."""

    utc = False

    def __init__(self, device: Path, local: LocalClock) -> None:
        """Raises NodeError where the device cannot be opened, or is no clock."""
        self.name = str(device)
        self._local = local
        try:
            self._file = os.open(device, os.O_RDONLY)
        except OSError as error:
            raise NodeError(
                f"cannot read the clock {device}: {error.strerror}",
                'let this user read it: a udev rule, such as SUBSYSTEM=="ptp", GROUP="audio", MODE="0640"',
                option="device",
            ) from error
        self._clock = ~self._file << 3 | 3  # FD_TO_CLOCKID: a dynamic clock is named by its open file
        try:
            time.clock_gettime_ns(self._clock)
        except OSError as error:
            self.close()
            raise NodeError(f"{device} is no clock", "name the /dev/ptpN of the interface", option="device") from error

    def compare(self) -> ClockComparison:
        """See `StampClock.compare`: the tightest of five brackets."""
        now = self._local.now_ns
        tries = [(now(), time.clock_gettime_ns(self._clock), now()) for _ in range(_TRIES)]
        before, shown, after = min(tries, key=lambda read: read[2] - read[0])
        middle = (before + after) // 2
        return ClockComparison(middle, shown - middle)

    def close(self) -> None:
        """Close the device."""
        os.close(self._file)


def device_of(interface: str) -> Path | None:
    """The clock device of a network interface; None where it has none, or several."""
    with suppress(OSError):
        found = sorted((_SYSFS / interface / "device" / "ptp").iterdir())
        if len(found) == 1:
            return Path("/dev") / found[0].name
    return None
