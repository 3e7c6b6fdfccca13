"""Streams that are sent twice (RFC 7104, ST 2022-7), in a description and back."""

from __future__ import annotations

import msgspec
import pytest

from phasegraph_aes67 import sdp
from phasegraph_aes67.parameters import StreamParameters

ONE = StreamParameters(
    address="239.1.0.1", frames_per_packet=48, source="192.0.2.1", ttl=15, ts_refclk="ptp=IEEE1588-2008:traceable"
)
OTHER = msgspec.structs.replace(ONE, address="239.2.0.1", port=5006, source="198.51.100.1")


@pytest.mark.parametrize("preset", sdp.PRESETS)
def test_written_and_read(preset: sdp.Preset) -> None:
    text = sdp.write(ONE, name="desk", origin="192.0.2.1", session_id=7, preset=preset, second=OTHER)
    session = sdp.parse(text)
    dante = preset == "dante"
    assert session.streams == (
        tuple(msgspec.structs.replace(leg, source=None) for leg in (ONE, OTHER)) if dante else (ONE, OTHER)
    )
    assert session.dup_of == (None, 0)
    assert session.problems == ()


def test_one_group_sent_by_two_sources() -> None:
    text = (
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=x\nt=0 0\nm=audio 5004 RTP/AVP 98\nc=IN IP4 233.252.0.1/127\n"
        "a=source-filter: incl IN IP4 233.252.0.1 198.51.100.1 198.51.100.2\na=rtpmap:98 L24/48000/2\na=ptime:1\n"
        "a=ssrc-group:DUP 1009 1010\na=ts-refclk:ptp=IEEE1588-2008:traceable\na=mediaclk:direct=0\n"
    )
    session = sdp.parse(text)
    assert [(stream.address, stream.source) for stream in session.streams] == [
        ("233.252.0.1", "198.51.100.1"),
        ("233.252.0.1", "198.51.100.2"),
    ]
    assert session.dup_of == (None, 0)


def test_two_streams_that_are_not_one() -> None:
    medium = "m=audio 5004 RTP/AVP 98\nc=IN IP4 {}\na=rtpmap:98 L24/48000/2\na=mid:{}\n"
    text = "v=0\na=group:LS 1 2\n" + medium.format("239.1.1.1", 1) + medium.format("239.1.1.2", 2)
    assert sdp.parse(text).dup_of == (None, None)
