"""The PTP wire format (IEEE 1588-2019, clauses 13 to 15, and the same messages as version 2.0 sends them).

Pure functions and frozen values: `decode` turns the octets of one datagram into a message or raises
`MalformedMessage`; `encode` turns a message into octets. No sockets, no clocks.
"""

from __future__ import annotations

from .codec import decode, encode
from .errors import MalformedMessage, Reason
from .extensions import (
    AlternateTimeOffset,
    MasterLocking,
    OrganizationExtension,
    PathTrace,
    SmpteSynchronizationMetadata,
)
from .identity import ALL_PORTS, PortIdentity, format_clock_identity, parse_clock_identity
from .interval import interval_ns, to_interval
from .known_tlvs import understand
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
)
from .tlv import Tlv, TlvType
from .typed_tlv import TypedTlv
from .unicast import AcknowledgeCancelUnicast, CancelUnicast, GrantUnicast, RequestUnicast

__all__ = [
    "ALL_PORTS",
    "EVENT_MESSAGES",
    "AcknowledgeCancelUnicast",
    "Action",
    "AlternateTimeOffset",
    "Announce",
    "CancelUnicast",
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
    "Tlv",
    "TlvType",
    "TypedTlv",
    "decode",
    "encode",
    "format_clock_identity",
    "interval_ns",
    "parse_clock_identity",
    "to_interval",
    "understand",
]
