"""The shared memory of nqptp's interface version 10, octet by octet. There is no lock in it; order does it all.

It holds one record twice. The writer writes the first, and then the second, so that a reader who copies everything
twice, and finds the first record of the first copy equal to the second record of the second copy, has a whole one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

VERSION = 10
_TRIES = 9
_VERSION = struct.Struct("@H")
_RECORD = struct.Struct("@4Q")
SIZE = struct.calcsize("@H8Q")
"""72 octets where 64-bit integers are aligned to 8, that is everywhere but on 32-bit x86 (68)."""
FIRST = slice(SIZE - 2 * _RECORD.size, SIZE - _RECORD.size)
"""The first record; the second follows."""
SECOND = slice(FIRST.stop, SIZE)
_MASK = 2**64 - 1


class NqptpRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The leader's time. All zero: unknown."""

    clock: int = 0
    """Identity of the grandmaster."""
    local_ns: int = 0
    """Local time (CLOCK_MONOTONIC_RAW) that this is for."""
    offset_ns: int = 0
    """The leader's time less local time."""
    since_ns: int = 0
    """Local time since which it is this grandmaster's time, without a step: readers wait until that is 0.4 s ago."""

    def encode(self) -> bytes:
        """The octets of one of the two records."""
        return _RECORD.pack(self.clock, self.local_ns, self.offset_ns & _MASK, self.since_ns)


class MemoryNotServed(Exception):
    """The memory is not served, or has another version of the interface. The text is a sentence."""


def encode_version(version: int = VERSION) -> bytes:
    """The octets before the records, as far as they mean something."""
    return _VERSION.pack(version)


def read(copy: Callable[[], bytes]) -> NqptpRecord | None:
    """The record, by copies of the whole memory. None if the writer was in the way every time.

    Raises MemoryNotServed.
    """
    for _ in range(_TRIES):
        first, second = copy(), copy()
        if len(second) != SIZE:
            raise MemoryNotServed(f"the shared memory has {len(second)} octets instead of {SIZE}: another version's")
        (version,) = _VERSION.unpack_from(second)
        if version != VERSION:
            raise MemoryNotServed(f"the shared memory is of interface version {version}, not {VERSION}")
        if first[FIRST] == second[SECOND]:
            clock, local_ns, offset_ns, since_ns = _RECORD.unpack(first[FIRST])
            if offset_ns >= 2**63:
                offset_ns -= 2**64
            return NqptpRecord(clock=clock, local_ns=local_ns, offset_ns=offset_ns, since_ns=since_ns)
    return None
