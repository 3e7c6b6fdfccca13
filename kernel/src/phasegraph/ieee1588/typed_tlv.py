"""What TLVs with a meaning have in common."""

from __future__ import annotations

from typing import ClassVar, Self

import msgspec

from .errors import MalformedMessage, Reason
from .octets import Octets, pad_even
from .tlv import Tlv, TlvType


class TypedTlv(msgspec.Struct, frozen=True, gc=False):
    """A TLV by its fields. Reading is tolerant: reserved bits, and octets after the last known field, are ignored."""

    tlv_type: ClassVar[TlvType]

    @classmethod
    def from_tlv(cls, tlv: Tlv) -> Self:
        """The fields of a TLV. Raises MalformedMessage where it has another type or is damaged."""
        if tlv.type != cls.tlv_type:
            raise MalformedMessage(Reason.TLV, f"type {tlv.type:#06x} is not {cls.__name__}")
        return cls._read(Octets(tlv.value, cls.__name__))

    def to_tlv(self) -> Tlv:
        """The TLV of these fields. Raises ValueError where one does not fit its place on the wire."""
        return Tlv(self.tlv_type, pad_even(self._write()))

    @classmethod
    def _read(cls, octets: Octets) -> Self:
        raise NotImplementedError

    def _write(self) -> bytes:
        raise NotImplementedError
