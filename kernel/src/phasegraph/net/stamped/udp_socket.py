"""A UDP socket that belongs to one interface: IPv4 or IPv6, its groups, and where its datagrams came in."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..batched.plain_sockets import IP_MULTICAST_ALL, membership
from ..interfaces import Interface
from ..ports import port_holders, port_unavailable

IP_PKTINFO = {"linux": 8, "win32": 19}.get(sys.platform, 26)
_IPV6_MULTICAST_ALL = 29
CONTROL_BYTES = 256
"""Room for every control message that is asked for."""
BUFFER_BYTES = 1 << 20
"""That the system is asked to keep until they are read: by default Linux keeps 256 small datagrams."""
DATAGRAM_BYTES = 2048
"""More than a datagram of one Ethernet frame has."""
Ancillary = Iterable[tuple[int, int, bytes]]
"""Control messages (level, type, value), as ``socket.recvmsg`` returns them."""
Address = tuple[str, int] | tuple[str, int, int, int]
"""Of a peer, as the system wants it: IPv6 has flow and scope."""


class Datagram(NamedTuple):
    """A datagram as it was read."""

    data: bytes
    whole: bool
    source: tuple[str, int]
    destination: str
    """Empty where the system does not say."""
    interface: int
    """Index of the interface that it came in by; 0 where unknown."""
    ancillary: Ancillary
    read_ns: int
    """Local time at which it was read."""


class UdpSocket:
    """Bound to a port on one interface, which other sockets may share; its own host receives its multicast."""

    def __init__(self, port: int, interface: Interface, *, ipv6: bool, ttl: int, dscp: int) -> None:
        """See `Network.stamped`."""
        if not (interface.address6 if ipv6 else interface.address):
            family = "a link-local IPv6" if ipv6 else "an IPv4"
            raise OSError(errno.EADDRNOTAVAIL, f"interface {interface.name} does not have {family} address")
        self.interface = interface
        self.ipv6 = ipv6
        self.notes: list[str] = []
        """Sentences about what the system refused."""
        self._groups: set[str] = set()
        self.socket = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._open(port, ttl, dscp)
        except BaseException:
            self.socket.close()
            raise

    def _open(self, port: int, ttl: int, dscp: int) -> None:
        self.socket.setblocking(False)
        with contextlib.suppress(OSError):  # Linux cuts it to net.core.rmem_max itself, other systems may refuse
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "darwin":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if sys.platform == "linux" and self.interface.name:
            # Else what is sent to this interface alone goes to whichever socket bound the port last.
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface.name.encode() + b"\0")
            except PermissionError:
                self.notes.append(f"the socket is not bound to {self.interface.name}: that needs CAP_NET_RAW here")
        (self._options6 if self.ipv6 else self._options4)(ttl)
        try:
            self.socket.setsockopt(*self._traffic_class(), dscp << 2)
        except OSError as error:
            self.notes.append(f"packets do not have DSCP {dscp}: {error.strerror}")
        if sys.platform == "win32" and dscp:
            self.notes.append(f"packets do not have DSCP {dscp}: Windows takes it from its QoS policies only")
        try:
            self.socket.bind(("::" if self.ipv6 else "", port))
        except OSError as error:
            raise port_unavailable(error, port) from error
        self.port: int = self.socket.getsockname()[1]
        if port and (others := port_holders(port)):
            who = " and ".join(others)
            self.notes.append(f"UDP port {port} is shared with {who}: unicast reaches only one of them")

    def _traffic_class(self) -> tuple[int, int]:
        if self.ipv6:
            return socket.IPPROTO_IPV6, socket.IPV6_TCLASS
        return socket.IPPROTO_IP, socket.IP_TOS

    def _options4(self, ttl: int) -> None:
        address = socket.inet_aton(self.interface.address)
        linux = sys.platform == "linux"
        via = membership("0.0.0.0", self.interface) if linux else address
        options: dict[int, int | bytes] = {
            socket.IP_MULTICAST_IF: via,
            socket.IP_MULTICAST_TTL: ttl,
            socket.IP_MULTICAST_LOOP: 1,
            IP_PKTINFO: 1,
        }
        if linux:
            options[IP_MULTICAST_ALL] = 0
        for option, value in options.items():
            self.socket.setsockopt(socket.IPPROTO_IP, option, value)

    def _options6(self, hops: int) -> None:
        options = {
            socket.IPV6_V6ONLY: 1,
            socket.IPV6_MULTICAST_IF: self.interface.index,
            socket.IPV6_MULTICAST_HOPS: hops,
            socket.IPV6_MULTICAST_LOOP: 1,
            getattr(socket, "IPV6_RECVPKTINFO", socket.IPV6_PKTINFO): 1,  # Windows: one option for both
        }
        for option, value in options.items():
            self.socket.setsockopt(socket.IPPROTO_IPV6, option, value)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # Linux 4.20
                self.socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)

    def join(self, group: str) -> None:
        """See `StampedSocket.join`."""
        if group in self._groups:
            with contextlib.suppress(OSError):  # where the interface was gone meanwhile, so is the membership
                self.leave(group)
        self._membership(group, socket.IPV6_JOIN_GROUP if self.ipv6 else socket.IP_ADD_MEMBERSHIP)
        self._groups.add(group)

    def leave(self, group: str) -> None:
        """See `StampedSocket.leave`."""
        self._groups.discard(group)
        self._membership(group, socket.IPV6_LEAVE_GROUP if self.ipv6 else socket.IP_DROP_MEMBERSHIP)

    def _membership(self, group: str, option: int) -> None:
        if self.ipv6:
            request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", self.interface.index)
            self.socket.setsockopt(socket.IPPROTO_IPV6, option, request)
        else:
            self.socket.setsockopt(socket.IPPROTO_IP, option, membership(group, self.interface))

    def address(self, destination: tuple[str, int]) -> Address:
        """A destination as the system wants it: link-local addresses of IPv6 mean those of the interface."""
        if not self.ipv6:
            return destination
        local = destination[0].lower().startswith("fe80:")
        return (*destination, 0, self.interface.index if local else 0)

    def read(self, limit: int, now_ns: Callable[[], int]) -> list[Datagram]:
        """Up to ``limit`` datagrams that have come. Never waits. Raises OSError."""
        datagrams: list[Datagram] = []
        while len(datagrams) < limit:
            try:
                data, ancillary, flags, peer = self._receive()
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionError:  # an ICMP message about something sent earlier
                continue
            datagrams.append(self.datagram(data, not flags & socket.MSG_TRUNC, peer, ancillary, now_ns()))
        return datagrams

    def _receive(self) -> tuple[bytes, Ancillary, int, Address]:
        if sys.platform == "win32":  # no recvmsg in Python's socket module, and no truncation without an error
            data, peer = self.socket.recvfrom(65536)
            return data, (), 0, peer
        return self.socket.recvmsg(DATAGRAM_BYTES, CONTROL_BYTES)

    def datagram(self, data: bytes, whole: bool, peer: Address, ancillary: Ancillary, read_ns: int) -> Datagram:
        """A datagram with the fields of its control messages."""
        destination, interface = "", 0
        for level, kind, value in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                destination, interface = _packet_info(value)
            elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
                destination, interface = str(ipaddress.IPv6Address(value[:16])), struct.unpack_from("=I", value, 16)[0]
        source = (peer[0].partition("%")[0], peer[1])
        return Datagram(data, whole, source, destination, interface, ancillary, read_ns)


def _packet_info(value: bytes) -> tuple[str, int]:
    # in_pktinfo: Windows has the two members that it has in another order.
    if len(value) == 8:
        return socket.inet_ntoa(value[:4]), struct.unpack_from("=I", value, 4)[0]
    return socket.inet_ntoa(value[8:12]), struct.unpack_from("=I", value)[0]
