"""AirPlay 1 timing packets, and what an exchange tells."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_airplay_timing.wire.fixed_point import ntp_difference_ns, to_ntp
from phasegraph_airplay_timing.wire.malformed_packet import MalformedPacket, PacketFault
from phasegraph_airplay_timing.wire.ntp import Timing, decode, encode, reply_to, request

S = 10**9
REQUEST = bytes.fromhex("80d2 0007 00000000 0000000000000000 0000000000000000 0000000180000000")
REPLY = bytes.fromhex("80d3 0007 00000000 0000000180000000 0000000a00000000 0000000a00000001")


def test_request_both_ways() -> None:
    assert encode(request(S + S // 2)) == REQUEST
    assert decode(REQUEST) == Timing(reply=False, transmit=0x1_8000_0000)


def test_reply_both_ways() -> None:
    packet = Timing(reply=True, origin=0x1_8000_0000, receive=10 << 32, transmit=(10 << 32) + 1)
    assert encode(packet) == REPLY
    assert decode(REPLY) == packet


def test_without_marker_and_with_another_count() -> None:
    wire = bytes.fromhex("80520102") + REQUEST[4:]
    packet = decode(wire)
    assert (packet.reply, packet.marker, packet.count) == (False, False, 0x0102)
    assert encode(packet) == wire
    answer = reply_to(packet, 0, 0)
    assert encode(answer)[:4] == bytes.fromhex("80d30007")


def test_a_longer_datagram_is_read() -> None:
    assert decode(REQUEST + b"more") == decode(REQUEST)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", PacketFault.LENGTH),
        (REQUEST[:31], PacketFault.LENGTH),
        (b"\x40" + REQUEST[1:], PacketFault.VERSION),
        (REQUEST[:1] + b"\xd4" + REQUEST[2:], PacketFault.TYPE),
        (REQUEST[:1] + b"\x00" + REQUEST[2:], PacketFault.TYPE),
    ],
)
def test_damage_is_refused_with_its_reason(datagram: bytes, reason: PacketFault) -> None:
    with pytest.raises(MalformedPacket) as caught:
        decode(datagram)
    assert caught.value.reason is reason


@pytest.mark.parametrize("wrong", [{"transmit": 2**64}, {"origin": -1}, {"count": 2**16}])
def test_what_does_not_fit_is_not_sent(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not a timing packet"):
        encode(Timing(**({"reply": False, "transmit": 0} | wrong)))


@given(
    local=st.integers(0, 2**40 * S),
    offset=st.integers(-(2**30) * S, 2**30 * S),
    there=st.integers(0, S),
    held=st.integers(0, S),
    back=st.integers(0, S),
)
def test_an_exchange_tells_offset_and_delay(local: int, offset: int, there: int, held: int, back: int) -> None:
    asked = request(local)
    arrived = local + there
    answer = decode(encode(reply_to(asked, arrived + offset, arrived + held + offset)))
    assert answer.origin == asked.transmit
    out_ns = ntp_difference_ns(answer.receive, answer.origin)
    home_ns = ntp_difference_ns(answer.transmit, to_ntp(arrived + held + back))
    assert abs(out_ns - home_ns - (there + back)) <= 2
    assert abs((out_ns + home_ns) // 2 - offset - (there - back) / 2) <= 2


packets = st.builds(
    Timing,
    reply=st.booleans(),
    origin=st.integers(0, 2**64 - 1),
    receive=st.integers(0, 2**64 - 1),
    transmit=st.integers(0, 2**64 - 1),
    marker=st.booleans(),
    count=st.integers(0, 2**16 - 1),
)


@given(packets, st.binary(max_size=8))
def test_what_is_written_reads_back(packet: Timing, tail: bytes) -> None:
    assert decode(encode(packet) + tail) == packet


@given(st.one_of(st.binary(max_size=64), st.binary(min_size=30, max_size=40).map(lambda tail: b"\x80\xd2" + tail)))
def test_any_octets_are_judged(datagram: bytes) -> None:
    try:
        packet = decode(datagram)
    except MalformedPacket:
        return
    assert decode(encode(packet)) == packet


def test_published_packets(airplay_vectors: list[dict[str, Any]]) -> None:
    found = {entry["name"]: entry for entry in airplay_vectors if entry["kind"] == "ntp-timing"}
    asked, answered = (bytes.fromhex(found[name]["hex"]) for name in ("timing_request", "timing_reply"))
    assert encode(decode(asked)) == asked
    assert encode(decode(answered)) == answered
    answer, expect = decode(answered), found["timing_reply"]["expect"]
    for field in ("origin", "receive", "transmit"):
        value = getattr(answer, field)
        assert f"{value >> 32:08x}.{value & 0xFFFFFFFF:08x}" == expect[field]
    assert decode(asked).transmit == answer.origin
    assert (decode(asked).reply, answer.reply) == (False, True)


def test_nothing_else_that_was_captured_passes(airplay_vectors: list[dict[str, Any]]) -> None:
    for entry in airplay_vectors:
        if entry["kind"] != "ntp-timing":
            with pytest.raises(MalformedPacket):
                decode(bytes.fromhex(entry["hex"]))
