"""The AUTHENTICATION TLV: own vectors, what is refused, the file of keys, and replay."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph.ieee1588 import FollowUp, Message, PathTrace, PortIdentity, Sync, decode, encode
from phasegraph_ptp.protocol import Settings
from phasegraph_ptp.protocol.authentication import (
    Authenticator,
    SecurityAssociation,
    parse_security_associations,
)

from .bench import GM, S, announce

KEY = b"a secret of the studio"
SA = SecurityAssociation(spp=3, keys={7: KEY, 9: b"the next one"})
# A Sync of 02-..-AA/1 with sequence 258 and -3 as its interval, written by hand; then TLV 0x8009 of 22 octets.
SYNC = bytes.fromhex(
    "0002 0046 00 00 0200 0000000000000000 00000000 02000000000000aa 0001 0102 00 fd 00000000000000000000".replace(
        " ", ""
    )
)
TLV = bytes.fromhex("8009 0016 03 00 00000007".replace(" ", ""))


def signed_by_hand(covered: bytes, key: bytes = KEY) -> bytes:
    return covered + hmac.new(key, covered, hashlib.sha256).digest()[:16]


def sync(sequence: int = 0x0102, **fields: int) -> Sync:
    return Sync(source=GM, sequence=sequence, flags=0x0200, log_interval=-3, **fields)


def refused(authenticator: Authenticator, datagram: bytes, now_ns: int = 0) -> str | None:
    return authenticator.refusal(decode(datagram), datagram, now_ns)


def test_the_octets_are_those_of_the_standard() -> None:
    assert Authenticator(SA).sign(sync()) == signed_by_hand(SYNC + TLV)
    assert refused(Authenticator(SA), signed_by_hand(SYNC + TLV)) is None
    # openssl dgst -sha256 -mac HMAC -macopt key:... of the 54 octets before
    assert Authenticator(SA).sign(sync())[-16:].hex() == "3bf74165ecc546fddb5962a5c54d43b5"


def test_octets_after_the_message_are_not_part_of_it() -> None:
    assert refused(Authenticator(SA), signed_by_hand(SYNC + TLV) + b"\0\0") is None


@pytest.mark.parametrize(
    "message",
    [sync(), announce(tlvs=(PathTrace((1, 2)).to_tlv(),)), FollowUp(source=GM, sequence=1, precise_origin_ns=5)],
)
def test_what_one_signs_the_other_accepts_and_every_changed_octet_is_noticed(message: Message) -> None:
    datagram = Authenticator(SA, 9).sign(message)
    assert refused(Authenticator(SA), datagram) is None
    for place in range(len(datagram)):
        changed = bytearray(datagram)
        changed[place] ^= 1
        try:
            assert refused(Authenticator(SA), bytes(changed)) is not None
        except ValueError:
            continue  # no PTP message any more


def test_a_transparent_clock_may_write_the_correction_where_that_is_allowed() -> None:
    mutable = SecurityAssociation(spp=3, keys={7: KEY}, allow_mutable=True)
    datagram = bytearray(Authenticator(mutable).sign(sync(correction=77)))
    datagram[8:16] = (5 << 16).to_bytes(8, "big")
    assert refused(Authenticator(mutable), bytes(datagram)) is None
    assert refused(Authenticator(SA), bytes(datagram)) == "auth_icv"


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (encode(sync()), "auth_missing"),
        (encode(announce(tlvs=(PathTrace((1,)).to_tlv(),))), "auth_missing"),
        (Authenticator(SecurityAssociation(spp=4, keys={7: KEY})).sign(sync()), "auth_parameters"),
        (Authenticator(SecurityAssociation(spp=3, keys={8: KEY})).sign(sync()), "auth_key"),
        (Authenticator(SecurityAssociation(spp=3, keys={7: b"other"})).sign(sync()), "auth_icv"),
        (SYNC[:3] + bytes([44 + 8]) + SYNC[4:] + bytes.fromhex("8009000403000000"), "auth_malformed"),
        (SYNC[:3] + bytes([44 + 12]) + SYNC[4:] + bytes.fromhex("800900080300000000070000"), "auth_parameters"),
    ],
)
def test_what_is_refused(datagram: bytes, reason: str) -> None:
    assert refused(Authenticator(SA), datagram) == reason


def replayed(authenticator: Authenticator, message: Message, now_ns: int) -> bool:
    reason = refused(authenticator, Authenticator(SA).sign(message), now_ns)
    assert reason in (None, "auth_replay")
    return reason is not None


def test_old_messages_that_are_sent_again_are_noticed() -> None:
    checks = Authenticator(SA)
    for number in range(400):
        assert not replayed(checks, sync((65_300 + number) & 0xFFFF), number * S // 8)
    now = 400 * S // 8
    assert not replayed(checks, sync((65_300 + 398) & 0xFFFF), now)  # late, which the pairing sorts out
    assert replayed(checks, sync((65_300 + 399) & 0xFFFF), now)
    assert replayed(checks, sync((65_300 + 300) & 0xFFFF), now)
    assert replayed(checks, sync((65_300 + 399 + 2_000) & 0xFFFF), now)  # ahead of what it can have sent
    assert not replayed(checks, sync((65_300 + 405) & 0xFFFF), now)
    assert not replayed(checks, sync(17), now + 5 * S)  # it was away, and begins with another number


def test_the_last_announce_sent_again_does_not_keep_a_dead_grandmaster_alive() -> None:
    checks = Authenticator(SA)
    for number in range(5):
        assert not replayed(checks, announce(sequence=number), number * S)
    assert replayed(checks, announce(sequence=4), 5 * S)
    assert replayed(checks, announce(sequence=3), 5 * S)
    assert not replayed(checks, announce(sequence=6), 6 * S)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 0xFFFF)), max_size=200))
def test_memory_is_bounded(senders: list[tuple[int, int]]) -> None:
    checks = Authenticator(SA)
    for clock, sequence in senders:
        message = announce(PortIdentity(clock, 1), sequence=sequence)
        datagram = Authenticator(SA).sign(message)
        checks.refusal(message=decode(datagram), datagram=datagram, now_ns=0)
    assert len(checks._sequences) <= 64


FILE = """
# as linuxptp writes it
[security_association]
spp 1
seqid_window 3
allow_mutable 1
1 SHA256-128 6 ASCII:secret
2 SHA256-128 HEX:00ff10
[security_association]
spp 2
5 sha256-128 B64:AAECAw==
6 SHA256-128 plain
"""


def test_a_file_of_keys() -> None:
    found = parse_security_associations(FILE)
    assert found[1] == SecurityAssociation(spp=1, keys={1: b"secret", 2: b"\x00\xff\x10"}, allow_mutable=True)
    assert found[2].keys == {5: b"\0\1\2\3", 6: b"plain"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no key of the type SHA256-128"),
        ("1 SHA256-128 top-secret", "line 1 of the key file: a line with spp comes first"),
        ("spp 256", "256 is not from 0 to 255"),
        ("spp x", "line 1 of the key file: it is not as it should be"),
        ("spp 1\nspp 1", "line 2 of the key file: spp 1 is there twice"),
        ("spp 1\n1 AES128 top-secret", "the type AES128 is not supported"),
        ("spp 1\n1 SHA256-128 7 top-secret", "the key has 10 octets"),
        ("spp 1\n1 SHA256-128 HEX:top-secret", "the key is no HEX"),
        ("spp 1\n1 SHA256-128 a\n1 SHA256-128 b", "key 1 is there twice"),
        ("spp 1\nseqnum_length 4", "seqnum_length is not supported"),
        ("spp 1\ntop-secret SHA256-128 top-secret", "it is not as it should be"),
    ],
)
def test_files_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        parse_security_associations(text)
    assert reason in str(caught.value)
    assert "top-secret" not in str(caught.value)


def test_a_key_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="spp 3 has no key 8"):
        Authenticator(SA, 8)
    assert Settings().master_only is False
