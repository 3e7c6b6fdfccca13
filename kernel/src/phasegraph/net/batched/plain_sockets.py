"""Receivers and senders with one system call a packet: for systems without recvmmsg, and the base of those with."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Sequence

from ..._core.localtime import LocalClock
from ..interfaces import Interface
from .packets import PacketBatch, SendBuffer, ipv4_number

SOCKET_BUFFER_BYTES = 4 << 20
"""Asked of the system, which may give less: 64 streams of 8 channels for 50 ms."""
PACKET_COST_BYTES = 2304
"""What a full packet takes of it on Linux: more than its own bytes."""

IP_MULTICAST_ALL = 49
IP_PKTINFO = 8
_IP_ADD_SOURCE_MEMBERSHIP = getattr(socket, "IP_ADD_SOURCE_MEMBERSHIP", 39)
_IP_DROP_SOURCE_MEMBERSHIP = getattr(socket, "IP_DROP_SOURCE_MEMBERSHIP", 40)


class PlainReceiver:
    """A bound UDP socket, read one datagram at a time; arrival is when it was read."""

    def __init__(self, local: LocalClock, port: int, address: str, batch: int, packet_bytes: int) -> None:
        self._local = local
        self._batch = PacketBatch(batch, packet_bytes)
        self._to = ipv4_number(address) if address else 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        if sys.platform == "linux":
            # A socket hears the groups that it joined, not those of every other socket on the port.
            self.socket.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
            self.socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self.socket.bind((address, port))
        self.socket.setblocking(False)

    @property
    def room(self) -> int:
        """See `Receiver.room`."""
        return max(1, self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // PACKET_COST_BYTES)

    def join(self, group: str, interface: Interface, source: str | None = None) -> None:
        """See `Receiver.join`."""
        self._membership(True, group, interface, source)

    def leave(self, group: str, interface: Interface, source: str | None = None) -> None:
        """See `Receiver.leave`."""
        self._membership(False, group, interface, source)

    def _membership(self, add: bool, group: str, interface: Interface, source: str | None) -> None:
        if source is not None:
            request = socket.inet_aton(group) + socket.inet_aton(interface.address) + socket.inet_aton(source)
            option = _IP_ADD_SOURCE_MEMBERSHIP if add else _IP_DROP_SOURCE_MEMBERSHIP
        else:
            request = membership(group, interface)
            option = socket.IP_ADD_MEMBERSHIP if add else socket.IP_DROP_MEMBERSHIP
        self._set_membership(option, request)

    def _set_membership(self, option: int, request: bytes) -> None:
        self.socket.setsockopt(socket.IPPROTO_IP, option, request)

    def receive(self) -> PacketBatch:
        """See `Receiver.receive`."""
        batch = self._batch
        count = 0
        while count < batch.capacity:
            try:
                data, ancillary, flags, peer = self.socket.recvmsg(batch.packet_bytes, 64)
            except (BlockingIOError, InterruptedError):
                break
            batch.data[count, : len(data)] = memoryview(data)
            batch.length[count] = -1 if flags & socket.MSG_TRUNC else len(data)
            batch.arrival_ns[count] = self._local.now_ns()
            batch.source[count] = ipv4_number(peer[0])
            batch.source_port[count] = peer[1]
            batch.destination[count] = self._to
            batch.interface[count] = 0
            for level, kind, value in ancillary:
                if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                    index, _, destination = struct.unpack_from("=I4s4s", value)
                    batch.interface[count] = index
                    batch.destination[count] = struct.unpack("!I", destination)[0]
            count += 1
        batch.count = count
        return batch

    def dropped(self) -> int:
        """Unknown without the system's help."""
        return 0

    def close(self) -> None:
        """See `Receiver.close`."""
        self.socket.close()


def membership(group: str, interface: Interface) -> bytes:
    """The ``ip_mreqn`` of a group: by interface index where there is one, since addresses can be shared."""
    return socket.inet_aton(group) + socket.inet_aton(interface.address) + struct.pack("=i", interface.index)


class PlainSender:
    """A UDP socket that sends one row at a time."""

    def __init__(self, interface: Interface, ttl: int, dscp: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface.address))
        with contextlib.suppress(OSError):  # some containers forbid marking
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        self.socket.bind((interface.address, 0))
        self.socket.setblocking(False)
        self.refusal_errno = 0
        """See `Sender.refusal_errno`."""

    def buffer(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> SendBuffer:
        """See `Sender.buffer`."""
        return SendBuffer(rows, packet_bytes, destinations)

    def send(self, buffer: SendBuffer, first: int, count: int) -> Sequence[int]:
        """See `Sender.send`."""
        refused = []
        for row in range(first, first + count):
            try:
                self.socket.sendto(buffer.data[row, : buffer.length[row]].tobytes(), buffer.destinations[row])
            except OSError as error:
                self.refusal_errno = error.errno or 0
                refused.append(row)
        return refused

    def schedule(self, *, by_ring: bool = False) -> str:
        """See `Sender.schedule`."""
        return "only Linux holds packets until their time"

    @property
    def room(self) -> int:
        """See `Sender.room`."""
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // PACKET_COST_BYTES

    def close(self) -> None:
        """See `Sender.close`."""
        self.socket.close()
