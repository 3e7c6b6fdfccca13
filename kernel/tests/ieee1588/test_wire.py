"""The wire format against messages written out by hand from the standard's tables."""

from __future__ import annotations

from typing import Any

import pytest

from phasegraph.ieee1588 import (
    EVENT_MESSAGES,
    Announce,
    DelayReq,
    DelayResp,
    Flag,
    FollowUp,
    MalformedMessage,
    Management,
    Message,
    MessageType,
    PDelayReq,
    PDelayResp,
    PDelayRespFollowUp,
    PortIdentity,
    Reason,
    Signaling,
    Sync,
    Tlv,
    TlvType,
    decode,
    encode,
)

A = PortIdentity(0x001D_C1FF_FE12_3456, 1)
B = PortIdentity(0xACDE_48FF_FE23_4567, 0x8005)
SOURCE_A = "001dc1fffe123456 0001"
SOURCE_B = "acde48fffe234567 8005"

TABLE: list[tuple[str, Message]] = [
    (  # two-step Sync, eight a second
        f"00 02 002c 00 00 0200 0000000000000000 00000000 {SOURCE_A} 1234 00 fd 000000000000 00000000",
        Sync(source=A, sequence=0x1234, flags=Flag.TWO_STEP, log_interval=-3),
    ),
    (  # one-step Sync of version 2.1: 2**32 + 1 s and 999 999 999 ns, corrected by -1.5 ns
        f"00 12 002c 7f 00 0008 fffffffffffe8000 00000000 {SOURCE_A} ffff 00 00 000100000001 3b9ac9ff",
        Sync(
            source=A,
            sequence=0xFFFF,
            minor_version=1,
            domain=127,
            flags=Flag.PTP_TIMESCALE,
            correction=-0x18000,
            log_interval=0,
            origin_ns=(2**32 + 1) * 10**9 + 999_999_999,
        ),
    ),
    (
        f"01 02 002c 00 00 0400 0000000000000000 00000000 {SOURCE_B} 0007 01 7f 000000000000 00000000",
        DelayReq(source=B, sequence=7, flags=Flag.UNICAST),
    ),
    (  # as IEEE 802.1AS and AirPlay write it: majorSdoId 1
        f"18 02 002c 00 00 0408 0000017d54c40000 00000000 {SOURCE_B} 0001 02 fd 00000001f2bd 1b9f2a43",
        FollowUp(
            source=B,
            sequence=1,
            major_sdo=1,
            flags=Flag.UNICAST | Flag.PTP_TIMESCALE,
            correction=0x17D_54C4_0000,
            log_interval=-3,
            precise_origin_ns=0x1F2BD * 10**9 + 0x1B9F2A43,
        ),
    ),
    (
        f"09 02 0036 05 00 0000 0000000000010000 00000000 {SOURCE_A} 0007 03 00 000065e4bc9f 00000001 {SOURCE_B}",
        DelayResp(
            source=A,
            sequence=7,
            domain=5,
            correction=0x10000,
            log_interval=0,
            receive_ns=0x65E4BC9F * 10**9 + 1,
            requesting=B,
        ),
    ),
    (
        f"02 02 0036 00 00 0000 0000000000000000 00000000 {SOURCE_A} 0100 05 7f 000000000000 00000000"
        "00000000000000000000",
        PDelayReq(source=A, sequence=0x100),
    ),
    (
        f"03 02 0036 00 00 0200 0000000000000000 00000000 {SOURCE_B} 0100 05 7f 000000000001 00000002 {SOURCE_A}",
        PDelayResp(source=B, sequence=0x100, flags=0x0200, request_receipt_ns=1_000_000_002, requesting=A),
    ),
    (
        f"0a 02 0036 00 00 0000 0000000000000000 00000000 {SOURCE_B} 0100 05 7f 000000000001 00000003 {SOURCE_A}",
        PDelayRespFollowUp(source=B, sequence=0x100, response_origin_ns=1_000_000_003, requesting=A),
    ),
    (  # with a path trace of one clock
        f"0b 02 004c 00 00 003c 0000000000000000 00000000 {SOURCE_A} 0002 05 01 000000000000 00000000"
        "0025 00 80 06 21 4e5d 7f 001dc1fffe123456 0000 20"
        "0008 0008 001dc1fffe123456",
        Announce(
            source=A,
            sequence=2,
            flags=Flag.UTC_OFFSET_VALID | Flag.PTP_TIMESCALE | Flag.TIME_TRACEABLE | Flag.FREQUENCY_TRACEABLE,
            log_interval=1,
            utc_offset_s=37,
            priority1=128,
            clock_class=6,
            clock_accuracy=0x21,
            clock_variance=0x4E5D,
            priority2=127,
            grandmaster=A.clock,
            steps_removed=0,
            time_source=0x20,
            tlvs=(Tlv(TlvType.PATH_TRACE, bytes.fromhex("001dc1fffe123456")),),
        ),
    ),
    (  # requests Announce of all ports, and carries an unknown TLV
        f"0c 02 003c 00 00 0400 0000000000000000 00000000 {SOURCE_A} 0003 05 7f ffffffffffffffff ffff"
        "0004 0006 b0 01 0000012c 4242 0002 cafe",
        Signaling(
            source=A,
            sequence=3,
            flags=Flag.UNICAST,
            tlvs=(
                Tlv(TlvType.REQUEST_UNICAST_TRANSMISSION, bytes.fromhex("b0010000012c")),
                Tlv(0x4242, b"\xca\xfe"),
            ),
        ),
    ),
    (  # GET CURRENT_DATA_SET, as pmc sends it
        f"0d 02 0036 00 00 0000 0000000000000000 00000000 {SOURCE_A} 0000 04 7f ffffffffffffffff ffff 01 01 00 00"
        "0001 0002 2001",
        Management(source=A, sequence=0, action=0, tlvs=(Tlv(TlvType.MANAGEMENT, b"\x20\x01"),)),
    ),
]


@pytest.mark.parametrize(("octets", "message"), TABLE, ids=[type(message).__name__ for _, message in TABLE])
def test_both_ways(octets: str, message: Message) -> None:
    wire = bytes.fromhex(octets)
    assert encode(message) == wire
    assert decode(wire) == message
    assert decode(wire + b"\0\0") == message  # as UDP over IPv6 pads
    with pytest.raises(MalformedMessage) as caught:
        decode(wire[:-1])
    assert caught.value.reason is Reason.TRUNCATED


def test_every_type_is_in_the_table() -> None:
    assert {message.type for _, message in TABLE} == set(MessageType)
    assert {kind.name for kind in EVENT_MESSAGES} == {"SYNC", "DELAY_REQ", "PDELAY_REQ", "PDELAY_RESP"}


SYNC = bytes.fromhex(TABLE[0][0])
ANNOUNCE = bytes.fromhex(TABLE[8][0])


def patched(message: bytes, at: int, octets: str) -> bytes:
    new = bytes.fromhex(octets)
    return message[:at] + new + message[at + len(new) :]


def with_tail(message: bytes, octets: str) -> bytes:
    tail = bytes.fromhex(octets)
    return patched(message, 2, f"{len(message) + len(tail):04x}") + tail


@pytest.mark.parametrize(
    ("datagram", "reason", "words"),
    [
        (b"", Reason.TRUNCATED, "0 octets"),
        (SYNC[:33], Reason.TRUNCATED, "33 octets, a header has 34"),
        (patched(SYNC, 2, "002d"), Reason.TRUNCATED, "messageLength is 45, 44 octets came"),
        (patched(SYNC, 1, "01"), Reason.VERSION, "PTP version 1"),
        (patched(SYNC, 1, "13"), Reason.VERSION, "PTP version 3"),
        (patched(SYNC, 0, "04"), Reason.TYPE, "0x4"),
        (patched(SYNC, 0, "0e"), Reason.TYPE, "0xe"),
        (patched(SYNC, 2, "002b"), Reason.LENGTH, "messageLength is 43, Sync has 44"),
        (patched(SYNC, 2, "0000"), Reason.LENGTH, "messageLength is 0"),
        (patched(SYNC, 0, "0b"), Reason.LENGTH, "Announce has 64"),
        (patched(SYNC, 40, "3b9aca00"), Reason.TIMESTAMP, "origin_ns: nanoseconds are 1000000000"),
        (with_tail(SYNC, "000800"), Reason.TLV, "3 octets after the last TLV"),
        (with_tail(SYNC, "00080008 00000000"), Reason.TLV, "TLV 0x0008 says 8 octets, 4 are left"),
        (with_tail(SYNC, "00080003 00000000"), Reason.TLV, "odd length"),
        (with_tail(SYNC, "80080000" * 65), Reason.TLV, "more than 64"),
    ],
)
def test_damage_is_refused_with_its_reason(datagram: bytes, reason: Reason, words: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode(datagram)
    assert caught.value.reason is reason
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "datagram",
    [
        patched(SYNC, 32, "ff"),  # controlField
        patched(ANNOUNCE, 46, "ff"),  # reserved octet of an Announce
        patched(SYNC, 33, "7f"),  # interval unknown
        patched(SYNC, 6, "ffff"),  # every flag, also those without a meaning
        with_tail(SYNC, "80080004 00000000"),  # a PAD TLV
        with_tail(SYNC, "00000000" * 64),
    ],
)
def test_harmless_oddities_pass(datagram: bytes) -> None:
    decode(datagram)


def test_memoryview_and_bytearray_are_datagrams_too() -> None:
    for kind in (bytearray, memoryview):
        assert decode(kind(ANNOUNCE)) == decode(ANNOUNCE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequence": 65_536},
        {"domain": 256},
        {"major_sdo": 16},
        {"minor_version": -1},
        {"correction": 2**63},
        {"log_interval": 128},
        {"origin_ns": -1},
        {"origin_ns": 2**48 * 10**9},
        {"source": PortIdentity(2**64, 1)},
        {"tlvs": (Tlv(8, b"odd"),)},
        {"tlvs": (Tlv(0x10000),)},
        {"tlvs": (Tlv(8),) * 65},
        {"tlvs": (Tlv(8, bytes(65_534)),)},
    ],
)
def test_what_does_not_fit_is_not_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        encode(Sync(**({"source": A, "sequence": 1} | wrong)))
    with pytest.raises(ValueError):
        encode(Management(source=A, sequence=1, action=16))


def test_two_step() -> None:
    assert Sync(source=A, sequence=1, flags=Flag.TWO_STEP | Flag.UNICAST).two_step
    assert not Sync(source=A, sequence=1, flags=Flag.UNICAST).two_step
