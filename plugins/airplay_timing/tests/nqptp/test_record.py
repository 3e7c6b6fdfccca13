"""The shared memory, octet by octet, and how a reader takes it."""

from __future__ import annotations

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_airplay_timing.nqptp.nqptp_record import (
    FIRST,
    SECOND,
    SIZE,
    MemoryNotServed,
    NqptpRecord,
    encode_version,
    read,
)

RECORD = NqptpRecord(clock=0x52737EC2E7650008, local_ns=7_000_000_000, offset_ns=-5, since_ns=6_000_000_000)
U64 = st.integers(0, 2**64 - 1)
ORDER = sys.byteorder


def memory(first: bytes, second: bytes, version: int = 10) -> bytes:
    return encode_version(version).ljust(FIRST.start, b"\0") + first + second


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="offsets are those of systems of 64 bits")
def test_where_everything_is() -> None:
    whole = memory(RECORD.encode(), RECORD.encode())
    assert (SIZE, FIRST, SECOND, len(whole)) == (72, slice(8, 40), slice(40, 72), 72)
    fields = {
        0: (2, 10),
        2: (6, 0),
        8: (8, 0x52737EC2E7650008),
        16: (8, 7_000_000_000),
        24: (8, 2**64 - 5),
        32: (8, 6_000_000_000),
        40: (8, 0x52737EC2E7650008),
        48: (8, 7_000_000_000),
        56: (8, 2**64 - 5),
        64: (8, 6_000_000_000),
    }
    for offset, (octets, value) in fields.items():
        assert int.from_bytes(whole[offset : offset + octets], ORDER) == value, offset


def test_an_unknown_time_is_all_zero() -> None:
    assert NqptpRecord().encode() == bytes(32)


@given(U64, U64, st.integers(-(2**63), 2**63 - 1), U64)
def test_what_is_written_is_read(clock: int, local_ns: int, offset_ns: int, since_ns: int) -> None:
    record = NqptpRecord(clock=clock, local_ns=local_ns, offset_ns=offset_ns, since_ns=since_ns)
    assert read(lambda: memory(record.encode(), record.encode())) == record


def test_a_writer_that_is_in_the_way_is_waited_for_but_not_for_ever() -> None:
    old, new = NqptpRecord(clock=1).encode(), RECORD.encode()
    under_way = memory(new, old)
    copies = iter([under_way] * 6 + [memory(new, new)] * 2)
    assert read(lambda: next(copies)) == RECORD
    assert read(lambda: under_way) is None


@pytest.mark.parametrize(
    ("data", "said"), [(bytes(72), "version 0"), (memory(bytes(32), bytes(32), 9), "version 9"), (b"x", "1 octets")]
)
def test_what_is_not_served(data: bytes, said: str) -> None:
    with pytest.raises(MemoryNotServed, match=said):
        read(lambda: data)


@pytest.mark.skipif(ORDER != "little" or SIZE != 72, reason="the octets are those of systems of 64 bits, little endian")
def test_octets_that_do_not_come_from_here() -> None:
    one = "080065e7c27e735200ca9a3b0000000052e4d6956e0e09000065cd1d00000000"
    record = NqptpRecord(clock=0x52737EC2E7650008, local_ns=10**9, offset_ns=2549142913475666, since_ns=5 * 10**8)
    assert memory(record.encode(), record.encode()).hex() == "0a00000000000000" + 2 * one
