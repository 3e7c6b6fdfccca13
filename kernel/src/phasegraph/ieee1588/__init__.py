"""The PTP wire format (IEEE 1588-2019, clauses 13 to 15, and the same messages as version 2.0 sends them).

Pure functions and frozen values: `decode` turns the octets of one datagram into a message or raises
`MalformedMessage`; `encode` turns a message into octets. No sockets, no clocks.

Beside the codec: what every follower of IEEE 1588 needs, whichever dialect it follows (`SyncPairing`,
`compare_data_sets`, `TransmitTokens`).
"""

from __future__ import annotations

from .codec import decode, encode
from .data_set_comparison import ComparedDataSet, DataSetRelation, best_data_set, compare_data_sets
from .extension_tlvs import (
    AlternateTimeOffset,
    Authentication,
    MasterLocking,
    OrganizationExtension,
    PathTrace,
    SmpteSynchronizationMetadata,
)
from .identity import ALL_PORTS, PortIdentity, format_clock_identity, parse_clock_identity
from .known_tlvs import understand
from .malformed import MalformedMessage, Reason
from .management import Action, ManagementError, ManagementErrorStatus, ManagementId, ManagementTlv
from .messages import (
    EVENT_MESSAGES,
    Announce,
    DelayReq,
    DelayResp,
    Flag,
    FollowUp,
    Management,
    Message,
    MessageType,
    PDelayReq,
    PDelayResp,
    PDelayRespFollowUp,
    Signaling,
    Sync,
    interval_ns,
    to_interval,
)
from .sync_pairing import UNITS_PER_NS, SyncPairing, TimedSync, correction_refusal
from .tlv import Tlv, TlvType, TypedTlv
from .transmit_tokens import TransmitTokens
from .unicast import AcknowledgeCancelUnicast, CancelUnicast, GrantUnicast, RequestUnicast

__all__ = [
    "ALL_PORTS",
    "EVENT_MESSAGES",
    "UNITS_PER_NS",
    "AcknowledgeCancelUnicast",
    "Action",
    "AlternateTimeOffset",
    "Announce",
    "Authentication",
    "CancelUnicast",
    "ComparedDataSet",
    "DataSetRelation",
    "DelayReq",
    "DelayResp",
    "Flag",
    "FollowUp",
    "GrantUnicast",
    "MalformedMessage",
    "Management",
    "ManagementError",
    "ManagementErrorStatus",
    "ManagementId",
    "ManagementTlv",
    "MasterLocking",
    "Message",
    "MessageType",
    "OrganizationExtension",
    "PDelayReq",
    "PDelayResp",
    "PDelayRespFollowUp",
    "PathTrace",
    "PortIdentity",
    "Reason",
    "RequestUnicast",
    "Signaling",
    "SmpteSynchronizationMetadata",
    "Sync",
    "SyncPairing",
    "TimedSync",
    "Tlv",
    "TlvType",
    "TransmitTokens",
    "TypedTlv",
    "best_data_set",
    "compare_data_sets",
    "correction_refusal",
    "decode",
    "encode",
    "format_clock_identity",
    "interval_ns",
    "parse_clock_identity",
    "to_interval",
    "understand",
]
