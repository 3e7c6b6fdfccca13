"""How the machine's packets are stamped: one `Stamper` per kind of system, and the socket around it."""

from __future__ import annotations

import sys

from ..._core.localtime import LocalClock
from .plain_stamper import PlainStamper
from .stamper import Stamper
from .udp_socket import UdpSocket

__all__ = ["make_stamper"]


def make_stamper(udp: UdpSocket, local: LocalClock, *, hardware: bool) -> Stamper:
    """The best stamps that the system gives; what it refuses is added to the socket's notes."""
    if hardware and sys.platform != "linux":
        udp.notes.append("interfaces' own stamps are used on Linux only")
    try:
        if sys.platform == "linux":
            return _linux(udp, local, hardware)
        if sys.platform == "darwin":
            from .macos_stamper import MacStamper

            return MacStamper(udp, local)
        if sys.platform == "win32":
            from .windows_stamper import WindowsStamper
            from .winsock import Winsock

            return WindowsStamper(udp, Winsock(udp.socket), local)
    except OSError as error:
        udp.notes.append(f"the system does not stamp packets: {error.strerror or error}")
    return PlainStamper(udp, local)


def _linux(udp: UdpSocket, local: LocalClock, hardware: bool) -> Stamper:
    from .hardware_clock import HardwareClock
    from .linux_stamper import LinuxStamper

    clock = None
    if hardware:
        try:
            clock = HardwareClock(udp, local)
        except OSError as error:
            udp.notes.append(f"{udp.interface.name} does not stamp packets itself: {error.strerror or error}")
    try:
        return LinuxStamper(udp, local, clock)
    except OSError:
        if clock is not None:
            clock.close()
        raise
