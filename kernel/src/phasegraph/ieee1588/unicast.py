"""TLVs that negotiate unicast messages (IEEE 1588-2019, 16.1), carried by Signaling messages."""

from __future__ import annotations

from typing import Self

from .octets import Octets, pack
from .tlv import TlvType, TypedTlv

_RENEWAL_INVITED = 0x01
_MAINTAIN_REQUEST = 0x01
_MAINTAIN_GRANT = 0x02


class RequestUnicast(TypedTlv, frozen=True, gc=False):
    """REQUEST_UNICAST_TRANSMISSION (16.1.4.1): asks a port to send Announce, Sync, Delay_Resp or Pdelay_Resp."""

    tlv_type = TlvType.REQUEST_UNICAST_TRANSMISSION

    message_type: int
    """messageType, 4 bits; compare with `MessageType`."""
    log_interval: int
    """logInterMessagePeriod, signed 8 bits: the base-2 logarithm of seconds."""
    duration_s: int
    """durationField, 32 bits."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        kind, log_interval, duration_s = octets.numbers("BbI")
        return cls(kind >> 4, log_interval, duration_s)

    def _to_octets(self) -> bytes:
        return pack("BbI", self.message_type << 4, self.log_interval, self.duration_s)


class GrantUnicast(TypedTlv, frozen=True, gc=False):
    """GRANT_UNICAST_TRANSMISSION (16.1.4.2): the answer; a duration of zero refuses."""

    tlv_type = TlvType.GRANT_UNICAST_TRANSMISSION

    message_type: int
    log_interval: int
    duration_s: int
    renewal_invited: bool = False
    """R: the grantor will likely prolong it."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        kind, log_interval, duration_s, flags = octets.numbers("BbIxB")
        return cls(kind >> 4, log_interval, duration_s, bool(flags & _RENEWAL_INVITED))

    def _to_octets(self) -> bytes:
        flags = _RENEWAL_INVITED * self.renewal_invited
        return pack("BbIxB", self.message_type << 4, self.log_interval, self.duration_s, flags)


class _Cancellation(TypedTlv, frozen=True, gc=False):
    message_type: int
    maintain_request: bool = False
    """R: what the sender was granted stays; it ends what it grants itself."""
    maintain_grant: bool = False
    """G: what the sender grants stays; it ends what it was granted."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        (kind,) = octets.numbers("Bx")
        return cls(kind >> 4, bool(kind & _MAINTAIN_REQUEST), bool(kind & _MAINTAIN_GRANT))

    def _to_octets(self) -> bytes:
        flags = _MAINTAIN_REQUEST * self.maintain_request | _MAINTAIN_GRANT * self.maintain_grant
        return pack("Bx", self.message_type << 4 | flags)


class CancelUnicast(_Cancellation, frozen=True, gc=False):
    """CANCEL_UNICAST_TRANSMISSION (16.1.4.3): ends a grant before its time."""

    tlv_type = TlvType.CANCEL_UNICAST_TRANSMISSION


class AcknowledgeCancelUnicast(_Cancellation, frozen=True, gc=False):
    """ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION (16.1.4.4)."""

    tlv_type = TlvType.ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION
