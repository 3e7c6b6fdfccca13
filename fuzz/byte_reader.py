"""Reads a fuzz input as a script: choices, numbers and chunks. An exhausted input reads as zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class ByteReader:
    """Consumes the octets of one input from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def exhausted(self) -> bool:
        """Whether no octet is left."""
        return self._at >= len(self._data)

    def chunk(self, length: int) -> bytes:
        """The next octets; fewer at the end."""
        chunk = self._data[self._at : self._at + length]
        self._at += length
        return chunk

    def rest(self) -> bytes:
        """All octets that are left."""
        return self.chunk(len(self._data))

    def number(self, octets: int = 1) -> int:
        """An unsigned number, big-endian."""
        return int.from_bytes(self.chunk(octets).ljust(octets, b"\0"), "big")

    def choice(self, values: Sequence[T]) -> T:
        """One of some values."""
        return values[self.number() % len(values)]
