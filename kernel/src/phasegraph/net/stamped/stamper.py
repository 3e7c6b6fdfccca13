"""What a system must do for a stamped socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..._core.localtime import StampKind
from .udp_socket import Address, Datagram


class PacketStamp(NamedTuple):
    """When a packet passed, in local time, and who says so."""

    local_ns: int
    kind: StampKind


Drained = tuple[Sequence[tuple[int, PacketStamp | None]], Sequence[tuple[Datagram, PacketStamp | None]]]
"""(packet number, stamp) of departures and (datagram, stamp) of arrivals.

None is a stamp that is missing, or cannot be brought into local time.
"""


class Stamper(Protocol):
    """Sends and reads the datagrams of a non-blocking socket, with the system's stamps."""

    stamps: StampKind
    """The best kind that it gives."""
    poll_s: float
    """How often transmit stamps must be polled for; infinite where they make the socket readable."""

    @property
    def clock_steps(self) -> int:
        """See `StampCounts.clock_steps`."""

    def send(self, data: bytes, address: Address) -> int | None:
        """Send and ask for a transmit stamp: the number that it will have, or None where there will be none.

        Raises OSError.
        """

    def drain(self, limit: int) -> Drained:
        """The transmit stamps that have come, all of them, and up to ``limit`` datagrams. Never waits.

        Raises OSError.
        """

    def close(self) -> None:
        """Let go of what it holds besides the socket."""
