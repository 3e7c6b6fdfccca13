"""The Session Announcement Protocol (RFC 2974), as AES67 devices use it. Sans-IO."""

from __future__ import annotations

import enum
import ipaddress
import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterator

import msgspec

from ..sdp import decode_sdp, printable_text

PORT = 9875
GROUPS = ("239.255.255.255", "224.2.127.254")
"""The group of administratively scoped sessions, which every AES67 device uses, and the global one."""
MIME = "application/sdp"
MAX_SDP_BYTES = 16 << 10
"""A longer payload, also after decompression, is refused."""
MAX_SESSIONS = 1024
ANNOUNCE_S = 30
"""How often devices announce; the 300 s of the standard are too long for users."""
EXPIRY_FACTOR = 10
LEAST_EXPIRY_S = 60 * 10
"""A session is forgotten after ten of its own periods of silence, or after this if that is longer (RFC 2974, 4)."""
NS_PER_S = 1_000_000_000
AGAIN_NS = NS_PER_S
"""An announcement within this time after another one is the same one, by the other group."""
TAKE_OVER_PERIODS = 3
"""Periods of silence of a host after which another host may announce its session."""

_VERSION_MASK, _VERSION_1 = 0xE0, 0x20
_IPV6, _RESERVED, _DELETION, _ENCRYPTED, _COMPRESSED = 0x10, 0x08, 0x04, 0x02, 0x01


class SapRejection(enum.StrEnum):
    """Why a packet is not an announcement."""

    TRUNCATED = "truncated"
    VERSION = "version"
    ENCRYPTED = "encrypted"
    COMPRESSION = "compression"
    PAYLOAD = "payload"
    """Not a session description, or too long."""


class MalformedSap(ValueError):
    """A packet that is not a usable announcement."""

    def __init__(self, reason: SapRejection, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Announcement(msgspec.Struct, frozen=True):
    """One packet: a session is there, or is gone."""

    origin: str
    """Originating source, an IPv4 or IPv6 address."""
    hash: int
    """msgIdHash, 16 bits; with the origin it names one version of one session."""
    sdp: str
    """The description; a deletion may carry only its o= line, or nothing."""
    deletion: bool = False


def decode(octets: bytes) -> Announcement:
    """Read a packet. Raises MalformedSap."""
    if len(octets) < 8:
        raise MalformedSap(SapRejection.TRUNCATED, f"{len(octets)} octets are no SAP packet")
    flags = octets[0]
    if flags & _VERSION_MASK != _VERSION_1:
        raise MalformedSap(SapRejection.VERSION, f"version {flags >> 5} is not 1")
    address_bytes = 16 if flags & _IPV6 else 4
    begin = 4 + address_bytes + 4 * octets[1]  # authentication data is skipped: no device signs
    if len(octets) < begin:
        raise MalformedSap(SapRejection.TRUNCATED, "it ends within its header")
    if flags & _ENCRYPTED:
        raise MalformedSap(SapRejection.ENCRYPTED, "it is encrypted")
    origin = ipaddress.ip_address(octets[4 : 4 + address_bytes])
    payload = octets[begin:]
    if flags & _COMPRESSED:
        payload = _inflate(payload)
    return Announcement(
        origin=str(origin),
        hash=int.from_bytes(octets[2:4], "big"),
        sdp=_description(payload, deletion=bool(flags & _DELETION)),
        deletion=bool(flags & _DELETION),
    )


def _inflate(payload: bytes) -> bytes:
    # Bounded, so that a small packet cannot fill the memory. The payload type may stand outside (RFC 2974, 6).
    if payload[: len(MIME) + 1] == MIME.encode() + b"\0":
        payload = payload[len(MIME) + 1 :]
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(payload, MAX_SDP_BYTES + 1)
    except zlib.error as error:
        raise MalformedSap(SapRejection.COMPRESSION, f"its payload is not zlib: {error}") from None
    if len(text) <= MAX_SDP_BYTES and not inflater.eof:
        raise MalformedSap(SapRejection.COMPRESSION, "its zlib payload is cut off")
    return text


def _description(payload: bytes, *, deletion: bool) -> str:
    if len(payload) > MAX_SDP_BYTES:
        raise MalformedSap(SapRejection.PAYLOAD, f"its payload is longer than {MAX_SDP_BYTES >> 10} KiB")
    # The payload type may be left out where the description begins at once (RFC 2974, 6).
    if payload[:3] != b"v=0" and not (deletion and payload[:2] in (b"o=", b"")):
        kind, zero, rest = payload.partition(b"\0")
        if not zero or kind.decode("latin-1").strip().lower() != MIME:
            raise MalformedSap(SapRejection.PAYLOAD, "it carries no session description")
        payload = rest
    return decode_sdp(payload)


def encode(announcement: Announcement) -> bytes:
    """Write a packet, uncompressed."""
    origin = ipaddress.ip_address(announcement.origin)
    flags = _VERSION_1 | _IPV6 * (origin.version == 6) | _DELETION * announcement.deletion
    head = bytes([flags, 0]) + announcement.hash.to_bytes(2, "big") + origin.packed
    return head + MIME.encode() + b"\0" + announcement.sdp.encode()


def message_hash(sdp: str) -> int:
    """The msgIdHash of a description: another one for every version of it, and never zero."""
    return zlib.crc32(sdp.encode()) % 0xFFFF + 1


class AnnouncedSession(msgspec.Struct, frozen=True):
    """A session that is announced."""

    key: str
    """What stays the same through its versions; see `session_key`."""
    name: str
    """Its s= line, printable."""
    version: int
    sdp: str
    origin: str
    """Originating source of the SAP header."""
    source: str
    """Source address of its UDP packets; empty where unknown."""
    hash: int
    last_ns: int
    """When it was announced last."""
    period_ns: int
    """How often it is announced, as far as has been seen."""
    since_ns: int
    """When this text was first announced, with no other text since."""

    @property
    def repeated(self) -> bool:
        """Whether the same text was announced again: not by both groups, or doubled on its way."""
        return self.last_ns - self.since_ns >= AGAIN_NS


class SapChange(msgspec.Struct, frozen=True):
    """What an announcement, or the time, did to the table."""

    kind: str
    """``added``, ``changed``, ``deleted``, ``expired``, or ``disputed``: see `SessionTable.apply_announcement`."""
    session: AnnouncedSession


class SessionTable:
    """The sessions that are announced on a network. Bounded: see `_evict`."""

    def __init__(self) -> None:
        self.changes = 0
        """How often anything has changed: a reader that knows this number knows the table."""
        self.disputes = 0
        """SapSender of a session that another host announces, and did not delete."""
        self._sessions: OrderedDict[str, AnnouncedSession] = OrderedDict()
        """By key, the one that was announced last at the end."""
        self._by_source: Counter[str] = Counter()
        """How many sessions each host announces."""

    def __iter__(self) -> Iterator[AnnouncedSession]:
        return iter(self._sessions.values())

    def apply_announcement(self, announcement: Announcement, now_ns: int, source: str = "") -> SapChange | None:
        """Apply an announcement that came from the UDP address ``source``. Returns what it changed, if anything.

        A session is modified and deleted only by the host that announced it: the same originating source and the same
        UDP source (RFC 2974, 5). A modification by another host is ``disputed``: it changes nothing, as long as the
        first host has not been silent for `TAKE_OVER_PERIODS`. The same text from another host is no modification.
        """
        if announcement.deletion:
            return self._delete(announcement, source)
        key = self._key(announcement)
        before = self._sessions.get(key)
        same = before is not None and before.sdp == announcement.sdp
        if before is not None and (before.origin, before.source) != (announcement.origin, source):
            silent_ns = now_ns - before.last_ns
            if silent_ns <= TAKE_OVER_PERIODS * max(before.period_ns, ANNOUNCE_S * NS_PER_S):
                if same:
                    return None
                self.disputes += 1
                return SapChange("disputed", _session(key, announcement, source, now_ns, before=None))
        self._remove(key)
        session = _session(key, announcement, source, now_ns, before=before)
        self._sessions[key] = session
        self._by_source[_host(session)] += 1
        if len(self._sessions) > MAX_SESSIONS:
            self._evict()
        if before is not None and same:
            self.changes += session.repeated and not before.repeated
            return None
        self.changes += 1
        return SapChange("added" if before is None else "changed", session)

    def expire(self, now_ns: int) -> list[SapChange]:
        """Forget sessions that have been silent for too long."""
        gone = [
            session
            for session in self._sessions.values()
            if now_ns - session.last_ns > max(EXPIRY_FACTOR * session.period_ns, LEAST_EXPIRY_S * NS_PER_S)
        ]
        for session in gone:
            self._remove(session.key)
        self.changes += len(gone)
        return [SapChange("expired", session) for session in gone]

    def _key(self, announcement: Announcement) -> str:
        # Senders have been seen that give every session the same o= line: another name is then another session.
        key = session_key(announcement.sdp) or f"{announcement.origin} {announcement.hash}"
        name = session_name(announcement.sdp)
        named = f"{key} {name}"
        before = self._sessions.get(key)
        is_other = before is not None and before.name != name and before.version == session_version(announcement.sdp)
        return named if is_other or named in self._sessions else key

    def _delete(self, announcement: Announcement, source: str) -> SapChange | None:
        key = self._key(announcement) if session_key(announcement.sdp) else ""
        for session in self._sessions.values():
            same = session.key == key if key else session.hash == announcement.hash
            if same and (session.origin, session.source) == (announcement.origin, source):
                self._remove(session.key)
                self.changes += 1
                return SapChange("deleted", session)
        return None

    def _remove(self, key: str) -> None:
        session = self._sessions.pop(key, None)
        if session is not None:
            host = _host(session)
            self._by_source[host] -= 1
            if not self._by_source[host]:
                del self._by_source[host]

    def _evict(self) -> None:
        # Of the host with the most sessions, one that was announced once rather than one that is repeated, and of
        # these the one that has been silent for longest: a flood of sessions evicts itself.
        host, count = max(self._by_source.items(), key=lambda item: item[1])
        victim = None
        for session in self._sessions.values():
            if count == 1 or _host(session) == host:
                victim = victim or session
                if not session.repeated:
                    victim = session
                    break
        if victim is not None:
            self._remove(victim.key)


def _host(session: AnnouncedSession) -> str:
    return session.source or session.origin


def _session(
    key: str, announcement: Announcement, source: str, now_ns: int, *, before: AnnouncedSession | None
) -> AnnouncedSession:
    period = now_ns - before.last_ns if before is not None else ANNOUNCE_S * NS_PER_S
    same = before is not None and before.sdp == announcement.sdp
    return AnnouncedSession(
        key=key,
        name=session_name(announcement.sdp),
        version=session_version(announcement.sdp),
        sdp=announcement.sdp,
        origin=announcement.origin,
        source=source,
        hash=announcement.hash,
        last_ns=now_ns,
        period_ns=max(period, NS_PER_S),
        since_ns=before.since_ns if before is not None and same else now_ns,
    )


def session_key(sdp: str) -> str:
    """What stays the same through the versions of a session; empty where there is no o= line.

    User, session id and address of the o= line (RFC 8866, 5.2); where the id is 0, also the name of the session (ffmpeg
    writes ``o=- 0 0 IN IP4 127.0.0.1`` for each of its sessions).
    """
    line = _line(sdp, "o")
    words = line.split()
    if len(words) < 6:
        return line
    key = " ".join((*words[:2], *words[3:6]))
    return f"{key} {session_name(sdp)}" if words[1].strip("0") == "" else key


def session_name(sdp: str) -> str:
    """The s= line of a description, printable, with single spaces."""
    return " ".join(printable_text(_line(sdp, "s")).split())


def session_version(sdp: str) -> int:
    """sess-version of the o= line (RFC 8866, 5.2); 0 where there is none."""
    words = _line(sdp, "o").split()
    return int(words[2]) if len(words) >= 3 and words[2].isascii() and words[2].isdigit() and len(words[2]) < 21 else 0


def _line(sdp: str, kind: str) -> str:
    return next((line[2:].strip() for line in sdp.splitlines() if line.startswith(f"{kind}=")), "")
