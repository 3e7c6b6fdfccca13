"""From a TLV to its meaning."""

from __future__ import annotations

from .extension_tlvs import (
    SMPTE_OUI,
    SMPTE_SYNCHRONIZATION_METADATA,
    AlternateTimeOffset,
    Authentication,
    OrganizationExtension,
    PathTrace,
    SmpteSynchronizationMetadata,
)
from .management import ManagementErrorStatus, ManagementTlv
from .tlv import Tlv, TypedTlv
from .unicast import AcknowledgeCancelUnicast, CancelUnicast, GrantUnicast, RequestUnicast

_KNOWN: dict[int, type[TypedTlv]] = {
    known.tlv_type: known
    for known in (
        ManagementTlv,
        ManagementErrorStatus,
        OrganizationExtension,
        RequestUnicast,
        GrantUnicast,
        CancelUnicast,
        AcknowledgeCancelUnicast,
        PathTrace,
        AlternateTimeOffset,
        Authentication,
    )
}


def understand(tlv: Tlv) -> TypedTlv | Tlv:
    """The TLV by its fields where its type is known, and as it is where not (14.1: unknown ones are skipped).

    Raises MalformedMessage for a damaged one of a known type.
    """
    known = _KNOWN.get(tlv.type)
    if known is None:
        return tlv
    typed = known.from_tlv(tlv)
    if isinstance(typed, OrganizationExtension) and (typed.organization, typed.subtype) == (
        SMPTE_OUI,
        SMPTE_SYNCHRONIZATION_METADATA,
    ):
        return SmpteSynchronizationMetadata.from_tlv(tlv)
    return typed
