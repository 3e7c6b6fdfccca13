"""Why something that came from the network is not a timing message."""

from __future__ import annotations

import enum


class PacketFault(enum.StrEnum):
    """The kinds of damage, few enough to count each by its name."""

    LENGTH = "length"
    """Too few octets, or a number of octets that the format does not have."""
    TYPE = "type"
    """A type of message that the format does not have."""
    VERSION = "version"
    """The first octet is not that of an RTP packet of version 2."""
    DIALECT = "dialect"
    """PTP, but not Apple's: another majorSdoId or domain."""
    CORRECTION = "correction"
    """A correction of ten seconds or more, either way."""
    PLIST = "plist"
    """No property list, or one without a field that has to be there, or with one of another type or size."""


class MalformedPacket(ValueError):
    """A refused packet. ``reason`` is for counting, the text is a sentence with the numbers."""

    def __init__(self, reason: PacketFault, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
