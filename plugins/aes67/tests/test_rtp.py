"""RTP headers: every shape that RFC 3550 allows, and refusal of everything else."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph_aes67.rtp import HEADER_BYTES, MalformedRtp, RtpHeader, parse_header, wrapped

CALM = settings(derandomize=True, deadline=None, database=None)


def header(
    *, version: int = 2, padding: bool = False, extension: bool = False, sources: int = 0, marker: bool = False
) -> bytes:
    first = version << 6 | padding << 5 | extension << 4 | sources
    return struct.pack("!BBHII", first, marker << 7 | 98, 0xFFFE, 0xFFFFFF01, 0)


@pytest.mark.parametrize(
    ("packet", "start", "stop"),
    [
        pytest.param(header() + b"audio!", 12, 18, id="plain"),
        pytest.param(header(), 12, 12, id="no payload"),
        pytest.param(header(marker=True) + b"audio!", 12, 18, id="marker"),
        pytest.param(header(sources=2) + bytes(8) + b"audio!", 20, 26, id="two contributing sources"),
        pytest.param(header(sources=15) + bytes(60) + b"!", 72, 73, id="fifteen contributing sources"),
        pytest.param(header(extension=True) + b"\xbe\xde\x00\x01" + bytes(4) + b"!!", 20, 22, id="extension"),
        pytest.param(header(extension=True) + b"\xbe\xde\x00\x00" + b"!!", 16, 18, id="empty extension"),
        pytest.param(header(sources=1, extension=True) + bytes(4) + b"\0\0\0\1" + bytes(4) + b"!", 24, 25, id="both"),
        pytest.param(header(padding=True) + b"audio!" + b"\0\0\3", 12, 18, id="padding"),
        pytest.param(header(padding=True) + b"\1", 12, 12, id="only padding"),
    ],
)
def test_where_the_payload_lies(packet: bytes, start: int, stop: int) -> None:
    expected = RtpHeader(98, 0xFFFE, 0xFFFFFF01, 0, start, stop)
    assert parse_header(packet) == expected
    assert parse_header(memoryview(packet)) == expected


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "shorter than an RTP header"),
        (header()[:11], "shorter than an RTP header"),
        (header(version=0), "version 0"),
        (header(version=1), "version 1"),
        (header(version=3), "version 3"),
        (header(sources=1) + bytes(3), "header longer than the packet"),
        (header(extension=True) + bytes(3), "extension cut off"),
        (header(sources=1, extension=True) + bytes(7), "extension cut off"),
        (header(extension=True) + b"\0\0\xff\xff", "header longer than the packet"),
        (header(padding=True) + b"audio\0", "padding of zero bytes"),
        (header(padding=True) + b"\2", "header longer than the packet"),
        (header(padding=True) + b"\xff", "header longer than the packet"),
        (header(sources=1, padding=True) + bytes(3) + b"\2", "header longer than the packet"),
    ],
)
def test_what_is_refused(packet: bytes, reason: str) -> None:
    with pytest.raises(MalformedRtp, match=reason):
        parse_header(packet)


def test_a_cut_packet_is_never_misread() -> None:
    whole = header(sources=2, extension=True) + bytes(8) + b"\0\0\0\2" + bytes(8) + b"audio!"
    begins = len(whole) - 6
    for length in range(len(whole)):
        if length < begins:
            with pytest.raises(MalformedRtp):
                parse_header(whole[:length])
        else:
            assert parse_header(whole[:length]).payload_stop == length


def parses_or_is_malformed(packet: bytes) -> None:
    reason = "none"
    try:
        got = parse_header(packet)
    except MalformedRtp as error:
        reason = str(error)
    else:
        assert HEADER_BYTES <= got.payload_start <= got.payload_stop <= len(packet)
        assert got.payload_type <= 127
    assert reason


@CALM
@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_malformed(packet: bytes) -> None:
    parses_or_is_malformed(packet)


@CALM
@given(st.binary(max_size=100), st.integers(0, 0x3F))
def test_any_bytes_behind_the_right_version_too(rest: bytes, flags: int) -> None:
    parses_or_is_malformed(bytes([0x80 | flags]) + rest)


@CALM
@given(st.integers(1, 64), st.integers(-(2**70), 2**70))
def test_wrapped_is_the_nearest_to_zero(bits: int, difference: int) -> None:
    near = wrapped(difference, bits)
    assert -(1 << bits - 1) <= near < 1 << bits - 1
    assert (near - difference) % (1 << bits) == 0
