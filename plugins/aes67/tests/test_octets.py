"""SapSender and RTP packets as devices sent them, where they are present: in the folder that PHASEGRAPH_VECTORS
names."""

from __future__ import annotations

import os
import shlex
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from phasegraph import Encoding
from phasegraph_aes67 import sdp
from phasegraph_aes67.rtp import MalformedRtp, RtpHeader, parse_header
from phasegraph_aes67.session.sap import MalformedSap, SapRejection, SessionTable, decode

FOLDER = Path(os.environ.get("PHASEGRAPH_VECTORS", ""))
VECTORS = FOLDER / "sap"
pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason="PHASEGRAPH_VECTORS names no folder of announcements")


def hext(path: Path) -> bytes:
    # "hext": octets in hexadecimal, #comments, "strings" and .dotted.decimals.
    octets = bytearray()
    lexer = shlex.shlex(path.read_text(), posix=False, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    for word in lexer:
        if word.startswith('"'):
            octets += word[1:-1].encode().decode("unicode_escape").encode("latin-1")
        elif word.startswith("."):
            octets += bytes(int(part) for part in word[1:].split("."))
        elif ":" in word:
            octets += bytes.fromhex(word.replace(":", ""))
        else:
            octets += bytes.fromhex(word)
    return bytes(octets)


def announcements(name: str) -> Iterator[bytes]:
    """The UDP payloads of a capture (microseconds, little endian, IPv4 in Ethernet)."""
    pcap = (FOLDER / "pcap" / name).read_bytes()
    at = 24
    while at < len(pcap):
        (length,) = struct.unpack_from("<I", pcap, at + 8)
        frame = pcap[at + 16 : at + 16 + length]
        at += 16 + length
        udp = 14 + (frame[14] & 0xF) * 4
        yield frame[udp + 8 : udp + struct.unpack_from("!H", frame, udp + 4)[0]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("minimal_valid", "v=0\r\n"),
        ("minimal_compressed", "v=0\r\n"),
        ("minimal_ipv6_origin", "v=0\r\n"),
        ("minimal_no_mime", "v=0\r\n"),
        ("minimal_unknown_mime", SapRejection.PAYLOAD),
        ("minimal_encrypted", SapRejection.ENCRYPTED),
        ("too_short", SapRejection.PAYLOAD),
        ("wrong_version", SapRejection.VERSION),
    ],
)
def test_announcements(name: str, expected: str | SapRejection) -> None:
    octets = hext(VECTORS / f"sap_{name}.hext")
    if isinstance(expected, SapRejection):
        with pytest.raises(MalformedSap) as refusal:
            decode(octets)
        assert refusal.value.reason is expected
    else:
        assert decode(octets).sdp == expected


MERGING = ("192.168.2.237", 0x25AE, "CoreAudio(MAC)", "239.69.2.201", "192.168.2.237", 0)
DANTE = ("192.168.2.153", 0xBCF9, "AVIOUSB-512357 : 2", "239.69.83.133", None, 3_969_992_633)


@pytest.mark.parametrize(
    ("name", "count", "announced"),
    [("aoip-core_sap_sdp1.pcap", 1, [MERGING]), ("aoip-core_sap_sdp2.pcap", 6, [DANTE, MERGING])],
)
def test_captured_announcements(name: str, count: int, announced: list[tuple[object, ...]]) -> None:
    table = SessionTable()
    changes = [table.apply_announcement(decode(octets), at) for at, octets in enumerate(announcements(name))]
    assert len(changes) == count
    assert sum(change is not None for change in changes) == len(announced), "the others say the same again"
    found = []
    for known in table:
        session = sdp.parse(known.sdp)
        (stream,) = session.streams
        assert session.problems == ()
        assert str(stream.format) == "L24 48 kHz 2 ch"
        found.append((known.origin, known.hash, session.name, stream.address, stream.source, stream.mediaclk_offset))
    assert sorted(found) == sorted(announced)


def test_an_rtp_packet_of_a_dante_device() -> None:
    packet = hext(VECTORS / "rtp_l24-48000-2_1ms.hext")
    header = parse_header(packet)
    assert header == RtpHeader(97, 0xB41A, 0x19FB6CD0, 0x08C5B98B, 12, 12 + 288)
    frames = np.empty((48, 2), np.float32)
    Encoding.L24.decode(np.frombuffer(packet[12:], np.uint8).reshape(48, 6), frames)
    assert frames[0].tolist() == [0x079D4E / 2**23, 0x07CE4A / 2**23]


def test_an_rtp_packet_of_two_frames() -> None:
    packet = hext(VECTORS / "rtp_mini_packet.hext")
    assert parse_header(packet) == RtpHeader(97, 0xEE14, 0xA232124C, 0xE9F8D833, 12, 24)
    for length in range(12):
        with pytest.raises(MalformedRtp):
            parse_header(packet[:length])
