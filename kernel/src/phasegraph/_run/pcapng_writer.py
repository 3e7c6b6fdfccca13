"""Composes capture files: pcapng (IETF draft-ietf-opsawg-pcapng) with stamps in ns, and IP and UDP headers. No I/O.

A run sees datagrams, and no headers of the network: those are composed of what is known. TTL, DSCP and identification
are 0, and there is no UDP checksum.
"""

from __future__ import annotations

import ipaddress
import struct

import numpy as np
from numpy.typing import NDArray

_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_OPT_END, _OPT_COMMENT, _IF_NAME, _IF_TSRESOL = 0, 1, 2, 9
_RAW_IP = 101
"""LINKTYPE_RAW: packets begin with their IP header."""
IPV4_HEADERS = 28
"""Bytes of an IPv4 and a UDP header."""
_UDP = 17


def section(interface: str, comment: str) -> bytes:
    """What a file begins with: a section of this program, and one interface."""
    head = struct.pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1) + _options((_OPT_COMMENT, comment.encode()))
    names = _options((_IF_NAME, interface.encode()), (_IF_TSRESOL, b"\x09"))
    return _block(_SECTION, head) + _block(_INTERFACE, struct.pack("<HHI", _RAW_IP, 0, 0) + names)


def packet(stamp_ns: int, headed: bytes, comment: str = "", original: int | None = None) -> bytes:
    """A packet with its headers, and a comment on it; ``original`` is its length where it was cut."""
    options = _options((_OPT_COMMENT, comment.encode())) if comment else b""
    high, low = stamp_ns >> 32 & 0xFFFF_FFFF, stamp_ns & 0xFFFF_FFFF
    fixed = struct.pack("<IIIII", 0, high, low, len(headed), len(headed) if original is None else original)
    return _block(_PACKET, fixed + _padded(headed) + options)


def headed_datagram(data: bytes, source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """A datagram with its IP and UDP headers. Raises ValueError for what is no address."""
    sender, receiver = ipaddress.ip_address(source[0]), ipaddress.ip_address(destination[0])
    udp = struct.pack("!HHHH", source[1], destination[1], 8 + len(data), 0)
    if sender.version == 6 or receiver.version == 6:
        addresses = (ipaddress.IPv6Address(int(one) if one.version == 6 else 0).packed for one in (sender, receiver))
        return struct.pack("!IHBB", 6 << 28, len(udp) + len(data), _UDP, 0) + b"".join(addresses) + udp + data
    words = struct.unpack("!10H", _ipv4_header(len(data), sender.packed, receiver.packed, 0))
    return _ipv4_header(len(data), sender.packed, receiver.packed, _checksum(sum(words))) + udp + data


def _ipv4_header(length: int, sender: bytes, receiver: bytes, checksum: int) -> bytes:
    total = IPV4_HEADERS + length
    return struct.pack("!BBHHHBBH", 0x45, 0, total & 0xFFFF, 0, 0, 0, _UDP, checksum) + sender + receiver


def _checksum(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Datagrams:
    """Rows of IPv4 datagrams."""

    def __init__(
        self,
        data: NDArray[np.uint8],
        length: NDArray[np.int64],
        stamp_ns: NDArray[np.int64],
        source: NDArray[np.int64],
        source_port: NDArray[np.int64],
        destination: NDArray[np.int64],
        destination_port: NDArray[np.int64],
    ) -> None:
        """``data`` has a row a datagram, which may be cut; ``length`` is what each had; addresses are numbers."""
        self.data = data
        self.length = length
        self.stamp_ns = stamp_ns
        self.source = source
        self.source_port = source_port
        self.destination = destination
        self.destination_port = destination_port

    def __len__(self) -> int:
        return len(self.length)


def packets(rows: Datagrams) -> bytes:
    """The blocks of many datagrams, in the order of the rows."""
    captured = np.minimum(rows.length, rows.data.shape[1])
    sizes = 32 + -(-(IPV4_HEADERS + captured) // 4) * 4
    ends = np.cumsum(sizes)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for length in np.unique(captured):
        which = np.flatnonzero(captured == length)
        blocks = _equal_blocks(rows, which, int(length))
        out[(ends - sizes)[which][:, None] + np.arange(blocks.shape[1])] = blocks
    return out.tobytes()


def _equal_blocks(rows: Datagrams, which: NDArray[np.int64], captured: int) -> NDArray[np.uint8]:
    # Enhanced packet blocks of one size, a row a block.
    size = 32 + -(-(IPV4_HEADERS + captured) // 4) * 4
    blocks = np.zeros((len(which), size), np.uint8)
    stamp, length = rows.stamp_ns[which], rows.length[which]
    fixed: tuple[int | NDArray[np.int64], ...] = (
        _PACKET,
        size,
        0,
        stamp >> 32,
        stamp & 0xFFFF_FFFF,
        IPV4_HEADERS + captured,
        IPV4_HEADERS + length,
    )
    for number, word in enumerate(fixed):
        blocks[:, 4 * number : 4 * number + 4] = _octets(word, "<u4", len(which))
    blocks[:, -4:] = _octets(size, "<u4", len(which))
    source, destination = rows.source[which], rows.destination[which]
    total = IPV4_HEADERS + length
    halves = (source >> 16) + (source & 0xFFFF) + (destination >> 16) + (destination & 0xFFFF)
    checksum = 0x4500 + total + _UDP + halves
    for _ in range(2):
        checksum = (checksum & 0xFFFF) + (checksum >> 16)
    ip: tuple[tuple[int | NDArray[np.int64], int], ...] = (
        (0x4500, 2),
        (total, 2),
        (0, 4),
        (_UDP, 2),
        (~checksum & 0xFFFF, 2),
        (source, 4),
        (destination, 4),
    )
    udp: tuple[tuple[int | NDArray[np.int64], int], ...] = (
        (rows.source_port[which], 2),
        (rows.destination_port[which], 2),
        (8 + length, 2),
        (0, 2),
    )
    at = 28
    for value, octets in (*ip, *udp):
        blocks[:, at : at + octets] = _octets(value, f">u{octets}", len(which))
        at += octets
    blocks[:, at : at + captured] = rows.data[which, :captured]
    return blocks


def _octets(value: int | NDArray[np.int64], form: str, count: int) -> NDArray[np.uint8]:
    whole: NDArray[np.uint8] = np.broadcast_to(np.asarray(value).astype(form), count).copy().view(np.uint8)
    return whole.reshape(count, -1)


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _options(*options: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<HH", code, len(value[:65_000])) + _padded(value[:65_000]) for code, value in options)
    return body + struct.pack("<HH", _OPT_END, 0)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
