"""The clock of a network interface (PHC) and switching its stamps on, on Linux.

Written from the kernel's headers (linux/ethtool.h, net_tstamp.h, ptp_clock.h) and tested against a simulated driver:
it has not been run on an interface that has such a clock.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
import time
from collections.abc import Callable

from ..._core.localtime import LocalClock, bracketed_offset
from .foreign_clock import ForeignClock
from .udp_socket import UdpSocket

_SIOCETHTOOL, _SIOCSHWTSTAMP, _SIOCGHWTSTAMP = 0x8946, 0x89B0, 0x89B1
_ETHTOOL_GET_TS_INFO = 0x41
_TS_INFO = struct.Struct("=IIiI12xI12x")
"""ethtool_ts_info: command, socket flags, index of the clock or -1, and bits for transmit types and receive filters."""
_CONFIG = struct.Struct("=iii")
"""hwtstamp_config: flags, transmit type, receive filter."""
_TX_ON = 1
_FILTERS = (1, 6, 12)
"""What may be stamped on arrival, best first: everything, PTP over UDP, PTP over anything."""

Ioctl = Callable[[int, bytes], object]
"""Of the socket: (request, ifreq)."""


class HardwareClock(ForeignClock):
    """An interface whose stamps are switched on, and the way from its clock to local time."""

    def __init__(
        self, udp: UdpSocket, local: LocalClock, *, ioctl: Ioctl | None = None, device: str = "/dev/ptp{}"
    ) -> None:
        """Raises OSError that says what is missing: a clock, a privilege, or access to the clock's device."""
        index = _switch_on(ioctl or _ioctl(udp), udp.interface.name)
        path = device.format(index)
        try:
            self._device = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise OSError(error.errno, f"its clock {path} cannot be read: {error.strerror}") from error
        clock = dynamic_clock(self._device)
        try:
            super().__init__(local, lambda: bracketed_offset(local.now_ns, lambda: time.clock_gettime_ns(clock)))
        except OSError as error:
            self.close()
            raise OSError(error.errno, f"its clock {path} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Close the device; the interface continues to stamp for its other users."""
        os.close(self._device)


def dynamic_clock(descriptor: int) -> int:
    """The clock id of an open clock device, for clock_gettime (FD_TO_CLOCKID in the kernel's testptp.c)."""
    return (~descriptor << 3) | 3


def _ioctl(udp: UdpSocket) -> Ioctl:
    assert sys.platform == "linux"
    import fcntl

    return lambda request, argument: fcntl.ioctl(udp.socket.fileno(), request, argument)


def _switch_on(ioctl: Ioctl, name: str) -> int:
    # Has packets in both directions stamped; returns the index of the interface's clock.
    def call(request: int, content: bytes) -> bytes:
        buffer = ctypes.create_string_buffer(content, len(content))
        ioctl(request, struct.pack("16sP16x", name.encode(), ctypes.addressof(buffer)))
        return buffer.raw

    try:
        _, _, clock, transmit, receive = _TS_INFO.unpack(
            call(_SIOCETHTOOL, _TS_INFO.pack(_ETHTOOL_GET_TS_INFO, 0, 0, 0, 0))
        )
    except OSError as error:
        raise OSError(error.errno, "its driver does not say what it can") from error
    wanted = [one for one in _FILTERS if receive & 1 << one]
    if clock < 0 or not transmit & 1 << _TX_ON or not wanted:
        raise OSError(errno.EOPNOTSUPP, "it has no clock")
    try:
        _, sends, filter = _CONFIG.unpack(call(_SIOCGHWTSTAMP, _CONFIG.pack(0, 0, 0)))
    except OSError:  # not every driver has it
        sends, filter = 0, 0
    if sends != _TX_ON or filter not in _FILTERS:  # otherwise another program, such as ptp4l, has done it: leave it
        try:
            call(_SIOCSHWTSTAMP, _CONFIG.pack(0, _TX_ON, wanted[0]))
        except PermissionError as error:
            raise OSError(error.errno, "to switch its stamps on needs CAP_NET_ADMIN") from error
    return int(clock)
