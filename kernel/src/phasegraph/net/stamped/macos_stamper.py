"""macOS: the system stamps arrivals, on the local clock; departures it does not stamp.

Written from the system's headers (sys/socket.h, mach/mach_time.h) and tested with made-up control messages: it has
not been run there.
"""

from __future__ import annotations

import ctypes
import socket
import struct

from ..._core.localtime import LocalClock, StampKind
from .plain_stamper import PlainStamper
from .stamper import Drained, PacketStamp
from .udp_socket import Datagram, UdpSocket

_SO_TIMESTAMP_MONOTONIC = 0x0800
_SCM_TIMESTAMP_MONOTONIC = 4


class MacStamper(PlainStamper):
    """SO_TIMESTAMP_MONOTONIC: ticks of mach_absolute_time, which Python's performance counter reads as well."""

    stamps = StampKind.KERNEL

    def __init__(self, udp: UdpSocket, local: LocalClock, *, tick: tuple[int, int] | None = None) -> None:
        """``tick`` is a tick's length in nanoseconds, as a fraction. Raises OSError."""
        super().__init__(udp, local)
        self._tick = tick or _timebase()
        udp.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMP_MONOTONIC, 1)

    def drain(self, limit: int) -> Drained:
        """See `Stamper.drain`."""
        return (), [(datagram, self.stamp(datagram)) for datagram in self._udp.read(limit, self._local.now_ns)]

    def stamp(self, datagram: Datagram) -> PacketStamp | None:
        """The stamp among a datagram's control messages."""
        for level, kind, value in datagram.ancillary:
            if (level, kind, len(value)) == (socket.SOL_SOCKET, _SCM_TIMESTAMP_MONOTONIC, 8):
                numerator, denominator = self._tick
                return PacketStamp(struct.unpack("=Q", value)[0] * numerator // denominator, StampKind.KERNEL)
        return None


def _timebase() -> tuple[int, int]:  # pragma: no cover - not Linux
    answer = (ctypes.c_uint32 * 2)()
    ctypes.CDLL(None).mach_timebase_info(answer)
    return answer[0], answer[1]
