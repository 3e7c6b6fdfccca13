"""Windows (from build 20348): SIO_TIMESTAMPING, where the network driver has it.

Written from Microsoft's description ("Winsock timestamping") and tested against a simulated Winsock: it has not been
run there. The stamps count the performance counter, which is local time as well; those of drivers that count their
own clock instead are not credible as local time, and so not used.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Protocol

from ..._core.localtime import LocalClock, StampKind
from .stamper import Drained, PacketStamp
from .udp_socket import DATAGRAM_BYTES, Address, Ancillary, Datagram, UdpSocket

_SIO_TIMESTAMPING, _SIO_GET_TX_TIMESTAMP = 0x980000EB, 0x980000EA
_FLAG_RX, _FLAG_TX = 1, 2
_BUFFERED = 64
"""Transmit stamps that the system keeps until they are asked for."""
_SOL_SOCKET, _SO_TIMESTAMP, _SO_TIMESTAMP_ID = 0xFFFF, 0x300A, 0x300B
_MSG_TRUNC = 0x0100
_HEADER = struct.Struct("=QII")
"""WSACMSGHDR of 64-bit Windows: length with this header, level, type; what follows is padded to 8 bytes."""


class Sockets(Protocol):
    """What of Winsock is needed that Python's socket module does not have. All raise OSError."""

    ticks_per_s: int
    """Of the performance counter."""

    def ioctl(self, code: int, argument: bytes, answer_bytes: int) -> bytes:
        """WSAIoctl. Raises BlockingIOError where there is no answer yet."""

    def send(self, data: bytes, address: Address, control: bytes) -> None:
        """WSASendMsg."""

    def receive(self, data_bytes: int) -> tuple[bytes, bytes, int, Address]:
        """WSARecvMsg: data, control messages, flags, peer. Raises BlockingIOError where nothing has come."""


class WindowsStamper:
    """Stamps of the network driver; transmit stamps must be asked for."""

    stamps = StampKind.KERNEL
    poll_s = 0.002
    clock_steps = 0

    def __init__(self, udp: UdpSocket, sockets: Sockets, local: LocalClock) -> None:
        """Raises OSError where the system is older, or the driver has no stamps."""
        self._udp = udp
        self._sockets = sockets
        self._local = local
        self._number = 0
        self._awaited: deque[int] = deque(maxlen=_BUFFERED)
        sockets.ioctl(_SIO_TIMESTAMPING, struct.pack("=IHxx", _FLAG_RX | _FLAG_TX, _BUFFERED), 0)

    def send(self, data: bytes, address: Address) -> int:
        """See `Stamper.send`."""
        self._number = (self._number + 1) % (1 << 32)
        number = struct.pack("=I", self._number)
        self._sockets.send(data, address, pack_control(_SOL_SOCKET, _SO_TIMESTAMP_ID, number))
        self._awaited.append(self._number)
        return self._number

    def drain(self, limit: int) -> Drained:
        """See `Stamper.drain`."""
        departed = []
        for number in tuple(self._awaited):
            try:
                answer = self._sockets.ioctl(_SIO_GET_TX_TIMESTAMP, struct.pack("=I", number), 8)
            except BlockingIOError:
                continue
            self._awaited.remove(number)
            departed.append((number, self._stamp(answer)))
        arrived: list[tuple[Datagram, PacketStamp | None]] = []
        while len(arrived) < limit:
            try:
                data, control, flags, peer = self._sockets.receive(DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except ConnectionError:  # an ICMP message about something sent earlier
                continue
            ancillary = unpack_control(control)
            whole = not flags & _MSG_TRUNC
            datagram = self._udp.datagram(data, whole, peer, ancillary, self._local.now_ns())
            stamps = [value for level, kind, value in ancillary if (level, kind) == (_SOL_SOCKET, _SO_TIMESTAMP)]
            arrived.append((datagram, self._stamp(stamps[0]) if stamps else None))
        return departed, arrived

    def _stamp(self, value: bytes) -> PacketStamp:
        ticks = int(struct.unpack_from("=Q", value)[0])
        return PacketStamp(ticks * 1_000_000_000 // self._sockets.ticks_per_s, StampKind.KERNEL)

    def close(self) -> None:
        """See `Stamper.close`."""


def pack_control(level: int, kind: int, value: bytes) -> bytes:
    """One control message as Winsock lays it out."""
    return _HEADER.pack(_HEADER.size + len(value), level, kind) + value.ljust(-(-len(value) // 8) * 8, b"\0")


def unpack_control(control: bytes) -> Ancillary:
    """The control messages of a datagram; ends at the first that is cut off."""
    messages = []
    at = 0
    while at + _HEADER.size <= len(control):
        length, level, kind = _HEADER.unpack_from(control, at)
        if not _HEADER.size <= length <= len(control) - at:
            break
        messages.append((level, kind, control[at + _HEADER.size : at + length]))
        at += -(-length // 8) * 8
    return messages
