"""The compact packet against octets written out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_airplay_timing.wire.compact import CompactPacket, CompactType, decode, encode, wire_time
from phasegraph_airplay_timing.wire.malformed_packet import MalformedPacket, PacketFault

S = 10**9
CLOCK = 0x50BC_96E6_9986_0008

# The three times are those that the format's first implementation was seen to write and to read.
TABLE = [
    ("00 00 0007 00000000 6553f1001f9a 50bc96e699860008 0000", CompactType.SYNC, 1_700_000_000 * S + 123_456_789),
    ("01 00 ffff 00000000 00000001ffff 50bc96e699860008 0000", CompactType.DELAY_REQ, 2 * S - 1),
    ("09 00 0000 00000000 000000000000 50bc96e699860008 0000", CompactType.DELAY_RESP, 2**32 * S),
    ("08 00 1234 00000000 000000018000 50bc96e699860008 0000", CompactType.FOLLOW_UP, S + S // 2),
    ("0b 00 1234 00000000 ffffffffffff 50bc96e699860008 0000", CompactType.ANNOUNCE, 2**32 * S - 1),
    ("0c 00 1234 00000000 000000000001 50bc96e699860008 0000", CompactType.SIGNALING, 15_259),
]


@pytest.mark.parametrize(("octets", "type", "time_ns"), TABLE)
def test_both_ways(octets: str, type: CompactType, time_ns: int) -> None:
    wire = bytes.fromhex(octets)
    packet = CompactPacket(type=type, sequence=int.from_bytes(wire[2:4]), time=wire_time(time_ns), clock=CLOCK)
    assert encode(packet) == wire
    assert decode(wire) == packet
    assert decode(wire[:22]) == packet  # without the padding


@pytest.mark.parametrize(("row", "time_ns"), [(0, 1_700_000_000 * S + 123_443_603), (1, S + 999_984_741), (2, 0)])
def test_times_as_the_first_implementation_reads_them(row: int, time_ns: int) -> None:
    assert decode(bytes.fromhex(TABLE[row][0])).time_ns == time_ns


def test_seconds_wrap_at_32_bits_and_are_found_again() -> None:
    packet = decode(bytes.fromhex("00 00 0001 00000000 000000050000 50bc96e699860008 0000"))
    assert packet.time_ns == 5 * S
    assert packet.time_near((2**32 - 10) * S) == (2**32 + 5) * S
    assert packet.time_near(20 * S) == 5 * S


def test_what_should_be_zero_is_not_looked_at() -> None:
    plain, odd = TABLE[0][0], "f0 ff 0007 ffffffff 6553f1001f9a 50bc96e699860008 ffff"
    assert decode(bytes.fromhex(odd)) == decode(bytes.fromhex(plain))


@pytest.mark.parametrize("length", [0, 1, 21, 23, 25, 32, 44])
def test_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(MalformedPacket, match=f"{length} octets") as caught:
        decode(bytes(length))
    assert caught.value.reason is PacketFault.LENGTH


@pytest.mark.parametrize("type", [2, 3, 4, 7, 10, 13, 15])
def test_other_types_are_refused(type: int) -> None:
    with pytest.raises(MalformedPacket, match=f"type {type:#x}") as caught:
        decode(bytes([type]) + bytes(23))
    assert caught.value.reason is PacketFault.TYPE


@pytest.mark.parametrize(
    "wrong", [{"sequence": 2**16}, {"time": 2**48}, {"time": -1}, {"clock": 2**64}, {"sequence": -1}]
)
def test_what_does_not_fit_is_not_sent(wrong: dict[str, int]) -> None:
    fields = {"sequence": 0, "time": 0, "clock": 0} | wrong
    with pytest.raises(ValueError, match="not a compact packet"):
        encode(CompactPacket(type=CompactType.SYNC, **fields))


packets = st.builds(
    CompactPacket,
    type=st.sampled_from(CompactType),
    sequence=st.integers(0, 2**16 - 1),
    time=st.integers(0, 2**48 - 1),
    clock=st.integers(0, 2**64 - 1),
)


@given(packets)
def test_what_is_written_reads_back(packet: CompactPacket) -> None:
    assert decode(encode(packet)) == packet
    assert len(encode(packet)) == 24


@given(st.one_of(st.binary(max_size=64), st.binary(min_size=22, max_size=24)))
def test_any_octets_are_judged(datagram: bytes) -> None:
    try:
        packet = decode(datagram)
    except MalformedPacket:
        return
    assert decode(encode(packet)) == packet
