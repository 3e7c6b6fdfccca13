"""The PTP wire format (IEEE 1588-2019, clauses 13 to 15, and the same messages as version 2.0 sends them).

Pure functions and frozen values: `decode` turns the octets of one datagram into a message or raises
`MalformedMessage`; `encode` turns a message into octets. No sockets, no clocks.
"""

from __future__ import annotations

from .codec import decode, encode
from .errors import MalformedMessage, Reason
from .identity import PortIdentity, format_clock_identity, parse_clock_identity
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

__all__ = [
    "EVENT_MESSAGES",
    "Announce",
    "DelayReq",
    "DelayResp",
    "Flag",
    "FollowUp",
    "MalformedMessage",
    "Management",
    "Message",
    "MessageType",
    "PDelayReq",
    "PDelayResp",
    "PDelayRespFollowUp",
    "PortIdentity",
    "Reason",
    "Signaling",
    "Sync",
    "Tlv",
    "TlvType",
    "decode",
    "encode",
    "format_clock_identity",
    "parse_clock_identity",
]
