"""Session announcements, byte by byte (RFC 2974)."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_aes67.session import sap
from phasegraph_aes67.session.sap import Announcement, MalformedSap, SapRejection, SessionTable, decode, encode

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
        (HEAD[:7], SapRejection.TRUNCATED),
        (bytes([0x20, 200]) + HEAD[2:] + b"v=0", SapRejection.TRUNCATED),
        (bytes([0x30]) + HEAD[1:], SapRejection.TRUNCATED),
        (bytes([0x40]) + HEAD[1:] + b"v=0", SapRejection.VERSION),
        (packet(0x22, b"v=0"), SapRejection.ENCRYPTED),
        (packet(0x21, b"not zlib"), SapRejection.COMPRESSION),
        (packet(0x21, zlib.compress(b"v=0" * 100)[:-4]), SapRejection.COMPRESSION),
        (packet(0x21, zlib.compress(b"v=0" + bytes(1 << 20))), SapRejection.PAYLOAD),
        (packet(0x20, b"application/foobar\0v=0"), SapRejection.PAYLOAD),
        (HEAD, SapRejection.PAYLOAD),
        (packet(0x20, b"v=0" + bytes(1 << 16)), SapRejection.PAYLOAD),
    ],
)
def test_refused(octets: bytes, reason: SapRejection) -> None:
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
    change = table.apply_announcement(first, 0)
    assert change is not None
    assert change.kind == "added"
    assert table.apply_announcement(first, 30 * S) is None
    second = Announcement("192.168.10.10", 2, SDP.replace("77 1", "77 2") + "a=x\r\n")
    change = table.apply_announcement(second, 40 * S)
    assert change is not None
    assert (change.kind, change.session.sdp) == ("changed", second.sdp)
    assert [session.hash for session in table] == [2]


def test_who_may_delete() -> None:
    table = SessionTable()
    table.apply_announcement(Announcement("192.168.10.10", 1, SDP), 0)
    assert table.apply_announcement(Announcement("192.168.10.99", 1, SDP, deletion=True), 1) is None
    assert table.apply_announcement(Announcement("192.168.10.10", 9, "", deletion=True), 1) is None
    change = table.apply_announcement(Announcement("192.168.10.10", 1, "", deletion=True), 1)
    assert change is not None
    assert change.kind == "deleted"
    assert list(table) == []


def test_silence_expires_a_session() -> None:
    table = SessionTable()
    table.apply_announcement(Announcement("192.168.10.10", 1, SDP), 0)
    assert table.expire(599 * S) == []
    assert [change.kind for change in table.expire(601 * S)] == ["expired"]
    assert list(table) == []
    slow = Announcement("192.168.10.10", 1, SDP)
    table.apply_announcement(slow, 0)
    table.apply_announcement(slow, 300 * S)  # RFC 2974's own period
    assert table.expire(3299 * S) == []
    assert table.expire(3301 * S) != []


def test_the_table_is_bounded() -> None:
    table = SessionTable()
    for number in range(sap.MAX_SESSIONS + 10):
        table.apply_announcement(Announcement("192.0.2.1", 1, SDP.replace("77", str(number))), number)
    sessions = list(table)
    assert len(sessions) == sap.MAX_SESSIONS
    assert sessions[0].last_ns == 10


def test_every_version_has_its_hash() -> None:
    assert 0 < sap.message_hash(SDP) <= 0xFFFF
    assert sap.message_hash(SDP) != sap.message_hash(SDP.replace("77 1", "77 2"))


def test_what_is_announced_again_is_news_once() -> None:
    table = SessionTable()
    old, new = (Announcement("192.168.10.10", n, SDP.replace("77 1", f"77 {n}")) for n in (1, 2))
    seen = []
    for at_s, announcement in ((0, old), (0, old), (30, old), (60, old), (90, new), (90, new), (91, old), (95, new)):
        before = table.changes
        table.apply_announcement(announcement, at_s * S)
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


GOOD = Announcement("192.168.10.10", 1, SDP)


def changed(version: int = 1, *, origin: str = "192.168.10.10", id: int = 77, name: str = "desk") -> Announcement:
    text = SDP.replace("77 1", f"{id} {version}").replace("desk", name)
    return Announcement(origin, sap.message_hash(text), text)


def kinds(table: SessionTable, *announcements: tuple[Announcement, str, int]) -> list[str]:
    changes = [table.apply_announcement(announcement, at_s * S, source) for announcement, source, at_s in announcements]
    return [change.kind if change else "" for change in changes]


def test_only_the_host_that_announced_a_session_modifies_it() -> None:
    table, home, away = SessionTable(), "192.168.10.10", "192.168.10.66"
    assert kinds(
        table,
        (changed(5), home, 0),
        (changed(6, origin=away), away, 1),  # another originating source
        (changed(6), away, 2),  # one that is only written
        (changed(5, origin=away), away, 3),  # the same text, as a proxy repeats it
        (changed(6), home, 4),
    ) == ["added", "disputed", "disputed", "", "changed"]
    assert table.disputes == 2
    assert [(session.origin, session.source, session.version) for session in table] == [(home, home, 6)]


def test_only_the_host_that_announced_a_session_deletes_it() -> None:
    table, home, away = SessionTable(), "192.168.10.10", "192.168.10.66"
    table.apply_announcement(changed(5), 0, home)
    farewell = msgspec.structs.replace(changed(5), deletion=True)
    assert table.apply_announcement(farewell, 1, away) is None
    assert table.apply_announcement(msgspec.structs.replace(farewell, origin=away), 1, home) is None
    gone = table.apply_announcement(farewell, 1, home)
    assert gone is not None
    assert gone.kind == "deleted"


def test_a_host_that_has_been_silent_loses_its_session_to_another() -> None:
    # As a device with a new address, which still writes its old o= line.
    table, old, new = SessionTable(), "192.168.10.10", "192.168.10.20"
    assert kinds(
        table,
        (changed(5, origin=old), old, 0),
        (changed(5, origin=old), old, 30),
        (changed(6, origin=new), new, 60),
        (changed(6, origin=new), new, 119),
        (changed(6, origin=new), new, 121),
        (changed(5, origin=old), old, 122),
    ) == ["added", "", "disputed", "disputed", "changed", "disputed"]


@pytest.mark.parametrize("most", [64, pytest.param(sap.MAX_SESSIONS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("spoofed", [False, True])
def test_a_flood_of_sessions_does_not_evict_a_repeated_one(
    monkeypatch: pytest.MonkeyPatch, spoofed: bool, most: int
) -> None:
    monkeypatch.setattr(sap, "MAX_SESSIONS", most)
    table = SessionTable()
    for n in range(4):
        table.apply_announcement(GOOD, n * 30 * S, "192.168.10.10")
    for n in range(3 * most):
        host = f"10.9.{n // 250 % 250}.{n % 250}" if spoofed else "10.9.9.9"
        table.apply_announcement(changed(id=1000 + n, origin=host), 3600 * S + n, host)
        assert sum(table._by_source.values()) == len(list(table)) <= most
    assert GOOD.sdp in [session.sdp for session in table]


def test_a_flood_that_repeats_itself_evicts_itself() -> None:
    table = SessionTable()
    for n in range(4):
        table.apply_announcement(GOOD, n * 30 * S, "192.168.10.10")
    for at_s in (3600, 3605):
        for n in range(sap.MAX_SESSIONS + 100):
            table.apply_announcement(changed(id=1000 + n, origin="10.9.9.9"), at_s * S + n, "10.9.9.9")
    assert GOOD.sdp in [session.sdp for session in table]


FFMPEG = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns={}\r\nc=IN IP4 239.69.20.{}/4\r\n"


def test_senders_that_give_every_session_one_origin_line() -> None:
    table = SessionTable()
    one, two = (Announcement("10.0.0.1", n, FFMPEG.format(f"Studio {n}", n)) for n in (1, 2))
    assert (
        kinds(table, *((each, "10.0.0.1", at) for at in (0, 5, 10) for each in (one, two))) == ["added"] * 2 + [""] * 4
    )
    assert [session.name for session in table] == ["Studio 1", "Studio 2"]
    # With an address and an id that look well, but are those of all streams of the device.
    table = SessionTable()
    first, second = changed(1, name="left"), changed(1, name="right")
    assert kinds(table, *((each, "192.168.10.10", at) for at in (0, 5) for each in (first, second))) == [
        "added", "added", "", "",
    ]  # fmt: skip
    assert len({session.key for session in table}) == 2
    farewell = msgspec.structs.replace(second, deletion=True)
    assert kinds(table, (farewell, "192.168.10.10", 9)) == ["deleted"]
    assert [session.name for session in table] == ["left"]


def test_a_version_with_another_name_is_the_same_session() -> None:
    table = SessionTable()
    assert kinds(table, (changed(1, name="left"), "a", 0), (changed(2, name="right"), "a", 1)) == ["added", "changed"]
    assert [session.name for session in table] == ["right"]
