"""What a session description offers, in plain values: for programs that hand streams to a run."""

from __future__ import annotations

import msgspec


class OfferedStream(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of a session description."""

    group: str
    """IPv4 address that the packets go to."""
    port: int
    encoding: str
    rate: int
    channels: int
    packet_time_ns: int | None = None
    payload_type: int | None = None
    ts_refclk: str = ""
    mediaclk_offset: int | None = None
    """RTP timestamp of media time zero; None where timestamps have no known relation to a clock."""
    source_filter: str | None = None
    """The only source address to receive from, if one is named."""
    dup_of: int | None = None
    """Index of the stream that this one duplicates (ST 2022-7)."""


class OfferedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session description."""

    name: str
    streams: tuple[OfferedStream, ...]
    problems: tuple[str, ...] = ()
    """What is wrong or missing without making the streams unusable, in sentences."""
