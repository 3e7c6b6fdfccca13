"""Integrated security with immediate processing (IEEE 1588-2019, 14.16 and 16.14): the AUTHENTICATION TLV.

    tlvType 0x8009 | lengthField | SPP (1) | secParamIndicator (1) = 0 | keyID (4) | ICV (16)

The ICV is HMAC-SHA256, its first 16 octets, over the message from its header to the keyID; the TLV is the last one of
the message. With ``allow_mutable`` the correctionField counts as zero, so that transparent clocks may write to it. Keys
come from a file in the format of linuxptp 4 (``sa_file``).

What it protects from: messages that no holder of the key has sent, and old messages sent again (the sequence numbers of
a port may not run faster than its messages can). What it does not: a packet that is delayed, and replay to a port whose
grandmaster is silenced at the same time, since sequenceId has 16 bits.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from phasegraph.ieee1588 import (
    Announce,
    Authentication,
    FollowUp,
    MalformedMessage,
    Message,
    MessageType,
    PortIdentity,
    Sync,
    TlvType,
    encode,
)

from .intervals import NS_PER_S, stated_period_ns

ICV_OCTETS = 16
AUTH_REASONS = {
    "auth_missing": "not signed",
    "auth_malformed": "with a malformed signature",
    "auth_parameters": "signed with another spp or another type of key",
    "auth_key": "signed with a key that is not in sa-file",
    "auth_icv": "with a wrong signature: the keys differ, or the message was changed on its way",
    "auth_replay": "sent before (replay)",
}
"""Reasons for dropping a message, and what they mean."""
REORDERED = 8
"""How far behind the newest sequence number a message may be: `SyncPairing` drops a second copy."""
_MOST_PER_S = 128
"""No profile has messages of one type more often."""
_SILENT_NS = 4 * NS_PER_S
_SILENT_INTERVALS = 3
_SENDERS = 64
_CORRECTION = slice(8, 16)
_ALGORITHM = "SHA256-128"


class SecurityAssociation(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of one security parameters pointer (SPP)."""

    spp: int
    keys: Mapping[int, bytes]
    """By keyID."""
    allow_mutable: bool = False


def parse_security_associations(text: str) -> dict[int, SecurityAssociation]:
    """The associations of an sa_file, by SPP. Raises ValueError that names the line; a key is never part of the text.

    A line is ``[security_association]``, ``spp N``, ``allow_mutable 0|1``, ``seqid_window N`` (which is not needed), or
    a key: ``ID SHA256-128 [LENGTH] KEY``, with KEY as it is, or after ``ASCII:``, ``HEX:`` or ``B64:``.
    """
    found: dict[int, SecurityAssociation] = {}
    spp: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if words[0].lower() == "[security_association]":
                spp = None
            elif words[0] == "spp":
                spp = _in_range(int(words[1]), 255)
                if spp in found:
                    raise ValueError(f"spp {spp} is there twice")
                found[spp] = SecurityAssociation(spp=spp, keys={})
            elif spp is None:
                raise ValueError("a line with spp comes first")
            else:
                found[spp] = _with_line(found[spp], words)
        except (ValueError, IndexError) as error:
            readable = isinstance(error, ValueError) and "invalid literal" not in str(error)
            reason = str(error) if readable else "it is not as it should be"
            raise ValueError(f"line {number} of the key file: {reason}") from None
    if not any(association.keys for association in found.values()):
        raise ValueError(f"the key file has no key of the type {_ALGORITHM}")
    return found


def _with_line(association: SecurityAssociation, words: list[str]) -> SecurityAssociation:
    if words[0] == "allow_mutable":
        return msgspec.structs.replace(association, allow_mutable=bool(_in_range(int(words[1]), 1)))
    if words[0] in ("seqnum_length", "res_length"):
        if int(words[1]):
            raise ValueError(f"{words[0]} is not supported: set 0")
        return association
    if words[0] == "seqid_window":
        return association
    id, key = _key(words)
    if id in association.keys:
        raise ValueError(f"key {id} is there twice")
    return msgspec.structs.replace(association, keys={**association.keys, id: key})


def _in_range(value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise ValueError(f"{value} is not from 0 to {most}")
    return value


def _key(words: list[str]) -> tuple[int, bytes]:
    if not 3 <= len(words) <= 4:
        raise ValueError("a key line is: ID TYPE [LENGTH] KEY")
    id = _in_range(int(words[0]), 2**32 - 1)
    if words[1].upper() != _ALGORITHM:
        raise ValueError(f"the type {words[1]} is not supported: use {_ALGORITHM}")
    written = words[-1]
    kind, colon, rest = written.partition(":")
    try:
        if colon and kind == "HEX":
            key = bytes.fromhex(rest)
        elif colon and kind == "B64":
            key = base64.b64decode(rest, validate=True)
        else:
            key = (rest if colon and kind == "ASCII" else written).encode()
    except (ValueError, binascii.Error):
        raise ValueError(f"the key is no {kind}") from None
    if not key or (len(words) == 4 and len(key) != int(words[2])):
        raise ValueError(f"the key has {len(key)} octets")
    return id, key


class _Sequence(msgspec.Struct):
    newest: int
    at_ns: int
    silent_ns: int


class Authenticator:
    """Signs what one instance sends, and checks what it receives, with the keys of one association."""

    def __init__(self, association: SecurityAssociation, active_key_id: int | None = None) -> None:
        """``active_key_id`` signs; left out, the least. Raises ValueError for a key that is not there."""
        self._association = association
        self._active = min(association.keys) if active_key_id is None else active_key_id
        if self._active not in association.keys:
            raise ValueError(f"spp {association.spp} has no key {self._active}")
        self._sequences: OrderedDict[tuple[PortIdentity, MessageType], _Sequence] = OrderedDict()

    def sign(self, message: Message) -> bytes:
        """The octets of a message, with the TLV as its last."""
        tlv = Authentication(self._association.spp, 0, self._active, bytes(ICV_OCTETS)).to_tlv()
        octets = encode(msgspec.structs.replace(message, tlvs=(*message.tlvs, tlv)))
        return octets[:-ICV_OCTETS] + self._icv(octets, self._active)

    def refusal(self, message: Message, datagram: bytes, now_ns: int) -> str | None:
        """Why a message is not to be used, as a reason for dropping it; None if it is authentic and new."""
        if not message.tlvs or message.tlvs[-1].type != TlvType.AUTHENTICATION:
            return "auth_missing"
        try:
            tlv = Authentication.from_tlv(message.tlvs[-1])
        except MalformedMessage:
            return "auth_malformed"
        if tlv.spp != self._association.spp or tlv.security_parameters or len(tlv.icv) != ICV_OCTETS:
            return "auth_parameters"
        if tlv.key_id not in self._association.keys:
            return "auth_key"
        octets = datagram[: int.from_bytes(datagram[2:4], "big")]
        if not hmac.compare_digest(self._icv(octets, tlv.key_id), tlv.icv):
            return "auth_icv"
        if isinstance(message, Announce | Sync | FollowUp) and self._is_replayed(message, now_ns):
            return "auth_replay"
        return None

    def _icv(self, octets: bytes, key_id: int) -> bytes:
        covered = bytearray(octets[:-ICV_OCTETS])
        if self._association.allow_mutable:
            covered[_CORRECTION] = bytes(8)
        return hmac.digest(self._association.keys[key_id], covered, "sha256")[:ICV_OCTETS]

    def _is_replayed(self, message: Message, now_ns: int) -> bool:
        key = message.source, message.type
        silent_ns = max(_SILENT_NS, _SILENT_INTERVALS * (stated_period_ns(message.log_interval) or 0))
        known = self._sequences.get(key)
        if known is None or now_ns - known.at_ns > known.silent_ns:
            self._sequences[key] = _Sequence(message.sequence, now_ns, silent_ns)
            self._sequences.move_to_end(key)
            if len(self._sequences) > _SENDERS:
                self._sequences.popitem(last=False)
            return False
        ahead = (message.sequence - known.newest) & 0xFFFF
        if ahead > 0xFFFF - REORDERED and not isinstance(message, Announce):
            return False
        if ahead == 0:
            return True
        if ahead > REORDERED + (now_ns - known.at_ns) * _MOST_PER_S // NS_PER_S:
            return True
        known.newest, known.at_ns, known.silent_ns = message.sequence, now_ns, silent_ns
        return False
