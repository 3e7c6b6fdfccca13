"""RTP headers (RFC 3550, 5.1), sans-IO."""

from __future__ import annotations

import struct

import msgspec

HEADER_BYTES = 12
_HEADER = struct.Struct("!BBHII")


class MalformedRtp(ValueError):
    """Bytes that are not an RTP packet; the message gives the reason."""


class RtpHeader(msgspec.Struct, frozen=True, gc=False):
    """The fields of a header that matter to audio, and where the payload lies."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload_start: int
    payload_stop: int


def parse_header(packet: bytes | memoryview) -> RtpHeader:
    """Read the header of a packet, with contributing sources, extension and padding. Raises MalformedRtp."""
    length = len(packet)
    if length < HEADER_BYTES:
        raise MalformedRtp("shorter than an RTP header")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(packet)
    if first >> 6 != 2:
        raise MalformedRtp(f"RTP version {first >> 6}")
    start = HEADER_BYTES + 4 * (first & 0x0F)
    if first & 0x10:
        if length < start + 4:
            raise MalformedRtp("header extension cut off")
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    stop = length
    if first & 0x20:
        padding = packet[-1]
        if padding == 0:
            raise MalformedRtp("padding of zero bytes")
        stop -= padding
    if start > stop:
        raise MalformedRtp("header longer than the packet")
    return RtpHeader(second & 0x7F, sequence, timestamp, ssrc, start, stop)


def wrapped(difference: int, bits: int) -> int:
    """A difference of counters with this number of bits, as the signed number nearest to zero."""
    half = 1 << (bits - 1)
    return ((difference + half) & ((1 << bits) - 1)) - half
