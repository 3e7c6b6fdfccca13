"""Why a datagram is not a timing packet."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """The kinds of damage, few enough to count each by its name."""

    LENGTH = "length"
    """Too few octets, or a number of octets that the format does not have."""
    TYPE = "type"
    """A type of message that the format does not have."""
    VERSION = "version"
    """The first octet is not that of an RTP packet of version 2."""


class MalformedPacket(ValueError):
    """A datagram that is refused. ``reason`` is for counting, the text says it in words with the numbers."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
