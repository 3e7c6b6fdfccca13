"""Stamps by reading the clock around the call: what works everywhere."""

from __future__ import annotations

import math

from ..._core.localtime import LocalClock, StampKind
from .stamper import Drained, PacketStamp
from .udp_socket import Address, UdpSocket


class PlainStamper:
    """No stamps of the system: arrival is when it was read, and departure when it was sent."""

    stamps = StampKind.USER
    poll_s = math.inf
    clock_steps = 0

    def __init__(self, udp: UdpSocket, local: LocalClock) -> None:
        self._udp = udp
        self._local = local

    def send(self, data: bytes, address: Address) -> None:
        """See `Stamper.send`."""
        self._udp.socket.sendto(data, address)

    def drain(self, limit: int) -> Drained:
        """See `Stamper.drain`."""
        arrived = self._udp.read(limit, self._local.now_ns)
        return (), [(datagram, PacketStamp(datagram.read_ns, StampKind.USER)) for datagram in arrived]

    def close(self) -> None:
        """See `Stamper.close`."""
