"""Time announces and the resend request against octets written out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_airplay_timing.wire.control_packets import (
    ControlPacket,
    NtpTimeAnnounce,
    PtpTimeAnnounce,
    ResendRequest,
    decode,
    encode,
)
from phasegraph_airplay_timing.wire.malformed_packet import MalformedPacket, PacketFault

PTP = PtpTimeAnnounce(rtp=0xFFFF_FFFF, time_ns=3_000_000_007, rtp_next=77_174, clock=0xF842_8888_8F4F_0008, first=True)
NTP = NtpTimeAnnounce(rtp=1, ntp=0x2_8000_0000, rtp_next=11_026)
RESEND = ResendRequest(sequence=63_756, count=3, words=2)


@pytest.mark.parametrize(
    ("packet", "octets"),
    [
        (PTP, "90d7 0006 ffffffff 00000000b2d05e07 00012d76 f84288888f4f0008"),
        (NTP, "80d4 0007 00000001 0000000280000000 00002b12"),
        (RESEND, "80d5 0002 f90c 0003"),
    ],
)
def test_both_ways(packet: ControlPacket, octets: str) -> None:
    wire = bytes.fromhex(octets)
    assert encode(packet) == wire
    assert decode(wire) == packet
    assert decode(wire + bytes(12)) == packet  # some write a 0xD4 of 32 octets
    plain = decode(bytes([wire[0], wire[1] & 0x7F]) + wire[2:])
    assert not plain.marker
    assert encode(plain)[1] == wire[1] & 0x7F


def test_latency_and_time() -> None:
    assert PTP.latency_frames == 77_175  # across the wrap
    assert NTP.latency_frames == 11_025
    assert NTP.time_ns == 2_500_000_000


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("", PacketFault.LENGTH),
        ("80d7", PacketFault.LENGTH),
        ("80d7 0006 ffffffff 00000000b2d05e07 00012d76 f84288888f4f00", PacketFault.LENGTH),
        ("80d4 0007 00000001 0000000280000000 00002b", PacketFault.LENGTH),
        ("40d7 0006", PacketFault.VERSION),
        ("80d2 0007 00000000", PacketFault.TYPE),
    ],
)
def test_damage_is_refused_with_its_reason(octets: str, reason: PacketFault) -> None:
    with pytest.raises(MalformedPacket) as caught:
        decode(bytes.fromhex(octets))
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "packet",
    [
        PtpTimeAnnounce(rtp=2**32, time_ns=0, rtp_next=0, clock=0),
        NtpTimeAnnounce(rtp=0, ntp=2**64, rtp_next=0),
        ResendRequest(sequence=2**16, count=1),
    ],
)
def test_what_does_not_fit_is_not_sent(packet: ControlPacket) -> None:
    with pytest.raises(ValueError, match="not a control packet"):
        encode(packet)


@given(st.one_of(st.binary(max_size=40), st.binary(min_size=18, max_size=30).map(lambda b: b"\x90\xd7" + b)))
def test_any_octets_are_judged(datagram: bytes) -> None:
    try:
        packet = decode(datagram)
    except MalformedPacket:
        return
    assert decode(encode(packet)) == packet
