"""What sender and receiver of a stream must agree on."""

from __future__ import annotations

import ipaddress
from typing import Literal, get_args

import msgspec

from phasegraph import NS_PER_S, Encoding, StreamFormat, duration_of, frames_in

WireEncoding = Literal["L16", "L24", "AM824"]
"""The encodings that RTP carries here, as options and rtpmap name them (RFC 3551, RFC 3190, ST 2110-31)."""
ENCODINGS: tuple[str, ...] = get_args(WireEncoding)
DEFAULT_PORT = 5004
DEFAULT_PAYLOAD_TYPE = 98
DEFAULT_PACKET_TIME_NS = 1_000_000
MAX_PAYLOAD_BYTES = 1440
"""AES67-2018, 6.3: RTP payload that fits an Ethernet frame with room for header extensions."""
RTP_HEADER_BYTES = 12
_THIRD_NS = (333_000, 333_333)
"""How a third of a millisecond is written: the one nominal packet time that is no whole number of nanoseconds."""
_TWO_DECIMALS_NS = 10_000
"""Precision of a packet time with two decimals, as some devices write it."""
_NOMINAL_FRAMES = (6, 12, 16, 48, 192)
"""Frames of AES67's packet times at 48 kHz (AES67-2018, 7.2)."""


class StreamParameters(msgspec.Struct, frozen=True, kw_only=True):
    """One RTP stream, as a session description or a graph gives it."""

    address: str
    """IPv4 group or unicast address that the packets go to."""
    port: int = DEFAULT_PORT
    encoding: Encoding = Encoding.L24
    rate: int = 48_000
    channels: int = 2
    frames_per_packet: int | None = None
    """None where the description does not give it: it is taken from the first packet."""
    payload_type: int | None = DEFAULT_PAYLOAD_TYPE
    """None for a receiver that accepts the payload type of the first packet."""
    mediaclk_offset: int | None = 0
    """RTP timestamp of media time zero (RFC 7273, 5.2); None where timestamps have no known relation to a clock."""
    ts_refclk: str = ""
    """Reference clock, in the words of RFC 7273, 4.8; empty where the description has none."""
    source: str | None = None
    """The only source address to receive from (RFC 4570), if one is named."""
    excluded: tuple[str, ...] = ()
    """Source addresses that are ignored (RFC 4570)."""
    ttl: int | None = None

    @property
    def multicast(self) -> bool:
        """Whether the packets go to a group."""
        return ipaddress.IPv4Address(self.address).is_multicast

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame on the wire."""
        return self.channels * self.encoding.sample_bytes

    @property
    def format(self) -> StreamFormat:
        """The stream's format in the graph."""
        return StreamFormat(self.rate, self.channels, self.encoding)

    def __str__(self) -> str:
        size = f", {self.frames_per_packet} frames a packet" if self.frames_per_packet else ""
        return f"{self.format}{size}, {self.address}:{self.port}"


def frames_per_packet(packet_time_ns: int, rate: int) -> int:
    """Frames in a packet, from a packet time that may be rounded or cut off: 0.12 ms are 6 frames at 48 kHz.

    Where the nominal packet time is one of 48 kHz (1 ms, 333 us, 125 us, ...) and the rate is 44.1 kHz or a multiple of
    it, the count is that of 48 kHz (AES67-2018, 7.2.1).
    """
    if packet_time_ns * rate % NS_PER_S == 0:
        return max(1, packet_time_ns * rate // NS_PER_S)
    family = rate * 160 // 147 if rate % 44_100 == 0 else rate
    if rate % 44_100 == 0 and (packet_time_ns in _THIRD_NS or packet_time_ns * family % NS_PER_S == 0):
        return max(1, frames_in(packet_time_ns, family))
    if packet_time_ns % _TWO_DECIMALS_NS == 0 and family % 48_000 == 0:
        for frames in _NOMINAL_FRAMES:
            count = frames * family // 48_000
            if abs(duration_of(count, rate) - packet_time_ns) < _TWO_DECIMALS_NS:
                return count
    return max(1, frames_in(packet_time_ns, rate))
