"""TLVs of optional features (IEEE 1588-2019, 14.3, 16.2, 16.3) and of SMPTE ST 2059-2."""

from __future__ import annotations

import enum
from typing import Self

from .octets import Octets, pack, pack_text, pack_u48
from .tlv import TlvType, TypedTlv

SMPTE_OUI = 0x6897E8
"""organizationId of SMPTE."""
SMPTE_SYNCHRONIZATION_METADATA = 1
"""organizationSubType of `SmpteSynchronizationMetadata`."""


class PathTrace(TypedTlv, frozen=True, gc=False):
    """PATH_TRACE (16.2): the clocks that an Announce has passed, the grandmaster first."""

    tlv_type = TlvType.PATH_TRACE

    clocks: tuple[int, ...]
    """clockIdentities, 64 bits each."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        rest = octets.rest()
        if len(rest) % 8:
            raise octets.refusal(f"has {len(rest)} octets, clock identities have 8 each")
        return cls(tuple(int.from_bytes(rest[at : at + 8], "big") for at in range(0, len(rest), 8)))

    def _to_octets(self) -> bytes:
        return pack(f"{len(self.clocks)}Q", *self.clocks)


class Authentication(TypedTlv, frozen=True, gc=False):
    """AUTHENTICATION (14.16), without the optional fields disclosedKey, sequenceNo and RES."""

    tlv_type = TlvType.AUTHENTICATION

    spp: int
    """Security parameters pointer, 8 bits."""
    security_parameters: int
    """secParamIndicator, 8 bits: which optional fields there are; 0 for none."""
    key_id: int
    """keyID, 32 bits."""
    icv: bytes
    """Integrity check value."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        spp, parameters, key_id = octets.numbers("BBI")
        return cls(spp, parameters, key_id, octets.rest())

    def _to_octets(self) -> bytes:
        return pack("BBI", self.spp, self.security_parameters, self.key_id) + self.icv


class AlternateTimeOffset(TypedTlv, frozen=True, gc=False):
    """ALTERNATE_TIME_OFFSET_INDICATOR (16.3): another timescale, such as local time, as an offset to PTP time."""

    tlv_type = TlvType.ALTERNATE_TIME_OFFSET_INDICATOR

    key: int
    """keyField, 8 bits: which of the sender's alternate timescales."""
    offset_s: int
    """currentOffset, signed 32 bits: alternate time less the grandmaster's."""
    jump_s: int
    """jumpSeconds, signed 32 bits: the next change of the offset, zero for none."""
    next_jump_s: int
    """timeOfNextJump, 48 bits: when it comes, by the grandmaster's time."""
    name: str
    """displayName, 255 octets at most."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        key, offset_s, jump_s = octets.numbers("Bii")
        return cls(key, offset_s, jump_s, octets.u48(), octets.text())

    def _to_octets(self) -> bytes:
        return pack("Bii", self.key, self.offset_s, self.jump_s) + pack_u48(self.next_jump_s) + pack_text(self.name)


class OrganizationExtension(TypedTlv, frozen=True, gc=False):
    """ORGANIZATION_EXTENSION (14.3): whatever an organisation has defined."""

    tlv_type = TlvType.ORGANIZATION_EXTENSION

    organization: int
    """organizationId, 24 bits."""
    subtype: int
    """organizationSubType, 24 bits."""
    data: bytes = b""
    """dataField."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        organization, subtype = (int.from_bytes(octets.next_octets(3), "big") for _ in range(2))
        return cls(organization, subtype, octets.rest())

    def _to_octets(self) -> bytes:
        if not (0 <= self.organization < 2**24 and 0 <= self.subtype < 2**24):
            raise ValueError(f"{self.organization:#x} and {self.subtype:#x} have to fit 24 bits each")
        return pack("Q", self.organization << 24 | self.subtype)[2:] + self.data


class MasterLocking(enum.IntEnum):
    """masterLockingStatus of `SmpteSynchronizationMetadata`."""

    NOT_IN_USE = 0
    FREE_RUN = 1
    COLD_LOCKING = 2
    WARM_LOCKING = 3
    LOCKED = 4


class SmpteSynchronizationMetadata(TypedTlv, frozen=True, kw_only=True, gc=False):
    """Synchronization Metadata (SMPTE ST 2059-2), once a second in a Management message of action COMMAND."""

    tlv_type = TlvType.ORGANIZATION_EXTENSION

    frame_rate_numerator: int = 25
    """defaultSystemFrameRate, 32 bits over 32 bits: 30000 / 1001 and the like."""
    frame_rate_denominator: int = 1
    master_locking: int = MasterLocking.NOT_IN_USE
    """masterLockingStatus, 8 bits; compare with `MasterLocking`."""
    time_address_flags: int = 0
    """timeAddressFlags, 8 bits: 1 drop frame, 2 colour frame identification."""
    local_offset_s: int = 0
    """currentLocalOffset, signed 32 bits: local time less PTP time."""
    jump_s: int = 0
    """jumpSeconds, signed 32 bits: the next change of the local offset, zero for none."""
    next_jump_s: int = 0
    """timeOfNextJump, 48 bits of PTP seconds."""
    next_jam_s: int = 0
    """timeOfNextJam, 48 bits: when time addresses are next set, zero for never."""
    previous_jam_s: int = 0
    """timeOfPreviousJam, 48 bits."""
    previous_jam_offset_s: int = 0
    """previousJamLocalOffset, signed 32 bits."""
    daylight_saving: int = 0
    """daylightSaving, 8 bits: 1 in effect, 2 at the next jump, 4 at the previous jam."""
    leap_second_jump: int = 0
    """leapSecondJump, 8 bits: 1 where the next jump is a leap second's."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        outer = OrganizationExtension._from_octets(octets)
        if (outer.organization, outer.subtype) != (SMPTE_OUI, SMPTE_SYNCHRONIZATION_METADATA):
            raise octets.refusal(f"has organization {outer.organization:#08x}, subtype {outer.subtype}")
        inner = Octets(outer.data, cls.__name__)
        numerator, denominator, locking, flags, offset, jump = inner.numbers("IIBBii")
        return cls(
            frame_rate_numerator=numerator,
            frame_rate_denominator=denominator,
            master_locking=locking,
            time_address_flags=flags,
            local_offset_s=offset,
            jump_s=jump,
            next_jump_s=inner.u48(),
            next_jam_s=inner.u48(),
            previous_jam_s=inner.u48(),
            previous_jam_offset_s=inner.number("i"),
            daylight_saving=inner.number("B"),
            leap_second_jump=inner.number("B"),
        )

    def _to_octets(self) -> bytes:
        data = (
            pack("II", self.frame_rate_numerator, self.frame_rate_denominator)
            + pack("BBii", self.master_locking, self.time_address_flags, self.local_offset_s, self.jump_s)
            + b"".join(map(pack_u48, (self.next_jump_s, self.next_jam_s, self.previous_jam_s)))
            + pack("iBB", self.previous_jam_offset_s, self.daylight_saving, self.leap_second_jump)
        )
        return OrganizationExtension(SMPTE_OUI, SMPTE_SYNCHRONIZATION_METADATA, data)._to_octets()
