"""Sockets whose packets carry the time at which they came and went: what a clock protocol needs.

Unlike the batched sockets these serve a few packets a second and are waited on by trio: one task reads a socket.
Sending never waits; the time of departure comes back as an item of the same stream, under the token of the send.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from .._core.localtime import StampKind


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A datagram that came in."""

    data: bytes
    source: tuple[str, int]
    """Address and port of who sent it."""
    destination: str
    """The address that it was sent to: tells a group from unicast; empty where the system does not say."""
    local_ns: int
    """Local time at which it came in."""
    stamp: StampKind


class Departure(msgspec.Struct, frozen=True, gc=False):
    """When a datagram that was sent with a token went out."""

    token: int
    local_ns: int
    stamp: StampKind
    """``user`` where the driver gave no stamp in time: the middle of the clock reads around the call."""


class StampedSocket(Protocol):
    """A UDP socket on one interface that stamps what passes."""

    def join(self, group: str) -> None:
        """Listen to a multicast group on the socket's interface; again where it already does. Raises OSError."""

    def leave(self, group: str) -> None:
        """Undo a `join`."""

    def send(self, data: bytes, destination: tuple[str, int], token: int | None = None) -> None:
        """Send a datagram now. With a token, a `Departure` of that token follows in `receive`. Raises OSError."""

    async def receive(self) -> Sequence[Arrival | Departure]:
        """Wait for the next things that happened, in order; never empty."""

    def close(self) -> None:
        """Close the socket."""
