"""Receivers and senders of packet batches, as nodes see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..interfaces import Interface
from .packets import PacketBatch, SendBuffer


class Receiver(Protocol):
    """A socket bound to one UDP port that may listen to many groups."""

    @property
    def room(self) -> int:
        """About how many full packets the system keeps for this socket until they are read."""

    def join(self, group: str, interface: Interface, source: str | None = None) -> None:
        """Listen to a multicast group, from one source only if that is given (IGMPv3, RFC 4607).

        Raises OSError.
        """

    def leave(self, group: str, interface: Interface, source: str | None = None) -> None:
        """Undo a `join`."""

    def receive(self) -> PacketBatch:
        """The datagrams that have arrived, up to a batch; an empty batch where there are none. Never waits."""

    def dropped(self) -> int:
        """Datagrams that the system dropped because this socket was not drained in time."""

    def close(self) -> None:
        """Close the socket."""


class Sender(Protocol):
    """A socket that sends rows of packets."""

    @property
    def refusal_errno(self) -> int:
        """``errno`` of the newest row that the system refused; 0 where there was none."""

    def buffer(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> SendBuffer:
        """Rows to be filled and sent by this sender."""

    def send(self, buffer: SendBuffer, first: int, count: int) -> Sequence[int]:
        """Send rows ``first .. first + count`` now. Returns the rows that the system refused; with io_uring, those of
        earlier calls too, also where ``count`` is 0."""

    def schedule(self, *, by_ring: bool = False) -> str:
        """Have the system keep each packet until its `SendBuffer.departure_ns`, from now on: the interface's queue, or
        ``by_ring`` io_uring.

        `send` may then be called early. A ring reads a row when it leaves: a row is not changed before. What the system
        refuses then is returned by a later call, and what has not left when the socket is closed is not sent.

        Returns why that is impossible, with the remedy; empty where it works, while the interface has the queue that
        it needs: call again to check. Packets whose time has passed leave at once.
        """

    @property
    def room(self) -> int:
        """About how many full packets the system holds for this sender."""

    def close(self) -> None:
        """Close the socket."""
