"""The compact timing packet: one message of 24 octets over one UDP port.

No capture of an Apple device has it and no other implementation than jburnhams/airplay2-rs (0.1.0), whose octets
these are; it is here so that such peers can be talked to. It has no version, domain, correction or checksum, and
its 15.26 us steps are coarse: IEEE 1588 messages are better wherever the peer has them.

======  ======  ==========================================================
offset  octets  field (big-endian)
======  ======  ==========================================================
0       1       message type in the lower four bits, numbered as in PTP
1       1       zero
2       2       sequence
4       4       zero
8       6       time: the lower 48 bits of a 48.16 number of seconds
14      8       clock identity
22      2       zero; may be missing
======  ======  ==========================================================
"""

from __future__ import annotations

import enum
import struct

import msgspec

from .fixed_point import COMPACT_BITS, expand_48_16, from_48_16, to_48_16
from .malformed_packet import MalformedPacket, PacketFault

LENGTH = 24
"""Octets of a packet as it is sent."""
SHORT_LENGTH = 22
"""Octets of a packet without the padding at its end."""

_LAYOUT = struct.Struct(">BxH4xHIQ2x")
_SHORT_LAYOUT = struct.Struct(">BxH4xHIQ")


class CompactType(enum.IntEnum):
    """Types of a compact packet; the numbers are those of PTP's messageType."""

    SYNC = 0x0
    """The leader's time at sending. One step: no Follow_Up needs to come."""
    DELAY_REQ = 0x1
    """The follower's time at sending."""
    FOLLOW_UP = 0x8
    DELAY_RESP = 0x9
    """The leader's time when the Delay_Req of the same sequence arrived."""
    ANNOUNCE = 0xB
    SIGNALING = 0xC


class CompactPacket(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One compact packet."""

    type: CompactType
    sequence: int
    """16 bits, wraps."""
    time: int
    """The lower 48 bits of the 48.16 time, kept as they are on the wire: 32 bits of seconds, 16 of fraction."""
    clock: int
    """Identity of the sender's clock, 64 bits."""

    @property
    def time_ns(self) -> int:
        """The time in nanoseconds, cut off, with its seconds modulo 2**32."""
        return from_48_16(self.time)

    def time_near(self, near_ns: int) -> int:
        """The time in nanoseconds with its wrap undone: of all that it can be, the nearest to ``near_ns``."""
        return expand_48_16(self.time, near_ns)


def wire_time(time_ns: int) -> int:
    """The 48 bits that a packet carries for a time: 15.26 us steps, cut off, seconds modulo 2**32.

    Raises ValueError for a negative time.
    """
    return to_48_16(time_ns) % (1 << COMPACT_BITS)


def decode(datagram: bytes) -> CompactPacket:
    """The packet in a datagram of 22 or 24 octets.

    Nothing in the packet says what it is, so other lengths are refused rather than guessed at; the octets that
    should be zero are ignored. Raises MalformedPacket, and nothing else.
    """
    if len(datagram) not in (SHORT_LENGTH, LENGTH):
        raise MalformedPacket(PacketFault.LENGTH, f"{len(datagram)} octets, a compact packet has 22 or 24")
    kind, sequence, high, low, clock = _SHORT_LAYOUT.unpack_from(datagram)
    try:
        type = CompactType(kind & 0xF)
    except ValueError:
        raise MalformedPacket(PacketFault.TYPE, f"no compact message has type {kind & 0xF:#x}") from None
    return CompactPacket(type=type, sequence=sequence, time=high << 32 | low, clock=clock)


def encode(packet: CompactPacket) -> bytes:
    """The 24 octets of a packet. Raises ValueError where a field does not fit."""
    try:
        return _LAYOUT.pack(packet.type, packet.sequence, packet.time >> 32, packet.time & 0xFFFF_FFFF, packet.clock)
    except struct.error as error:
        raise ValueError(f"not a compact packet: {error}") from error
