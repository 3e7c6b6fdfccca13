"""The Session Announcement Protocol (RFC 2974), as AES67 devices use it. Sans-IO."""

from __future__ import annotations

import enum
import ipaddress
import zlib
from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from ..sdp import decode_sdp

PORT = 9875
GROUPS = ("239.255.255.255", "224.2.127.254")
"""The group of administratively scoped sessions, which every AES67 device uses, and the global one."""
MIME = "application/sdp"
MAX_SDP_BYTES = 16 << 10
"""A longer payload, also after decompression, is refused."""
MAX_SESSIONS = 1024
ANNOUNCE_S = 30
"""How often devices announce; the standard's 300 s is longer than anyone waits."""
EXPIRY_FACTOR = 10
LEAST_EXPIRY_S = 60 * 10
"""A session is forgotten after ten of its own periods of silence, or after this if that is longer (RFC 2974, 4)."""
NS_PER_S = 1_000_000_000
AGAIN_NS = NS_PER_S
"""What comes within this after an announcement is the same one."""

_VERSION_MASK, _VERSION_1 = 0xE0, 0x20
_IPV6, _RESERVED, _DELETION, _ENCRYPTED, _COMPRESSED = 0x10, 0x08, 0x04, 0x02, 0x01


class Reason(enum.StrEnum):
    """Why a packet is no announcement."""

    TRUNCATED = "truncated"
    VERSION = "version"
    ENCRYPTED = "encrypted"
    COMPRESSION = "compression"
    PAYLOAD = "payload"
    """Not a session description, or too long."""


class MalformedSap(ValueError):
    """A packet that is refused."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Announcement(msgspec.Struct, frozen=True):
    """One packet: a session is there, or is gone."""

    origin: str
    """Address of who announces it, IPv4 or IPv6."""
    hash: int
    """msgIdHash, 16 bits; with the origin it names one version of one session."""
    sdp: str
    """The description; a deletion may carry only its o= line, or nothing."""
    deletion: bool = False


def decode(octets: bytes) -> Announcement:
    """Read a packet. Raises MalformedSap."""
    if len(octets) < 8:
        raise MalformedSap(Reason.TRUNCATED, f"{len(octets)} octets are no SAP packet")
    flags = octets[0]
    if flags & _VERSION_MASK != _VERSION_1:
        raise MalformedSap(Reason.VERSION, f"version {flags >> 5} is not 1")
    address_bytes = 16 if flags & _IPV6 else 4
    begin = 4 + address_bytes + 4 * octets[1]  # authentication data is skipped: nobody signs
    if len(octets) < begin:
        raise MalformedSap(Reason.TRUNCATED, "it ends within its header")
    if flags & _ENCRYPTED:
        raise MalformedSap(Reason.ENCRYPTED, "it is encrypted")
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
        raise MalformedSap(Reason.COMPRESSION, f"its payload is not zlib: {error}") from None
    if len(text) <= MAX_SDP_BYTES and not inflater.eof:
        raise MalformedSap(Reason.COMPRESSION, "its zlib payload is cut off")
    return text


def _description(payload: bytes, *, deletion: bool) -> str:
    if len(payload) > MAX_SDP_BYTES:
        raise MalformedSap(Reason.PAYLOAD, f"its payload is longer than {MAX_SDP_BYTES >> 10} KiB")
    # The payload type may be left out where the description begins at once (RFC 2974, 6).
    if payload[:3] != b"v=0" and not (deletion and payload[:2] in (b"o=", b"")):
        kind, zero, rest = payload.partition(b"\0")
        if not zero or kind.decode("latin-1").strip().lower() != MIME:
            raise MalformedSap(Reason.PAYLOAD, "it carries no session description")
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


class Change(msgspec.Struct, frozen=True):
    """What an announcement, or the time, did to the table."""

    kind: str
    """``added``, ``changed``, ``deleted`` or ``expired``."""
    session: KnownSession


class KnownSession(msgspec.Struct, frozen=True):
    """A session that is announced."""

    key: str
    """What stays the same through its versions: user, session id and address of its o= line."""
    sdp: str
    origin: str
    hash: int
    heard_ns: int
    period_ns: int
    """How often it is announced, as far as has been seen."""
    since_ns: int
    """When it was first announced in these words, with none others since."""

    @property
    def repeated(self) -> bool:
        """Whether it was announced again in the same words: not by both groups, or doubled on its way."""
        return self.heard_ns - self.since_ns >= AGAIN_NS


class SessionTable:
    """The sessions that are announced on a network, by their o= lines. Bounded: the longest silent one goes."""

    def __init__(self) -> None:
        self.changes = 0
        """How often anything has changed: who saw this number has seen the table."""
        self._sessions: OrderedDict[str, KnownSession] = OrderedDict()

    def __iter__(self) -> Iterator[KnownSession]:
        return iter(self._sessions.values())

    def heard(self, announcement: Announcement, now_ns: int) -> Change | None:
        """Take in an announcement. Returns what it changed, if anything."""
        if announcement.deletion:
            return self._delete(announcement)
        key = origin_key(announcement.sdp) or f"{announcement.origin} {announcement.hash}"
        before = self._sessions.pop(key, None)
        period = now_ns - before.heard_ns if before is not None else ANNOUNCE_S * NS_PER_S
        same = before is not None and before.sdp == announcement.sdp
        session = KnownSession(
            key=key,
            sdp=announcement.sdp,
            origin=announcement.origin,
            hash=announcement.hash,
            heard_ns=now_ns,
            period_ns=max(period, NS_PER_S),
            since_ns=before.since_ns if before is not None and same else now_ns,
        )
        self._sessions[key] = session
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        if before is not None and same:
            self.changes += session.repeated and not before.repeated
            return None
        self.changes += 1
        return Change("added" if before is None else "changed", session)

    def expire(self, now_ns: int) -> list[Change]:
        """Forget what has been silent for too long."""
        gone = [
            session
            for session in self._sessions.values()
            if now_ns - session.heard_ns > max(EXPIRY_FACTOR * session.period_ns, LEAST_EXPIRY_S * NS_PER_S)
        ]
        for session in gone:
            del self._sessions[session.key]
        self.changes += len(gone)
        return [Change("expired", session) for session in gone]

    def _delete(self, announcement: Announcement) -> Change | None:
        # Only whoever announces a session may end it: a deletion counts for its own origin (RFC 2974, 4 and 5).
        key = origin_key(announcement.sdp)
        for session in self._sessions.values():
            same = session.key == key if key else session.hash == announcement.hash
            if same and session.origin == announcement.origin:
                del self._sessions[session.key]
                self.changes += 1
                return Change("deleted", session)
        return None


def origin_key(sdp: str) -> str:
    """User, session id and address of a description's o= line; empty where there is none (RFC 8866, 5.2)."""
    for line in sdp.splitlines():
        if line.startswith("o="):
            words = line[2:].split()
            return " ".join((*words[:2], *words[3:])) if len(words) >= 6 else line[2:].strip()
    return ""
