"""A session without I/O: bodies and packets as they come, and when its frames sound."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import ClockEstimate, ClockState
from phasegraph_airplay_timing.anchors import Anchor
from phasegraph_airplay_timing.sessions.airplay_session import ANNOUNCED_NS, AirplaySession
from phasegraph_airplay_timing.sessions.session_messages import (
    AnchorRequest,
    FlushRequest,
    FrameRequest,
    PacketRequest,
    PeersRequest,
    RateAnchorRequest,
    SetupRequest,
    decode_request,
)
from phasegraph_airplay_timing.wire import control_packets, session_plists
from phasegraph_airplay_timing.wire.control_packets import NtpTimeAnnounce, PtpTimeAnnounce, ResendRequest
from phasegraph_airplay_timing.wire.session_plists import RateAnchor, SessionTiming, SessionTimingPeer

S = 10**9
CLOCK = 0x50BC_96E6_9986_0008
LEADER = "50-BC-96-E6-99-86-00-08"
PHONE = SessionTimingPeer(addresses=("fe80::1%en0", "192.168.1.20"), id="phone", clock=CLOCK)


def estimate(now_ns: int, leader: str = LEADER, offset_ns: int = 70 * S) -> ClockEstimate:
    return ClockEstimate(
        local_ns=now_ns,
        reference_ns=now_ns + offset_ns,
        bound_ns=80_000.0,
        state=ClockState.LOCKED,
        grandmaster=leader,
    )


def setup(**fields: object) -> SetupRequest:
    timing = SessionTiming(**({"protocol": "PTP", "peer": PHONE} | fields))
    return SetupRequest(id=1, body=session_plists.write_setup(timing))


def started() -> AirplaySession:
    session = AirplaySession(0x0200_0000_0000_0001, ["192.168.1.5"])
    assert session.fulfil(setup(), 0).ok
    session.update(estimate(1 * S), 1 * S)
    return session


def plays(rtp: int, time_ns: int, *, playing: bool = True) -> RateAnchorRequest:
    anchor = RateAnchor(playing=playing, rtp=rtp, time_ns=time_ns, clock=CLOCK)
    return RateAnchorRequest(id=2, body=session_plists.write_rate_anchor(anchor))


def sounds(session: AirplaySession, rtp: int, now_ns: int = 2 * S) -> int | None:
    answer = session.fulfil(FrameRequest(id=3, rtp=rtp), now_ns)
    assert answer.playing is (answer.monotonic_ns is not None)
    return answer.monotonic_ns


def test_a_setup_names_the_peers_and_gets_a_reply() -> None:
    session = AirplaySession(0x0200_0000_0000_0001, ["192.168.1.5"])
    other = SessionTimingPeer(addresses=("::ffff:192.168.1.30",), id="homepod")
    answer = session.fulfil(setup(peers=(other,)), 0)
    assert session.peers == ("192.168.1.20", "192.168.1.30", "fe80::1")
    assert answer.body is not None
    reply = session_plists.read_setup(answer.body)
    assert reply.peer is not None
    assert (reply.timing_port, reply.peer.addresses, reply.peer.clock) == (0, ("192.168.1.5",), 0x0200_0000_0000_0001)
    addresses = session_plists.plistlib.dumps(["192.168.1.40"], fmt=session_plists.plistlib.FMT_BINARY)
    assert session.fulfil(PeersRequest(id=2, body=addresses), 0).ok
    assert session.peers == ("192.168.1.40",)


def test_a_buffered_stream_plays_pauses_and_goes_on() -> None:
    session = started()
    assert sounds(session, 0) is None
    assert session.fulfil(plays(2**32 - 44_100, 75 * S), S).ok
    assert sounds(session, 2**32 - 44_100) == 5 * S
    assert sounds(session, 0) == 6 * S
    assert session.fulfil(FrameRequest(id=3, rtp=0), 2 * S).bound_ns == 80_000
    assert session.fulfil(plays(0, 0, playing=False), 2 * S).ok
    assert sounds(session, 0) is None
    session.fulfil(plays(0, 80 * S), 3 * S)
    assert sounds(session, 44_100) == 11 * S
    session.fulfil(FlushRequest(id=4), 3 * S)
    assert sounds(session, 0) is None


def test_a_real_time_stream_plays_by_its_announces_until_they_stop() -> None:
    session = started()
    packet = control_packets.encode(PtpTimeAnnounce(rtp=11_035, time_ns=75 * S, rtp_next=88_210, clock=CLOCK))
    assert session.fulfil(PacketRequest(id=2, data=packet), 2 * S).ok
    assert sounds(session, 0) == 5 * S, "receivers add 11 035 frames"
    session.update(estimate(2 * S + ANNOUNCED_NS), 2 * S + ANNOUNCED_NS)
    assert sounds(session, 0) == 5 * S
    session.update(estimate(3 * S + ANNOUNCED_NS), 3 * S + ANNOUNCED_NS)
    assert sounds(session, 0) is None


def test_what_sounds_goes_on_when_another_leader_takes_over() -> None:
    session = started()
    session.fulfil(plays(0, 71 * S), S)
    session.update(estimate(3 * S, "00-11-22-33-44-55-00-08", -S), 3 * S)
    assert sounds(session, 88_200, 3 * S) == 3 * S


def test_the_anchor_for_other_rooms_is_this_rooms() -> None:
    session = started()
    session.fulfil(plays(0, 71 * S), S)
    answer = session.fulfil(AnchorRequest(id=5), 4 * S)
    assert answer.body is not None
    assert answer.packet is not None
    other = started()
    for request in (RateAnchorRequest(id=6, body=answer.body), PacketRequest(id=7, data=answer.packet)):
        assert other.fulfil(request, 4 * S).ok
        for rtp in (0, 44_100, 441_000):
            assert abs((sounds(other, rtp) or 0) - (sounds(session, rtp) or 0)) < 25_000
    read = control_packets.decode(answer.packet)
    assert isinstance(read, PtpTimeAnnounce)
    assert read.latency_frames == 77_175
    assert Anchor.from_time_announce(read).clock == LEADER


def test_a_session_with_ntp_names_the_senders_port() -> None:
    session = AirplaySession(1, ["192.168.1.5"])
    request = setup(protocol="NTP", peer=None, timing_port=6002)
    assert "needs timingPort" in (session.fulfil(request, 0).error or "")
    assert session.fulfil(msgspec.structs.replace(request, address="192.168.1.20"), 0).ok
    assert (session.peers, session.ntp_server) == ((), ("192.168.1.20", 6002))
    session.update(estimate(1 * S, "192.168.1.20:6002"), 1 * S)
    packet = control_packets.encode(NtpTimeAnnounce(rtp=11_025, ntp=75 << 32, rtp_next=0))
    assert session.fulfil(PacketRequest(id=2, data=packet), 2 * S).ok
    assert sounds(session, 0) == 5 * S
    assert "no anchor" in (session.fulfil(AnchorRequest(id=3), 2 * S).error or "")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (setup(protocol="None", peer=None), "names no peers"),
        (setup(peer=SessionTimingPeer(addresses=("nowhere",), id="x")), "'nowhere' is not an IP address"),
        (setup(peer=SessionTimingPeer(addresses=("224.0.1.129",), id="x")), "multicast"),
        (setup(peer=SessionTimingPeer(addresses=tuple(f"10.0.0.{n}" for n in range(65)), id="x")), "at most 64"),
        (SetupRequest(id=1, body=b"no plist"), "not a property list"),
        (PacketRequest(id=1, data=b"\x80"), "octets"),
        (PacketRequest(id=1, data=control_packets.encode(ResendRequest(sequence=1, count=1))), "no time announce"),
        (PacketRequest(id=1, data=control_packets.encode(NtpTimeAnnounce(rtp=0, ntp=0, rtp_next=0))), "no time ann"),
        (AnchorRequest(id=1), "no anchor"),
    ],
)
def test_refused_requests_change_nothing(request_: SetupRequest, reason: str) -> None:
    session = started()
    answer = session.fulfil(request_, 2 * S)
    assert (answer.id, answer.ok) == (1, False)
    assert reason in (answer.error or "")
    assert session.peers == ("192.168.1.20", "fe80::1")


@given(st.binary(max_size=300))
def test_any_line_is_a_request_or_refused(octets: bytes) -> None:
    with contextlib.suppress(ValueError):
        AirplaySession(1, []).fulfil(decode_request(octets), 0).to_line()


@given(st.sampled_from(["setup", "peers", "rate-anchor", "packet"]), st.binary(max_size=200), st.integers(0, 2**62))
def test_any_body_is_answered(kind: str, body: bytes, now_ns: int) -> None:
    field = "data" if kind == "packet" else "body"
    line = msgspec.json.encode({"request": kind, "id": 7, field: body})
    assert b'"id":7' in started().fulfil(decode_request(line), now_ns).to_line()
