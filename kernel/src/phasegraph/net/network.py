"""What a network is to a node: receivers and senders of packet batches, stamped sockets, and interfaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from .packets import PacketBatch, SendBuffer
from .stamped import StampedSocket


class Interface(msgspec.Struct, frozen=True):
    """A network interface."""

    name: str
    index: int
    """The system's number of it; 0 where unknown."""
    address: str
    """Its IPv4 address; empty where it has none."""
    address6: str = ""
    """Its link-local IPv6 address (::1 on the loopback), without scope; empty where it has none."""
    mac: bytes = b""
    """Its Ethernet address, six bytes; empty where it has none or the system does not say."""


class Receiver(Protocol):
    """A socket bound to one UDP port that may listen to many groups."""

    @property
    def room(self) -> int:
        """About how many full packets the system keeps for this socket while nobody reads it."""

    def join(self, group: str, interface: Interface, source: str | None = None) -> None:
        """Listen to a multicast group, from one source only if that is given (IGMPv3, RFC 4607).

        Raises OSError.
        """

    def leave(self, group: str, interface: Interface, source: str | None = None) -> None:
        """Undo a `join`."""

    def receive(self) -> PacketBatch:
        """What has arrived, up to a batch; an empty batch when nothing has. Never waits."""

    def dropped(self) -> int:
        """Datagrams that the system threw away because this socket was not drained in time."""

    def close(self) -> None:
        """Close the socket."""


class Sender(Protocol):
    """A socket that sends rows of packets."""

    def buffer(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> SendBuffer:
        """Rows to be filled and sent by this sender."""

    def send(self, buffer: SendBuffer, first: int, count: int) -> Sequence[int]:
        """Send rows ``first .. first + count`` now. Returns the rows that the system refused."""

    def schedule(self) -> str:
        """Hold packets until their `SendBuffer.departure_ns` from now on: whoever sends may be early.

        Returns why that cannot be, with what would help; empty where it can, for as long as the interface has the
        queue that it needs, so ask again. Packets of which that time has passed leave at once.
        """

    @property
    def room(self) -> int:
        """About how many full packets the system holds for this sender."""

    def close(self) -> None:
        """Close the socket."""


class Network(Protocol):
    """Where receivers and senders come from."""

    def interface(self, name_or_address: str, *, ipv6: bool = False) -> Interface:
        """The interface of this name or address. It has an IPv4 address, or with ``ipv6`` a link-local IPv6 address.

        Of an empty name it is the only one that is not the loopback.
        Raises OSError with a sentence that lists what there is.
        """

    def obstacles(self, interface: Interface) -> Sequence[str]:
        """What the system knows to keep packets away that should come by an interface, as sentences."""

    def receiver(self, port: int, *, address: str = "", batch: int = 2048, packet_bytes: int = 1500) -> Receiver:
        """A receiver on a UDP port; ``address`` binds it to one unicast address (for unicast streams).

        Raises OSError.
        """

    def sender(self, interface: Interface, *, ttl: int, dscp: int) -> Sender:
        """A sender through an interface. Its own host hears what it sends to groups. Raises OSError."""

    def stamped(
        self,
        port: int,
        interface: Interface,
        *,
        ipv6: bool = False,
        ttl: int = 1,
        dscp: int = 0,
        hardware: bool = False,
    ) -> StampedSocket:
        """A socket on a UDP port of one interface that stamps what passes; port 0 takes any that is free.

        ``ttl`` (IPv6: hops) is for multicast. ``hardware`` asks for the interface's own stamps; what cannot be had
        is done without, and said in `StampedSocket.notes`. Raises `PortUnavailable`, or OSError for an interface
        without an address of the family.
        """
