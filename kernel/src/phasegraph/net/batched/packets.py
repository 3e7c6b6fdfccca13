"""Packets as arrays, which a receiver fills and a sender empties."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def ipv4_number(address: str) -> int:
    """An IPv4 address as a number in host order. Raises OSError for anything else."""
    number: int = struct.unpack("!I", socket.inet_aton(address))[0]
    return number


def ipv4_text(number: int) -> str:
    """An IPv4 address in dotted form."""
    return socket.inet_ntoa(struct.pack("!I", number))


class PacketBatch:
    """Up to ``capacity`` received datagrams. The arrays are reused: what is kept must be copied."""

    def __init__(self, capacity: int, packet_bytes: int) -> None:
        self.capacity = capacity
        self.packet_bytes = packet_bytes
        self.count = 0
        """How many rows of the arrays are filled."""
        self.data: NDArray[np.uint8] = np.zeros((capacity, packet_bytes), np.uint8)
        """The datagrams' bytes, cut at ``packet_bytes``."""
        self.length: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """Bytes of each datagram that are in ``data``; -1 where it was longer and lost its tail."""
        self.arrival_ns: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """Local time at which the system received each."""
        self.destination: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """IPv4 destination address, host order: the group, or an address of this host."""
        self.source: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """IPv4 source address, host order."""
        self.source_port: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """UDP source port."""
        self.interface: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """Index of the interface that each came in by; 0 where the system does not say."""


class SendBuffer:
    """Rows of packets with fixed destinations, made once and refilled for as long as a sender runs."""

    def __init__(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> None:
        """``destinations`` has an (address, port) per row."""
        if len(destinations) != rows:
            raise ValueError("a destination for every row")
        self.rows = rows
        self.destinations = tuple(destinations)
        self.data: NDArray[np.uint8] = np.zeros((rows, packet_bytes), np.uint8)
        self.length: NDArray[np.int64] = np.zeros(rows, np.int64)
        """Bytes to send of each row."""
        self.departure_ns: NDArray[np.int64] = np.zeros(rows, np.int64)
        """Local time at which each row leaves, where the sender schedules packets; ignored elsewhere."""
