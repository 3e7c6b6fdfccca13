"""AirPlay 1 timing: requests and replies of 32 octets over UDP, with times as NTP writes them.

The receiver of the audio asks, its sender answers. Of the times only differences mean anything: senders count from
their own start, some with the NTP epoch added and some without.

======  ======  ============================================================================
offset  octets  field (big-endian)
======  ======  ============================================================================
0       1       0x80: RTP version 2
1       1       type 0x52 (request) or 0x53 (reply), with or without the marker bit 0x80
2       2       7, the length as RTCP counts it; some senders count packets here
4       4       zero
8       8       origin: in a reply, the request's transmit time
16      8       receive: when the request arrived
24      8       transmit: when this packet left
======  ======  ============================================================================
"""

from __future__ import annotations

import struct

import msgspec

from .fixed_point import to_ntp
from .malformed_packet import MalformedPacket, PacketFault

LENGTH = 32
"""Octets of a packet. Longer datagrams are read too; what follows is ignored."""
REQUEST = 0x52
"""Type of a request, without the marker bit."""
REPLY = 0x53
"""Type of a reply, without the marker bit."""

_MARKER = 0x80
_RTP_VERSION_2 = 0x80
_LAYOUT = struct.Struct(">BBH4xQQQ")


class Timing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A timing request or reply. Times are 32.32 fixed point, 64 bits, as on the wire."""

    reply: bool
    origin: int = 0
    receive: int = 0
    transmit: int
    marker: bool = True
    """The marker bit of the type octet: set by every device that was captured, but not required."""
    count: int = 7
    """Octets 2 and 3 as they came, 16 bits. Not to be relied upon."""


def request(transmit_ns: int) -> Timing:
    """A request that leaves at a local time."""
    return Timing(reply=False, transmit=to_ntp(transmit_ns))


def reply_to(asked: Timing, receive_ns: int, transmit_ns: int) -> Timing:
    """The reply to a request that arrived, and is answered, at these local times.

    Its first octets are those of every captured reply, whatever the request had: receivers compare them.
    """
    return Timing(
        reply=True,
        origin=asked.transmit,
        receive=to_ntp(receive_ns),
        transmit=to_ntp(transmit_ns),
    )


def decode(datagram: bytes) -> Timing:
    """The packet in a datagram. Raises MalformedPacket, and nothing else."""
    if len(datagram) < LENGTH:
        raise MalformedPacket(PacketFault.LENGTH, f"{len(datagram)} octets, a timing packet has {LENGTH}")
    first, second, count, origin, receive, transmit = _LAYOUT.unpack_from(datagram)
    if first & 0xC0 != _RTP_VERSION_2:
        raise MalformedPacket(PacketFault.VERSION, f"the first octet is {first:#04x}, RTP version 2 has 0x80")
    kind = second & ~_MARKER
    if kind not in (REQUEST, REPLY):
        raise MalformedPacket(PacketFault.TYPE, f"type {kind:#04x} is neither a request (0x52) nor a reply (0x53)")
    return Timing(
        reply=kind == REPLY,
        origin=origin,
        receive=receive,
        transmit=transmit,
        marker=bool(second & _MARKER),
        count=count,
    )


def encode(packet: Timing) -> bytes:
    """The 32 octets of a packet. Raises ValueError where a field does not fit."""
    kind = (REPLY if packet.reply else REQUEST) | (_MARKER if packet.marker else 0)
    try:
        return _LAYOUT.pack(_RTP_VERSION_2, kind, packet.count, packet.origin, packet.receive, packet.transmit)
    except struct.error as error:
        raise ValueError(f"not a timing packet: {error}") from error
