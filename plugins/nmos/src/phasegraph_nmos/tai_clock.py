"""TAI, as this computer knows it, and its relation to local time."""

from __future__ import annotations

import time

from phasegraph import NS_PER_S, SystemLocalClock

from .model.resource_identity import TAI_MINUS_UTC_NS


class TaiClock:
    """The time of versions and activations: CLOCK_REALTIME and the offset of TAI.

    The offset is the system's, where a time daemon has set it, else that of today.
    """

    def __init__(self) -> None:
        self._local = SystemLocalClock()
        offset_ns = 0
        if hasattr(time, "CLOCK_TAI"):
            offset_ns = time.clock_gettime_ns(time.CLOCK_TAI) - time.time_ns()
        seconds = (offset_ns + NS_PER_S // 2) // NS_PER_S
        self._offset_ns = seconds * NS_PER_S if seconds > 0 else TAI_MINUS_UTC_NS

    def now_ns(self) -> int:
        """TAI."""
        return time.time_ns() + self._offset_ns

    def local_ns_at(self, tai_ns: int) -> int:
        """The local time of a TAI time."""
        return self._local.now_ns() + tai_ns - self.now_ns()
