"""The network as nodes see it: their sockets and interfaces come from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .batched.sockets import Receiver, Sender
from .interfaces import Interface
from .stamped.stamped_socket import StampedSocket


class Network(Protocol):
    """Where receivers and senders come from."""

    def interface(self, name_or_address: str, *, ipv6: bool = False) -> Interface:
        """The interface of this name or address. It has an IPv4 address, or with ``ipv6`` a link-local IPv6 address.

        Of an empty name it is the only one that is not the loopback.
        Raises OSError with a sentence that lists what there is.
        """

    def obstacles(self, interface: Interface) -> Sequence[str]:
        """What the system has set up that keeps packets of an interface away, as sentences."""

    def receiver(self, port: int, *, address: str = "", batch: int = 2048, packet_bytes: int = 1500) -> Receiver:
        """A receiver on a UDP port; ``address`` binds it to one unicast address (for unicast streams).

        Raises OSError; `PortUnavailable` where another program has bound that address and port.
        """

    def sender(self, interface: Interface, *, ttl: int, dscp: int) -> Sender:
        """A sender through an interface. What it sends to groups reaches its own host too. Raises OSError."""

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

        ``ttl`` (IPv6: hops) is for multicast. ``hardware`` asks for the interface's own stamps; what the system refuses
        is missing, and listed in `StampedSocket.notes`. Raises `PortUnavailable`, or OSError for an interface
        without an address of the family.
        """
