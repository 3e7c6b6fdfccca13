"""Sockets whose packets carry the time at which they came and went: what a clock protocol needs.

Unlike the batched sockets these serve a few packets a second and are waited on by trio: one task reads a socket.
Sending never waits; the time of departure comes back as an item of the same stream, under the token of the send.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ..._core.localtime import StampKind


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A datagram that came in."""

    data: bytes
    source: tuple[str, int]
    """Address (without IPv6 scope) and port of who sent it."""
    destination: str
    """The address that it was sent to, a group or unicast; empty where the system does not say."""
    local_ns: int
    """Local time at which it came in."""
    stamp: StampKind


class Departure(msgspec.Struct, frozen=True, gc=False):
    """When a datagram that was sent with a token went out."""

    token: int
    local_ns: int
    stamp: StampKind
    """``user`` where the driver gave no stamp in time: then it lies between the clock reads around the call."""


class StampCounts(msgspec.Struct):
    """What a stamped socket had to do without, since it was opened."""

    transmit_stamps_missing: int = 0
    """Departures that the driver did not stamp in time, or not credibly: their stamp is ``user``."""
    receive_stamps_missing: int = 0
    """Arrivals that the system did not stamp, or not credibly: their stamp is ``user``."""
    clock_steps: int = 0
    """Times at which the clock that takes the stamps was seen to be set."""
    wrong_interface: int = 0
    """Datagrams that came in by another interface, thrown away."""
    too_long: int = 0
    """Datagrams longer than 2048 bytes, thrown away."""


class StampedSocket(Protocol):
    """A UDP socket on one interface that stamps what passes. One task reads it."""

    @property
    def port(self) -> int:
        """Its UDP port."""

    @property
    def stamps(self) -> StampKind:
        """The best kind of stamp that it gives; single packets may have a worse one."""

    @property
    def counts(self) -> StampCounts:
        """What it had to do without, so far."""

    @property
    def notes(self) -> Sequence[str]:
        """What the system refused when it was opened, in sentences for a log."""

    def join(self, group: str) -> None:
        """Listen to a multicast group on the socket's interface. Raises OSError.

        Where it already listens it leaves and joins again, which sends a new report to switches: without a querier
        (IGMP, MLD) they forget groups. The system reports only the first socket of an interface that joins and
        the last that leaves; several sockets on one group must all `leave` before they `join`.
        """

    def leave(self, group: str) -> None:
        """Undo a `join`."""

    def send(self, data: bytes, destination: tuple[str, int], token: int | None = None) -> None:
        """Send a datagram now. With a token, a `Departure` of that token follows in `receive`. Raises OSError."""

    async def receive(self) -> Sequence[Arrival | Departure]:
        """Wait for the next things that happened; never empty.

        Departures come before arrivals, so an answer never before the question. Raises ClosedResourceError once
        the socket is closed, and OSError.
        """

    def receive_available(self) -> Sequence[Arrival | Departure]:
        """What `receive` would give now, without waiting; may be empty. Raises ClosedResourceError and OSError."""

    def close(self) -> None:
        """Close the socket; a second time does nothing."""
