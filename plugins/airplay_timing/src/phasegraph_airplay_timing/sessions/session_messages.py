"""Requests of a session and their answers: JSON objects, one a line. Octets are base64."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

MOST_LINE_OCTETS = 128 * 1024
Rtp = Annotated[int, Meta(ge=0, lt=2**32)]


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="request"):
    """Base of the requests."""

    id: int
    """Of the client's choice; the answer has it too."""


class SetupRequest(SessionRequest, frozen=True, kw_only=True, tag="setup"):
    """The session begins, or begins again: its peers, and how its time comes."""

    body: bytes
    """Of the SETUP."""
    rate: Annotated[int, Meta(ge=1, le=768_000)] = 44_100
    """Frames per second of the stream."""
    address: str | None = None
    """The sender's IP address, for a session that wants NTP: the SETUP names its port alone."""


class PeersRequest(SessionRequest, frozen=True, kw_only=True, tag="peers"):
    """The peers change."""

    body: bytes
    """Of a SETPEERS or SETPEERSX."""


class RateAnchorRequest(SessionRequest, frozen=True, kw_only=True, tag="rate-anchor"):
    """A buffered stream plays from an anchor on, or pauses."""

    body: bytes
    """Of a SETRATEANCHORTIME."""


class PacketRequest(SessionRequest, frozen=True, kw_only=True, tag="packet"):
    """A packet of the control port: 0xD7, or 0xD4 where the session wants NTP."""

    data: bytes


class FlushRequest(SessionRequest, frozen=True, kw_only=True, tag="flush"):
    """The stream is flushed: there is no anchor any more."""


class FrameRequest(SessionRequest, frozen=True, kw_only=True, tag="frame"):
    """When does a frame sound?"""

    rtp: Rtp


class AnchorRequest(SessionRequest, frozen=True, kw_only=True, tag="anchor"):
    """The anchor as it is now, for other rooms."""


Request = SetupRequest | PeersRequest | RateAnchorRequest | PacketRequest | FlushRequest | FrameRequest | AnchorRequest


class SessionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request. Fields that do not apply are left out."""

    id: int
    ok: bool = True
    error: str | None = None
    """Why the request is refused: a sentence."""
    state: str | None = None
    """Of the clock: unlocked, acquiring, locked or holdover."""
    body: bytes | None = None
    """To a SETUP: the body of its reply. To ``anchor``: of a SETRATEANCHORTIME."""
    packet: bytes | None = None
    """To ``anchor``: a 0xD7."""
    playing: bool | None = None
    monotonic_ns: int | None = None
    """To ``frame``: when it sounds, by CLOCK_MONOTONIC_RAW."""
    bound_ns: int | None = None
    """To ``frame``: the clock is not farther off than this; left out where that is not known."""

    def to_line(self) -> bytes:
        """The line."""
        fields = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.json.encode(fields) + b"\n"


_DECODER = msgspec.json.Decoder(Request)


def decode_request(line: bytes) -> Request:
    """The request in a line. Raises ValueError, with a sentence."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not a request: {error}") from None
