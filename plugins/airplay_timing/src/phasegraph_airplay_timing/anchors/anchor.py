"""An anchor: which frame sounds at which time of which clock."""

from __future__ import annotations

import msgspec

from phasegraph import NS_PER_S
from phasegraph.ieee1588 import format_clock_identity, parse_clock_identity

from ..wire.control_packets import NtpTimeAnnounce, PtpTimeAnnounce
from ..wire.session_plists import RateAnchor

_WRAP = 1 << 32
PTP_ANNOUNCE_LATENCY = 11_035
"""Frames that AirPlay 2 receivers add to the latency of every 0xD7: a quarter of a second."""
NTP_ANNOUNCE_LATENCY = 11_025
"""Frames that AirPlay 1 receivers add to the latency of a 0xD4 whose length field is `NTP_ANNOUNCE_ADDS`."""
NTP_ANNOUNCE_ADDS = 7
SENDER_LATENCY = 77_175
"""Frames between the frame that sounds and the one that is sent, as AirPlay 2 senders have it."""


class Anchor(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A frame, and when it sounds. Frames after it follow at the stream's rate, if it plays."""

    rtp: int
    """RTP timestamp, 32 bits."""
    reference_ns: int
    """When it sounds, by the clock."""
    clock: str
    """Identity of the clock, as `ClockEstimate.grandmaster` has it."""
    playing: bool = True

    @classmethod
    def from_rate_anchor(cls, message: RateAnchor) -> Anchor | None:
        """Of a SETRATEANCHORTIME; None for a pause that names no frame."""
        if message.rtp is None:
            return None
        clock = format_clock_identity(message.clock)
        return cls(rtp=message.rtp, reference_ns=message.time_ns, clock=clock, playing=message.playing)

    @classmethod
    def from_time_announce(cls, packet: PtpTimeAnnounce | NtpTimeAnnounce, clock: str = "") -> Anchor:
        """The anchor of a packet 0xD7 or 0xD4. A 0xD4 does not name its clock, so ``clock`` does.

        The packet names the frame that leaves the sender's latency at its time. Receivers add a fixed latency, so an
        earlier frame sounds then. A SETRATEANCHORTIME has no such addition.
        """
        if isinstance(packet, PtpTimeAnnounce):
            clock, latency = format_clock_identity(packet.clock), PTP_ANNOUNCE_LATENCY
        else:
            latency = NTP_ANNOUNCE_LATENCY if packet.words == NTP_ANNOUNCE_ADDS else 0
        return cls(rtp=(packet.rtp - latency) % _WRAP, reference_ns=packet.time_ns, clock=clock)

    def to_time_announce(self, latency: int = SENDER_LATENCY) -> PtpTimeAnnounce:
        """The packet 0xD7 of which `from_time_announce` makes this anchor.

        ``latency`` is the number of frames between the one that sounds and the one that is sent.
        """
        rtp = (self.rtp + PTP_ANNOUNCE_LATENCY) % _WRAP
        rtp_next = (rtp + latency) % _WRAP
        clock = parse_clock_identity(self.clock)
        return PtpTimeAnnounce(rtp=rtp, time_ns=self.reference_ns, rtp_next=rtp_next, clock=clock)

    def rtp_at(self, reference_ns: int, rate: int) -> int:
        """RTP timestamp, 32 bits, of the frame that sounds at a time; ``rate`` is in frames per second."""
        return (self.rtp + (reference_ns - self.reference_ns) * rate // NS_PER_S) % _WRAP

    def time_of(self, rtp: int, rate: int, near_ns: int) -> int:
        """When a frame sounds, by the clock: of the times that 32 bits allow, the nearest to ``near_ns``."""
        near = self.rtp_at(near_ns, rate)
        ahead = (rtp - near + _WRAP // 2) % _WRAP - _WRAP // 2
        frames = (near_ns - self.reference_ns) * rate // NS_PER_S + ahead
        return self.reference_ns + -(-frames * NS_PER_S // rate)
