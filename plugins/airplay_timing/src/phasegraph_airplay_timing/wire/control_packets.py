"""Packets of the RTP control port for time: announces 0xD4 and 0xD7, and the resend request 0xD5.

======  ======  ============================================================  =====================================
offset  octets  0xD7, time by PTP (28 octets)                                  0xD4, time by NTP (20 octets)
======  ======  ============================================================  =====================================
0       1       0x90 in the first after a start or flush, else 0x80           the same
1       1       0xD7                                                          0xD4
2       2       6                                                             4, or 7 (though it has 20 octets)
4       4       RTP timestamp that sounds at the time below                   the same
8       8       the time: whole nanoseconds of the leader's clock             the time: 32.32, as NTP writes it
16      4       RTP timestamp of the next packet                              the same
20      8       identity of the leader's clock
======  ======  ============================================================  =====================================

The word at offset 2 is a length only by name, so it is kept and not relied upon. Types come without the marker bit
(0x80) too. Datagrams may be longer; what follows is ignored.
"""

from __future__ import annotations

import struct

import msgspec

from .fixed_point import from_ntp
from .malformed_packet import MalformedPacket, PacketFault

_NTP, _RESEND, _PTP = 0x54, 0x55, 0x57
_MARKER, _FIRST = 0x80, 0x10
_HEAD = struct.Struct(">BBH")
_NTP_BODY = struct.Struct(">IQI")
_RESEND_BODY = struct.Struct(">HH")
_PTP_BODY = struct.Struct(">IQIQ")


class _Packet(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    marker: bool = True
    """The marker bit of the type octet."""


class _TimeAnnounce(_Packet, frozen=True, kw_only=True, gc=False):
    rtp: int
    """RTP timestamp, 32 bits, of the frame that sounds at the time."""
    rtp_next: int
    """RTP timestamp, 32 bits, of the packet that is sent next."""
    first: bool = False
    """It begins a stream, or goes on after a flush."""

    @property
    def latency_frames(self) -> int:
        """How far ahead of what sounds packets are sent."""
        return (self.rtp_next - self.rtp) % 2**32


class PtpTimeAnnounce(_TimeAnnounce, frozen=True, kw_only=True, gc=False):
    """0xD7: an RTP timestamp and the leader's time."""

    time_ns: int
    clock: int
    """Identity of the leader's clock, 64 bits."""
    words: int = 6
    """Octets 2 and 3 as they came."""


class NtpTimeAnnounce(_TimeAnnounce, frozen=True, kw_only=True, gc=False):
    """0xD4: an RTP timestamp and the sender's time."""

    ntp: int
    """32.32, 64 bits, as on the wire."""
    words: int = 7
    """Octets 2 and 3 as they came."""

    @property
    def time_ns(self) -> int:
        """The time in nanoseconds."""
        return from_ntp(self.ntp)


class ResendRequest(_Packet, frozen=True, kw_only=True, gc=False):
    """0xD5: packets that did not come."""

    sequence: int
    """RTP sequence number, 16 bits, of the first."""
    count: int
    words: int = 1
    """Octets 2 and 3 as they came."""


ControlPacket = PtpTimeAnnounce | NtpTimeAnnounce | ResendRequest


def decode(datagram: bytes) -> ControlPacket:
    """The packet in a datagram. Raises MalformedPacket, and nothing else."""
    if len(datagram) < _HEAD.size:
        raise MalformedPacket(PacketFault.LENGTH, f"{len(datagram)} octets, a control packet has 8 or more")
    octet, kind, words = _HEAD.unpack_from(datagram)
    if octet & 0xC0 != 0x80:
        raise MalformedPacket(PacketFault.VERSION, f"the first octet is {octet:#04x}, RTP version 2 has 0x80")
    body = {_NTP: _NTP_BODY, _RESEND: _RESEND_BODY, _PTP: _PTP_BODY}.get(kind & ~_MARKER)
    if body is None:
        raise MalformedPacket(PacketFault.TYPE, f"type {kind:#04x} is none of 0xd4, 0xd5 and 0xd7")
    if len(datagram) < _HEAD.size + body.size:
        raise MalformedPacket(
            PacketFault.LENGTH, f"{len(datagram)} octets, type {kind:#04x} has {_HEAD.size + body.size} or more"
        )
    fields = body.unpack_from(datagram, _HEAD.size)
    marker, first = bool(kind & _MARKER), bool(octet & _FIRST)
    if body is _RESEND_BODY:
        return ResendRequest(sequence=fields[0], count=fields[1], marker=marker, words=words)
    if body is _NTP_BODY:
        rtp, ntp, rtp_next = fields
        return NtpTimeAnnounce(rtp=rtp, ntp=ntp, rtp_next=rtp_next, first=first, marker=marker, words=words)
    rtp, time_ns, rtp_next, clock = fields
    return PtpTimeAnnounce(
        rtp=rtp, time_ns=time_ns, rtp_next=rtp_next, clock=clock, first=first, marker=marker, words=words
    )


def encode(packet: ControlPacket) -> bytes:
    """The octets of a packet. Raises ValueError where a field does not fit."""
    try:
        match packet:
            case PtpTimeAnnounce():
                kind, body = _PTP, _PTP_BODY.pack(packet.rtp, packet.time_ns, packet.rtp_next, packet.clock)
            case NtpTimeAnnounce():
                kind, body = _NTP, _NTP_BODY.pack(packet.rtp, packet.ntp, packet.rtp_next)
            case ResendRequest():
                kind, body = _RESEND, _RESEND_BODY.pack(packet.sequence, packet.count)
        octet = 0x80 | (_FIRST if isinstance(packet, _TimeAnnounce) and packet.first else 0)
        return _HEAD.pack(octet, kind | (_MARKER if packet.marker else 0), packet.words) + body
    except struct.error as error:
        raise ValueError(f"not a control packet: {error}") from error
