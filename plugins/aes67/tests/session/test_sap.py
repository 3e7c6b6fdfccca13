"""Session announcements, byte by byte (RFC 2974)."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_aes67.session import sap
from phasegraph_aes67.session.sap import Announcement, MalformedSap, Reason, SessionTable, decode, encode

HEAD = bytes.fromhex("20004f50 c0a80a0a")
S = 1_000_000_000
SDP = "v=0\r\no=- 77 1 IN IP4 192.168.10.10\r\ns=desk\r\n"


def packet(flags: int, payload: bytes, *, auth: bytes = b"") -> bytes:
    return bytes([flags, len(auth) // 4]) + HEAD[2:] + auth + payload


READ = {
    "as devices send it": packet(0x20, b"application/sdp\0v=0\r\n"),
    "no payload type": packet(0x20, b"v=0\r\n"),
    "with authentication data": packet(0x20, b"application/sdp\0v=0\r\n", auth=b"12345678"),
    "compressed, payload type outside": packet(0x21, b"application/sdp\0" + zlib.compress(b"v=0\r\n")),
    "compressed altogether": packet(0x21, zlib.compress(b"application/sdp\0v=0\r\n")),
    "type in capitals": packet(0x20, b"Application/SDP\0v=0\r\n"),
}


@pytest.mark.parametrize("octets", READ.values(), ids=READ)
def test_read(octets: bytes) -> None:
    assert decode(octets) == Announcement("192.168.10.10", 0x4F50, "v=0\r\n")


def test_ipv6_origin() -> None:
    octets = bytes.fromhex("3000c6d3 20010db885a3000000008a2e03707334") + b"v=0\r\n"
    assert decode(octets).origin == "2001:db8:85a3::8a2e:370:7334"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (HEAD[:7], Reason.TRUNCATED),
        (bytes([0x20, 200]) + HEAD[2:] + b"v=0", Reason.TRUNCATED),
        (bytes([0x30]) + HEAD[1:], Reason.TRUNCATED),
        (bytes([0x40]) + HEAD[1:] + b"v=0", Reason.VERSION),
        (packet(0x22, b"v=0"), Reason.ENCRYPTED),
        (packet(0x21, b"not zlib"), Reason.COMPRESSION),
        (packet(0x21, zlib.compress(b"v=0" * 100)[:-4]), Reason.COMPRESSION),
        (packet(0x21, zlib.compress(b"v=0" + bytes(1 << 20))), Reason.PAYLOAD),
        (packet(0x20, b"application/foobar\0v=0"), Reason.PAYLOAD),
        (HEAD, Reason.PAYLOAD),
        (packet(0x20, b"v=0" + bytes(1 << 16)), Reason.PAYLOAD),
    ],
)
def test_refused(octets: bytes, reason: Reason) -> None:
    with pytest.raises(MalformedSap) as refusal:
        decode(octets)
    assert refusal.value.reason is reason


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(octets: bytes) -> None:
    try:
        announcement = decode(octets)
    except MalformedSap:
        return
    assert decode(encode(announcement)).sdp == announcement.sdp or announcement.deletion or not announcement.sdp


@given(
    st.builds(
        Announcement,
        st.ip_addresses().map(str),
        st.integers(0, 0xFFFF),
        st.text(max_size=50).map(lambda text: "v=0\r\n" + text),
        st.booleans(),
    )
)
def test_written_and_read(announcement: Announcement) -> None:
    assert decode(encode(announcement)) == announcement


def test_a_session_through_its_versions() -> None:
    table = SessionTable()
    first = Announcement("192.168.10.10", 1, SDP)
    change = table.heard(first, 0)
    assert change is not None
    assert change.kind == "added"
    assert table.heard(first, 30 * S) is None
    second = Announcement("192.168.10.10", 2, SDP.replace("77 1", "77 2") + "a=x\r\n")
    change = table.heard(second, 40 * S)
    assert change is not None
    assert (change.kind, change.session.sdp) == ("changed", second.sdp)
    assert [session.hash for session in table] == [2]


def test_who_may_delete() -> None:
    table = SessionTable()
    table.heard(Announcement("192.168.10.10", 1, SDP), 0)
    assert table.heard(Announcement("192.168.10.99", 1, SDP, deletion=True), 1) is None
    assert table.heard(Announcement("192.168.10.10", 9, "", deletion=True), 1) is None
    change = table.heard(Announcement("192.168.10.10", 1, "", deletion=True), 1)
    assert change is not None
    assert change.kind == "deleted"
    assert list(table) == []


def test_silence_expires_a_session() -> None:
    table = SessionTable()
    table.heard(Announcement("192.168.10.10", 1, SDP), 0)
    assert table.expire(599 * S) == []
    assert [change.kind for change in table.expire(601 * S)] == ["expired"]
    assert list(table) == []
    slow = Announcement("192.168.10.10", 1, SDP)
    table.heard(slow, 0)
    table.heard(slow, 300 * S)  # RFC 2974's own period
    assert table.expire(3299 * S) == []
    assert table.expire(3301 * S) != []


def test_the_table_is_bounded() -> None:
    table = SessionTable()
    for number in range(sap.MAX_SESSIONS + 10):
        table.heard(Announcement("192.0.2.1", 1, SDP.replace("77", str(number))), number)
    sessions = list(table)
    assert len(sessions) == sap.MAX_SESSIONS
    assert sessions[0].heard_ns == 10


def test_every_version_has_its_hash() -> None:
    assert 0 < sap.message_hash(SDP) <= 0xFFFF
    assert sap.message_hash(SDP) != sap.message_hash(SDP.replace("77 1", "77 2"))


def test_what_is_announced_again_is_news_once() -> None:
    table = SessionTable()
    old, new = (Announcement("192.168.10.10", n, SDP.replace("77 1", f"77 {n}")) for n in (1, 2))
    seen = []
    for at_s, announcement in ((0, old), (0, old), (30, old), (60, old), (90, new), (90, new), (91, old), (95, new)):
        before = table.changes
        table.heard(announcement, at_s * S)
        (session,) = table
        seen.append((table.changes > before, session.repeated))
    assert seen == [
        (True, False),
        (False, False),  # the other group's copy
        (True, True),
        (False, True),
        (True, False),
        (False, False),
        (True, False),
        (True, False),
    ]
