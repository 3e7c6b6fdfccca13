"""The machine's own network: batched system calls on Linux, plain sockets elsewhere."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from .._core.localtime import LocalClock
from .batched.plain_sockets import PlainReceiver, PlainSender
from .batched.sockets import Receiver, Sender
from .interfaces import Interface, find_interface, obstacles
from .ports import port_holders, port_unavailable
from .stamped.stamped_socket import StampedSocket
from .stamped.udp_socket import UdpSocket

KNOWN_NS = 20_000_000
"""How long an interface that was found is not looked up again: a change of a graph may start many streams on one."""


class SystemNetwork:
    """Real sockets."""

    def __init__(self, local: LocalClock, *, batched: bool = sys.platform == "linux") -> None:
        """``batched`` False uses one system call a packet, as systems without recvmmsg must."""
        self._local = local
        self._batched = batched
        self._found: dict[tuple[str, bool], tuple[int, Interface]] = {}
        """Interfaces, and when they were found. Any thread: entries are replaced as a whole."""

    def interface(self, name_or_address: str, *, ipv6: bool = False) -> Interface:
        """See `Network.interface`."""
        key, now_ns = (name_or_address, ipv6), self._local.now_ns()
        found_ns, interface = self._found.get(key, (now_ns - KNOWN_NS, None))
        if interface is None or now_ns - found_ns >= KNOWN_NS:
            interface = find_interface(name_or_address, ipv6=ipv6)
            self._found[key] = now_ns, interface
        return interface

    def obstacles(self, interface: Interface) -> Sequence[str]:
        """See `Network.obstacles`."""
        return obstacles(interface)

    def receiver(self, port: int, *, address: str = "", batch: int = 2048, packet_bytes: int = 1500) -> Receiver:
        """See `Network.receiver`. Two sockets of one unicast address: only one receives, so the second is refused."""
        if address and (holders := port_holders(port, address)):
            raise port_unavailable(OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)), port, holders)
        if self._batched:
            from .batched.linux_sockets import LinuxReceiver

            return LinuxReceiver(self._local, port, address, batch, packet_bytes)
        return PlainReceiver(self._local, port, address, batch, packet_bytes)

    def sender(self, interface: Interface, *, ttl: int, dscp: int) -> Sender:
        """See `Network.sender`."""
        if self._batched:
            from .batched.linux_sockets import LinuxSender

            return LinuxSender(self._local, interface, ttl, dscp)
        return PlainSender(interface, ttl, dscp)

    def stamped(
        self,
        port: int,
        interface: Interface,
        *,
        ipv6: bool = False,
        ttl: int = 1,
        dscp: int = 0,
        hardware: bool = False,
    ) -> StampedSocket:
        """See `Network.stamped`."""
        from .stamped.make_stamper import make_stamper
        from .stamped.system_stamped_socket import SystemStampedSocket

        udp = UdpSocket(port, interface, ipv6=ipv6, ttl=ttl, dscp=dscp)
        return SystemStampedSocket(udp, self._local, make_stamper(udp, self._local, hardware=hardware))
