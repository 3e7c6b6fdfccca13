"""Apple's dialect: octets written out by hand, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph.ieee1588 import DelayResp, FollowUp, MalformedMessage, PortIdentity, Sync, Tlv, encode
from phasegraph_airplay_timing.wire import apple, compose
from phasegraph_airplay_timing.wire.apple import AppleClock, FollowUpInformation
from phasegraph_airplay_timing.wire.malformed_packet import MalformedPacket, PacketFault

PORT = PortIdentity(0x0499_B9B7_E0F1_0008, 0x8008)
HEADER = "0499b9b7e0f10008 8008 0007"


@pytest.mark.parametrize(
    ("message", "octets"),
    [
        (
            compose.sync(PORT, 7),
            f"10 02 002c 00 00 0608 {'00' * 12} {HEADER} 00 fd {'00' * 10}",
        ),
        (
            compose.delay_req(PORT, 7),
            f"11 02 002c 00 00 0608 {'00' * 12} {HEADER} 01 fd {'00' * 10}",
        ),
        (
            compose.follow_up(PORT, 7, 5_000_000_009),
            f"18 02 0060 00 00 0408 {'00' * 12} {HEADER} 02 fd 000000000005 00000009"
            f"0003 001c 0080c2 000001 {'00' * 22} 0003 0010 000d93 000004 0499b9b7e0f10008 0000",
        ),
        (
            compose.delay_resp(PORT, compose.delay_req(PortIdentity(9, 1), 7), 3_000_000_001),
            f"19 02 0036 00 00 0608 {'00' * 12} {HEADER} 00 fd 000000000003 00000001 0000000000000009 0001",
        ),
        (
            compose.announce(PORT, 7, compose.AnnouncedDataset(128, grandmaster=PORT.clock)),
            f"1b 02 004c 00 00 0408 {'00' * 12} {HEADER} 05 fe {'00' * 10} 0025 00 80 f8 fe 436a f8"
            "0499b9b7e0f10008 0000 a0 0008 0008 0499b9b7e0f10008",
        ),
    ],
)
def test_messages_are_those_of_apples_devices(message: Sync, octets: str) -> None:
    assert encode(message).hex() == octets.replace(" ", "")
    assert apple.decode(bytes.fromhex(octets)) == message


def test_a_wake_up_has_64_octets() -> None:
    assert len(encode(compose.wake_up(PORT, 1, compose.AnnouncedDataset(247)))) == 64


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ({0: 0x00}, PacketFault.DIALECT),
        ({4: 1}, PacketFault.DIALECT),
        ({8: 0x7F}, PacketFault.CORRECTION),
        ({8: 0x80}, PacketFault.CORRECTION),
    ],
)
def test_other_dialects_and_ranges_are_refused(octets: dict[int, int], reason: PacketFault) -> None:
    datagram = bytearray(encode(compose.sync(PORT, 1)))
    for at, value in octets.items():
        datagram[at] = value
    with pytest.raises(MalformedPacket) as caught:
        apple.decode(bytes(datagram))
    assert caught.value.reason is reason


def test_a_correction_of_just_under_ten_seconds_passes() -> None:
    limit = 10_000_000_000 << 16
    for correction in (limit - 1, 1 - limit):
        message = Sync(source=PORT, sequence=1, major_sdo=1, correction=correction)
        assert apple.decode(encode(message)) == message
    with pytest.raises(MalformedPacket, match="correction"):
        apple.decode(encode(Sync(source=PORT, sequence=1, major_sdo=1, correction=limit)))


@pytest.mark.parametrize(("correction_ns", "adds"), [(42_803_500, 42_803_500), (-428_875, -428_875), (0, 0)])
def test_corrections_are_added_with_their_sign(correction_ns: int, adds: int) -> None:
    response = DelayResp(
        source=PORT, sequence=1, correction=correction_ns << 16, receive_ns=10**15, requesting=PortIdentity(1, 1)
    )
    assert apple.arrival_ns(response) == 10**15 + adds
    follow_up = FollowUp(source=PORT, sequence=1, correction=correction_ns << 16, precise_origin_ns=10**15)
    sync = Sync(source=PORT, sequence=1, correction=5 << 16)
    assert apple.departure_ns(follow_up, sync) == 10**15 + adds + 5


TLVS = st.one_of(
    st.builds(
        FollowUpInformation,
        st.integers(-(2**31), 2**31 - 1),
        st.integers(0, 2**16 - 1),
        st.integers(-(2**95), 2**95 - 1),
        st.integers(-(2**31), 2**31 - 1),
    ),
    st.builds(AppleClock, st.integers(0, 2**64 - 1)),
)


@given(TLVS)
def test_tlvs_read_back(tlv: FollowUpInformation | AppleClock) -> None:
    wire = tlv.to_tlv()
    assert type(tlv).from_tlv(wire) == tlv
    for other in {FollowUpInformation, AppleClock} - {type(tlv)}:
        assert other.from_tlv(wire) is None
    assert type(tlv).from_tlv(Tlv(wire.type, wire.value[:-2])) is None


@given(st.one_of(st.binary(max_size=128), st.binary(min_size=30, max_size=100).map(lambda b: b"\x18\x02\x00\x60" + b)))
def test_any_octets_are_judged(datagram: bytes) -> None:
    try:
        message = apple.decode(datagram)
    except (MalformedMessage, MalformedPacket):
        return
    assert message.major_sdo == 1
