"""Linux: SO_TIMESTAMPING, whose transmit stamps come back through the socket's error queue.

See Documentation/networking/timestamping.rst of the kernel. An error queue that is not empty keeps the socket
readable: it is emptied first, and wholly, whenever the socket is read.
"""

from __future__ import annotations

import math
import socket
import struct
from typing import NamedTuple

from ..._core.localtime import LocalClock, StampKind
from .foreign_clock import ForeignClock
from .hardware_clock import HardwareClock
from .stamper import Drained, PacketStamp
from .udp_socket import CONTROL_BYTES, Address, Ancillary, UdpSocket

_SO_TIMESTAMPING = 37
_TX_HARDWARE, _TX_SOFTWARE, _RX_HARDWARE, _RX_SOFTWARE = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_SOFTWARE, _RAW_HARDWARE, _OPT_ID, _OPT_CMSG, _OPT_TSONLY = 1 << 4, 1 << 6, 1 << 7, 1 << 10, 1 << 11
_STAMPS = struct.Struct("@6l")
"""scm_timestamping: the software stamp, one that is no longer used, and the interface's, each (s, ns)."""
_ERROR = struct.Struct("=IBBBBII")
"""sock_extended_err: errno, origin, type, code, padding, info (which stamp), data (number of the packet)."""
_ERROR_LEVELS = ((socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25))
"""IP_RECVERR and IPV6_RECVERR."""
_ORIGIN_TIMESTAMPING = 4
_NUMBERS = 1 << 32


class _Raw(NamedTuple):
    # Stamps as they come: of CLOCK_REALTIME and of the interface's clock; 0 where there is none.
    software: int
    hardware: int


class LinuxStamper:
    """Kernel stamps, or with a `HardwareClock` the interface's own."""

    poll_s = math.inf

    def __init__(self, udp: UdpSocket, local: LocalClock, hardware: HardwareClock | None = None) -> None:
        """Raises OSError where the system does not have SO_TIMESTAMPING."""
        self.stamps = StampKind.HARDWARE if hardware else StampKind.KERNEL
        self._udp = udp
        self._local = local
        self._hardware = hardware
        self._realtime = ForeignClock(local, local.realtime_offset_ns)
        self._flags = _RX_SOFTWARE | _SOFTWARE | _OPT_ID | _OPT_CMSG | _OPT_TSONLY
        if hardware:
            self._flags |= _RX_HARDWARE | _RAW_HARDWARE
        # Asked for packet by packet: what needs no stamp leaves none in the error queue.
        request = struct.pack("=I", _TX_HARDWARE if hardware else _TX_SOFTWARE)
        self._request = [(socket.SOL_SOCKET, _SO_TIMESTAMPING, request)]
        self._sent = 0
        self._first = 0
        """Which of the packets that were sent has the system's number 0."""
        self._set(self._flags)

    def _set(self, flags: int) -> None:
        self._udp.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, flags)

    def send(self, data: bytes, address: Address) -> int:
        """See `Stamper.send`."""
        try:
            self._udp.socket.sendmsg([data], self._request, 0, address)
        except OSError:
            # Whether the system counted it depends on how far it came. Setting the option again restarts the numbers.
            self._set(self._flags & ~_OPT_ID)
            self._set(self._flags)
            self._first = self._sent
            raise
        self._sent += 1
        return self._sent - 1

    def _which(self, number: int) -> int:
        # The system's numbers are modulo 2**32.
        return self._sent - (self._sent - self._first - number) % _NUMBERS

    def drain(self, limit: int) -> Drained:
        """See `Stamper.drain`."""
        departed = self._drain_errors()
        arrived = [(datagram, _raw(datagram.ancillary)) for datagram in self._udp.read(limit, self._local.now_ns)]
        # One measurement for all, after the last was read: a step between a stamp and its reading shows in it.
        raw = [raw for _, raw in (*departed, *arrived)]
        hardware = _measured(self._hardware) if any(one.hardware for one in raw) else None
        realtime = _measured(self._realtime) if any(one.software for one in raw) else None

        def local(raw: _Raw) -> PacketStamp | None:
            if raw.hardware and hardware is not None:
                return PacketStamp(hardware.local_ns(raw.hardware), StampKind.HARDWARE)
            if raw.software and realtime is not None:
                return PacketStamp(realtime.local_ns(raw.software), StampKind.KERNEL)
            return None

        return (
            [(number, local(raw)) for number, raw in departed],
            [(datagram, local(raw)) for datagram, raw in arrived],
        )

    def _drain_errors(self) -> list[tuple[int, _Raw]]:
        departed: list[tuple[int, _Raw]] = []
        while True:
            try:
                _, ancillary, _, _ = self._udp.socket.recvmsg(0, CONTROL_BYTES, socket.MSG_ERRQUEUE)
            except (BlockingIOError, InterruptedError):
                return departed
            number = _number(ancillary)
            if number is not None:
                departed.append((self._which(number), _raw(ancillary)))

    @property
    def clock_steps(self) -> int:
        """See `StampCounts.clock_steps`."""
        return self._realtime.steps + (self._hardware.steps if self._hardware else 0)

    def close(self) -> None:
        """See `Stamper.close`."""
        if self._hardware:
            self._hardware.close()


def _measured(clock: ForeignClock | None) -> ForeignClock | None:
    # None where stamps cannot be brought into local time.
    return clock if clock is not None and clock.offset_ns() is not None else None


def _number(ancillary: Ancillary) -> int | None:
    # Which packet a message of the error queue stamps; None where it is about something else.
    for level, kind, value in ancillary:
        if (level, kind) in _ERROR_LEVELS and len(value) >= _ERROR.size:
            _, origin, _, _, _, _, number = _ERROR.unpack_from(value)
            if origin == _ORIGIN_TIMESTAMPING:
                return int(number)
    return None


def _raw(ancillary: Ancillary) -> _Raw:
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING and len(value) >= _STAMPS.size:
            s, ns, _, _, hardware_s, hardware_ns = _STAMPS.unpack_from(value)
            return _Raw(s * 1_000_000_000 + ns, hardware_s * 1_000_000_000 + hardware_ns)
    return _Raw(0, 0)
