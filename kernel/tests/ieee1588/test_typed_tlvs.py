"""TLVs with a meaning against octets written out by hand from the standard's tables, and their properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph.ieee1588 import (
    AcknowledgeCancelUnicast,
    AlternateTimeOffset,
    CancelUnicast,
    GrantUnicast,
    MalformedMessage,
    ManagementError,
    ManagementErrorStatus,
    ManagementId,
    ManagementTlv,
    MasterLocking,
    MessageType,
    OrganizationExtension,
    PathTrace,
    PortIdentity,
    Reason,
    RequestUnicast,
    Signaling,
    SmpteSynchronizationMetadata,
    Tlv,
    TlvType,
    TypedTlv,
    decode,
    encode,
    interval_ns,
    to_interval,
    understand,
)

TABLE: list[tuple[int, str, TypedTlv]] = [
    (0x0004, "b0 01 0000012c", RequestUnicast(MessageType.ANNOUNCE, 1, 300)),
    (0x0004, "00 fd ffffffff", RequestUnicast(MessageType.SYNC, -3, 2**32 - 1)),
    (0x0005, "90 fd 0000003c 00 01", GrantUnicast(MessageType.DELAY_RESP, -3, 60, renewal_invited=True)),
    (0x0005, "00 00 00000000 00 00", GrantUnicast(MessageType.SYNC, 0, 0)),
    (0x0006, "b2 00", CancelUnicast(MessageType.ANNOUNCE, maintain_grant=True)),
    (0x0006, "01 00", CancelUnicast(MessageType.SYNC, maintain_request=True)),
    (0x0007, "30 00", AcknowledgeCancelUnicast(MessageType.PDELAY_RESP)),
    (0x0008, "", PathTrace(())),
    (0x0008, "001dc1fffe123456 acde48fffe234567", PathTrace((0x001D_C1FF_FE12_3456, 0xACDE_48FF_FE23_4567))),
    (  # an hour more from 2**32 s on
        0x0009,
        "01 ffffffdb 00000e10 000100000000 03 434554 00",
        AlternateTimeOffset(1, -37, 3600, 2**32, "CET"),
    ),
    (0x0009, "00 00000000 00000000 000000000000 04 43455354", AlternateTimeOffset(0, 0, 0, 0, "CEST")),
    (0x0003, "0080c2 000001 00000000", OrganizationExtension(0x0080C2, 1, bytes(4))),
    (
        0x0003,
        "6897e8 000001 00007530 000003e9 04 01 00001c20 fffff1f0 000065e4bc9f 000065e50000 000065e40000 00000e10 03 00",
        SmpteSynchronizationMetadata(
            frame_rate_numerator=30_000,
            frame_rate_denominator=1001,
            master_locking=MasterLocking.LOCKED,
            time_address_flags=1,
            local_offset_s=7200,
            jump_s=-3600,
            next_jump_s=0x65E4BC9F,
            next_jam_s=0x65E50000,
            previous_jam_s=0x65E40000,
            previous_jam_offset_s=3600,
            daylight_saving=3,
        ),
    ),
    (0x0003, "6897e8 000002 abcd", OrganizationExtension(0x6897E8, 2, b"\xab\xcd")),
    (0x0001, "2002", ManagementTlv(ManagementId.PARENT_DATA_SET)),
    (0x0001, "2005 8000", ManagementTlv(ManagementId.PRIORITY1, b"\x80\x00")),
    (
        0x0002,
        "0002 beef 00000000",
        ManagementErrorStatus(ManagementError.NO_SUCH_ID, 0xBEEF),
    ),
    (
        0x0002,
        "0005 2005 00000000 06 667572207565 00",
        ManagementErrorStatus(ManagementError.NOT_SETABLE, ManagementId.PRIORITY1, "fur ue"),
    ),
]


@pytest.mark.parametrize(("kind", "octets", "typed"), TABLE, ids=[type(row[2]).__name__ for row in TABLE])
def test_both_ways(kind: int, octets: str, typed: TypedTlv) -> None:
    tlv = Tlv(kind, bytes.fromhex(octets))
    assert typed.to_tlv() == tlv
    assert understand(tlv) == typed
    assert type(understand(tlv)) is type(typed)


def test_odd_data_is_padded() -> None:
    assert ManagementTlv(ManagementId.PRIORITY1, b"\x80").to_tlv() == Tlv(1, b"\x20\x05\x80\x00")


def test_reserved_bits_and_later_fields_are_ignored() -> None:
    assert understand(Tlv(4, bytes.fromhex("bf0100000100 cafe"))) == RequestUnicast(11, 1, 256)
    assert understand(Tlv(5, bytes.fromhex("0f0100000100 fffe"))) == GrantUnicast(0, 1, 256)


def test_an_unknown_type_stays_a_tlv() -> None:
    for tlv in (Tlv(0x4242, b"\xca\xfe"), Tlv(TlvType.PAD, bytes(6))):
        assert understand(tlv) is tlv


@pytest.mark.parametrize(
    ("kind", "octets", "words"),
    [
        (0x0001, "", "ManagementTlv ends after 0 octets, within a field that takes 2"),
        (0x0002, "00022002 0000", "ends after 6 octets"),
        (0x0002, "00022002 00000000 0541", "ends after 2 octets, within a field that takes 6"),
        (0x0003, "0080c2 0000", "ends after 5 octets"),
        (0x0003, "6897e8 000001 00007530", "ends after 4 octets"),
        (0x0004, "b0 01 000001", "ends after 5 octets"),
        (0x0005, "b0 01 0000012c", "ends after 6 octets"),
        (0x0006, "b0", "ends after 1 octets"),
        (0x0008, "001dc1fffe12", "6 octets, clock identities have 8 each"),
        (0x0009, "00 00000000 00000000 000000000000 04 434553", "ends after 19 octets"),
        (0x0009, "00 00000000 00000000 000000000000 02 ffff", "not UTF-8"),
    ],
)
def test_damage_is_refused_with_words(kind: int, octets: str, words: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        understand(Tlv(kind, bytes.fromhex(octets)))
    assert caught.value.reason is Reason.TLV
    assert words in str(caught.value)


def test_another_type_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="type 0x0008 is not GrantUnicast"):
        GrantUnicast.from_tlv(Tlv(TlvType.PATH_TRACE, bytes(8)))
    with pytest.raises(MalformedMessage, match="organization 0x0080c2"):
        SmpteSynchronizationMetadata.from_tlv(OrganizationExtension(0x0080C2, 1, bytes(48)).to_tlv())


@pytest.mark.parametrize(
    "wrong",
    [
        RequestUnicast(16, 0, 1),
        RequestUnicast(0, 128, 1),
        GrantUnicast(0, 0, 2**32),
        CancelUnicast(-1),
        PathTrace((2**64,)),
        OrganizationExtension(2**24, 0),
        OrganizationExtension(0, -1),
        AlternateTimeOffset(0, 0, 0, 2**48, ""),
        AlternateTimeOffset(0, 0, 0, 0, "x" * 256),
        ManagementTlv(0x10000),
        SmpteSynchronizationMetadata(next_jam_s=-1),
    ],
)
def test_what_does_not_fit_is_not_sent(wrong: TypedTlv) -> None:
    with pytest.raises(ValueError, match="fit"):
        wrong.to_tlv()


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


even = st.binary(max_size=20).map(lambda octets: octets * 2)
texts = st.text(max_size=60)
grants = (unsigned(4), signed(8), unsigned(32))
cancellations = (unsigned(4), st.booleans(), st.booleans())
typed_tlvs = st.one_of(
    st.builds(RequestUnicast, *grants),
    st.builds(GrantUnicast, *grants, st.booleans()),
    st.builds(CancelUnicast, *cancellations),
    st.builds(AcknowledgeCancelUnicast, *cancellations),
    st.builds(PathTrace, st.lists(unsigned(64), max_size=20).map(tuple)),
    st.builds(AlternateTimeOffset, unsigned(8), signed(32), signed(32), unsigned(48), texts),
    st.builds(OrganizationExtension, unsigned(23), unsigned(24), even),
    st.builds(ManagementTlv, unsigned(16), even),
    st.builds(ManagementErrorStatus, unsigned(16), unsigned(16), texts),
    st.builds(
        SmpteSynchronizationMetadata,
        frame_rate_numerator=unsigned(32),
        frame_rate_denominator=unsigned(32),
        master_locking=unsigned(8),
        time_address_flags=unsigned(8),
        local_offset_s=signed(32),
        jump_s=signed(32),
        next_jump_s=unsigned(48),
        next_jam_s=unsigned(48),
        previous_jam_s=unsigned(48),
        previous_jam_offset_s=signed(32),
        daylight_saving=unsigned(8),
        leap_second_jump=unsigned(8),
    ),
)


@given(st.lists(typed_tlvs, max_size=5))
def test_what_is_written_reads_back_from_a_message(typed: list[TypedTlv]) -> None:
    wire = encode(Signaling(source=PortIdentity(1, 1), sequence=0, tlvs=tuple(one.to_tlv() for one in typed)))
    assert [understand(tlv) for tlv in decode(wire).tlvs] == typed


@given(st.integers(0, 12), st.binary(max_size=80))
def test_any_octets_are_judged(kind: int, octets: bytes) -> None:
    try:
        typed = understand(Tlv(kind, octets + bytes(len(octets) % 2)))
    except MalformedMessage:
        return
    if isinstance(typed, TypedTlv):
        assert understand(typed.to_tlv()) == typed


@pytest.mark.parametrize(
    ("interval", "ns"), [(0, 0), (0x10000, 1), (0x8000, 1), (0x7FFF, 0), (-0x8000, 0), (-0x8001, -1), (-0x18001, -2)]
)
def test_intervals_are_rounded(interval: int, ns: int) -> None:
    assert interval_ns(interval) == ns


@given(st.integers(-(2**60), 2**60))
def test_intervals_saturate(ns: int) -> None:
    interval = to_interval(ns)
    assert -(2**63) < interval < 2**63
    assert interval_ns(interval) == ns or (abs(ns) >= 2**47 and abs(interval) == 2**63 - 1)
