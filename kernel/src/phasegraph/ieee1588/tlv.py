"""Type-length-value extensions at the end of a message (IEEE 1588-2019, clause 14), kept as octets."""

from __future__ import annotations

import enum
import struct
from abc import abstractmethod
from typing import ClassVar, Self

import msgspec

from .malformed import MalformedMessage, Reason
from .octets import Octets, pad_even

MAX_TLVS = 64
"""More in one message are refused: real messages carry a handful, and the work per datagram stays bounded."""

_HEADER = struct.Struct(">HH")


class TlvType(enum.IntEnum):
    """tlvType values (14.1) that media networks use. Others pass as plain numbers."""

    MANAGEMENT = 0x0001
    MANAGEMENT_ERROR_STATUS = 0x0002
    ORGANIZATION_EXTENSION = 0x0003
    REQUEST_UNICAST_TRANSMISSION = 0x0004
    GRANT_UNICAST_TRANSMISSION = 0x0005
    CANCEL_UNICAST_TRANSMISSION = 0x0006
    ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION = 0x0007
    PATH_TRACE = 0x0008
    ALTERNATE_TIME_OFFSET_INDICATOR = 0x0009
    PAD = 0x8008
    AUTHENTICATION = 0x8009


class Tlv(msgspec.Struct, frozen=True, gc=False):
    """One TLV: a type and an even number of octets that belong to it."""

    type: int
    """tlvType, 16 bits; compare with `TlvType`."""
    value: bytes = b""
    """valueField without type and length."""


def split_tlvs(octets: bytes) -> tuple[Tlv, ...]:
    """The TLVs that fill ``octets``. Raises MalformedMessage where they do not fill it exactly."""
    tlvs: list[Tlv] = []
    position = 0
    while position < len(octets):
        if len(tlvs) == MAX_TLVS:
            raise MalformedMessage(Reason.TLV, f"more than {MAX_TLVS} TLVs")
        if len(octets) - position < _HEADER.size:
            raise MalformedMessage(Reason.TLV, f"{len(octets) - position} octets after the last TLV")
        kind, length = _HEADER.unpack_from(octets, position)
        position += _HEADER.size
        if length % 2:
            raise MalformedMessage(Reason.TLV, f"TLV {kind:#06x} has an odd length of {length} octets")
        if length > len(octets) - position:
            raise MalformedMessage(
                Reason.TLV, f"TLV {kind:#06x} says {length} octets, {len(octets) - position} are left"
            )
        tlvs.append(Tlv(kind, octets[position : position + length]))
        position += length
    return tuple(tlvs)


def join_tlvs(tlvs: tuple[Tlv, ...]) -> bytes:
    """The octets of TLVs, one after the other. Raises ValueError for what `split_tlvs` would refuse."""
    if len(tlvs) > MAX_TLVS:
        raise ValueError(f"more than {MAX_TLVS} TLVs")
    for tlv in tlvs:
        if not 0 <= tlv.type <= 0xFFFF or len(tlv.value) % 2 or len(tlv.value) > 0xFFFF:
            raise ValueError(f"not a TLV: type {tlv.type:#x} with {len(tlv.value)} octets")
    return b"".join(_HEADER.pack(tlv.type, len(tlv.value)) + tlv.value for tlv in tlvs)


class TypedTlv(msgspec.Struct, frozen=True, gc=False):
    """A TLV by its fields. Reading is tolerant: reserved bits, and octets after the last known field, are ignored."""

    tlv_type: ClassVar[TlvType]

    @classmethod
    def from_tlv(cls, tlv: Tlv) -> Self:
        """The fields of a TLV. Raises MalformedMessage where it has another type or is damaged."""
        if tlv.type != cls.tlv_type:
            raise MalformedMessage(Reason.TLV, f"type {tlv.type:#06x} is not {cls.__name__}")
        return cls._from_octets(Octets(tlv.value, cls.__name__))

    def to_tlv(self) -> Tlv:
        """The TLV of these fields. Raises ValueError where one does not fit its place on the wire."""
        return Tlv(self.tlv_type, pad_even(self._to_octets()))

    @classmethod
    @abstractmethod
    def _from_octets(cls, octets: Octets) -> Self:
        """The fields, read from valueField. Raises MalformedMessage where it is damaged."""

    @abstractmethod
    def _to_octets(self) -> bytes:
        """valueField; a zero is added where its length is odd. Raises ValueError for a field that does not fit."""
