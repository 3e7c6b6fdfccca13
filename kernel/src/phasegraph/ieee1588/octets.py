"""Fields of TLVs, one after the other: what `struct` does not know, and refusals in words."""

from __future__ import annotations

import struct

from .malformed import MalformedMessage, Reason


class Octets:
    """Reads the fields of a TLV in their order. Whatever does not fit raises MalformedMessage with `Reason.TLV`."""

    __slots__ = ("_octets", "_of", "_position")

    def __init__(self, octets: bytes, of: str) -> None:
        self._octets = octets
        self._position = 0
        self._of = of

    def next_octets(self, count: int) -> bytes:
        """The next ``count`` octets."""
        start, self._position = self._position, self._position + count
        if self._position > len(self._octets):
            raise self.refusal(f"ends after {len(self._octets)} octets, within a field that takes {self._position}")
        return self._octets[start : self._position]

    def rest(self) -> bytes:
        """All octets that are left."""
        return self.next_octets(len(self._octets) - self._position)

    def numbers(self, format: str) -> tuple[int, ...]:
        """The next numbers, big-endian, by the letters of `struct`."""
        return struct.unpack(">" + format, self.next_octets(struct.calcsize(">" + format)))

    def number(self, format: str) -> int:
        """The next number, by its letter of `struct`."""
        return self.numbers(format)[0]

    def u48(self) -> int:
        """A UInteger48 (5.3.1)."""
        return int.from_bytes(self.next_octets(6), "big")

    def text(self) -> str:
        """A PTPText (5.3.9): a count of octets, and as many of UTF-8."""
        octets = self.next_octets(self.number("B"))
        try:
            return octets.decode()
        except UnicodeDecodeError:
            raise self.refusal(f"has a text that is not UTF-8: {octets!r}") from None

    def refusal(self, why: str) -> MalformedMessage:
        """The error that says what is wrong with this TLV."""
        return MalformedMessage(Reason.TLV, f"{self._of} {why}")


def pack(format: str, *values: int) -> bytes:
    """Numbers as octets, big-endian, by the letters of `struct`. Raises ValueError where one does not fit."""
    try:
        return struct.pack(">" + format, *values)
    except struct.error as error:
        raise ValueError(f"{values} does not fit the wire: {error}") from error


def pack_u48(value: int) -> bytes:
    """A UInteger48 (5.3.1)."""
    return pack("HI", value >> 32, value & 0xFFFF_FFFF)


def pack_text(text: str) -> bytes:
    """A PTPText (5.3.9). Raises ValueError for more than 255 octets of UTF-8."""
    octets = text.encode()
    return pack("B", len(octets)) + octets


def pad_even(octets: bytes) -> bytes:
    """The octets, and a zero where their number is odd: TLVs have even lengths (14.1)."""
    return octets + bytes(len(octets) % 2)
