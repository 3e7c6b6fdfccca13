"""The timing part of RTSP bodies."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_airplay_timing.wire.malformed_packet import MalformedPacket, PacketFault
from phasegraph_airplay_timing.wire.session_plists import (
    RateAnchor,
    SessionTiming,
    SessionTimingPeer,
    read_peers,
    read_rate_anchor,
    read_setup,
    write_rate_anchor,
    write_setup,
)

PEER = SessionTimingPeer(
    addresses=("192.168.0.100", "fe80::1"),
    id="160D7072",
    clock=0xF842_8888_8F4F_0008,
    clock_ports={"8E05": 0x8028},
    device_type=2,
    port_matching_override=True,
)


def plist(value: Any) -> bytes:
    return plistlib.dumps(value, fmt=plistlib.FMT_BINARY)


def test_setup_both_ways() -> None:
    timing = SessionTiming(protocol="PTP", peer=PEER, peers=(PEER,), timing_port=0)
    body = write_setup(timing)
    raw = plistlib.loads(body)
    assert raw["timingProtocol"] == "PTP"
    assert raw["timingPeerInfo"]["ClockID"] == 0xF842_8888_8F4F_0008 - 2**64
    assert raw["timingPeerList"][0]["ClockPorts"] == {"8E05": -32728}
    assert read_setup(body) == timing


def test_what_setup_says_besides_is_passed_over() -> None:
    body = plistlib.dumps({"eventPort": 49849, "sessionUUID": "x", "timingProtocol": "NTP", "timingPort": 6002})
    assert read_setup(body) == SessionTiming(protocol="NTP", timing_port=6002)
    assert write_setup(SessionTiming(protocol="None")) == plist({"timingProtocol": "None"})


def test_peers_by_address_and_by_description() -> None:
    assert [peer.addresses for peer in read_peers(plist(["10.0.0.1", "fe80::1"]))] == [("10.0.0.1",), ("fe80::1",)]
    described = {"Addresses": ["10.0.0.1"], "ID": "uuid", "ClockID": -1, "ClockPorts": {"G": -32728}}
    (peer,) = read_peers(plist([described]))
    assert (peer.clock, peer.clock_ports) == (2**64 - 1, {"G": 0x8028})


# Cases worked out by hand: whole seconds, and the upper half of the fraction as 32.32.
@pytest.mark.parametrize(
    ("seconds", "fraction", "ns"),
    [
        (2_549_143, -(2**63), 2_549_143_500_000_000),
        (0, 0, 0),
        (1, 2**62, 1_250_000_000),
        (788_996, -1, 788_996_999_999_999),
    ],
)
def test_the_time_of_an_anchor(seconds: int, fraction: int, ns: int) -> None:
    body = plist(
        {
            "rate": 1,
            "rtpTime": 2**32 - 1,
            "networkTimeSecs": seconds,
            "networkTimeFrac": fraction,
            "networkTimeTimelineID": -5,
        }
    )
    assert read_rate_anchor(body) == RateAnchor(playing=True, rtp=2**32 - 1, time_ns=ns, clock=2**64 - 5)


@given(
    st.integers(0, 2**47 * 10**9),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
)
def test_anchors_read_back(time_ns: int, rtp: int, clock: int, playing: bool) -> None:
    anchor = RateAnchor(playing=playing, rtp=rtp, time_ns=time_ns, clock=clock)
    assert read_rate_anchor(write_rate_anchor(anchor)) == anchor


def test_a_pause_needs_no_anchor() -> None:
    assert read_rate_anchor(plist({"rate": 0})) == RateAnchor(playing=False)
    assert read_rate_anchor(write_rate_anchor(RateAnchor(playing=False))) == RateAnchor(playing=False)
    assert read_rate_anchor(plist({"rate": 0.0})) == RateAnchor(playing=False)


WHOLE = {"rate": 1, "rtpTime": 1, "networkTimeSecs": 1, "networkTimeFrac": 0, "networkTimeTimelineID": 1}


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_rate_anchor, b""),
        (read_rate_anchor, b"bplist00" + bytes(40)),
        (read_rate_anchor, plist({"rtpTime": 1})),
        (read_rate_anchor, plist({"rate": 1, "rtpTime": 1})),
        (read_rate_anchor, plist({**WHOLE, "rtpTime": 2**32})),
        (read_rate_anchor, plist({**WHOLE, "rtpTime": "1"})),
        (read_rate_anchor, plist({**WHOLE, "networkTimeSecs": 2**48})),
        (read_rate_anchor, plist({**WHOLE, "networkTimeSecs": -1})),
        (read_setup, plist([1])),
        (read_setup, plist({"timingPort": 65536})),
        (read_setup, plist({"timingPeerInfo": {"ID": "x"}})),
        (read_peers, plist([1])),
        (read_peers, bytes(65537)),
    ],
)
def test_damage_is_refused(read: Any, body: bytes) -> None:
    with pytest.raises(MalformedPacket) as caught:
        read(body)
    assert caught.value.reason is PacketFault.PLIST


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda tail: b"bplist00" + tail)))
def test_any_octets_are_judged(body: bytes) -> None:
    for read in (read_setup, read_peers, read_rate_anchor):
        try:
            read(body)
        except MalformedPacket:
            continue
