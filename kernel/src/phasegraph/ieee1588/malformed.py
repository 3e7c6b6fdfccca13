"""Why a datagram is not a PTP message."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """The kinds of damage, few enough to count each by its name."""

    TRUNCATED = "truncated"
    """The datagram is shorter than a header, or than its own messageLength says."""
    VERSION = "version"
    """versionPTP is not 2: version 1, or no PTP at all."""
    TYPE = "type"
    """A messageType that IEEE 1588-2019, 13.3.2 reserves."""
    LENGTH = "length"
    """messageLength is too short for the body of the message's type."""
    TIMESTAMP = "timestamp"
    """A nanosecondsField of 10**9 or more (5.3.3)."""
    TLV = "tlv"
    """A TLV that reaches past the end of the message, has an odd length (14.1), or is one too many."""


class MalformedMessage(ValueError):
    """A datagram that `decode` refuses. ``reason`` is for counting, the text says it in words with the numbers."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
