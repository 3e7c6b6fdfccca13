"""The sockets of one clock: per address family a pair for PTP, or one for the other modes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from phasegraph import NodeError
from phasegraph.net import Interface, Network, PortUnavailable, StampedSocket

from .engine import SendDatagram

_DSCP = 46
"""Expedited forwarding, as PTP's event messages have it."""


class TimingSockets:
    """Opened by ``TimingSockets``; `close` closes them."""

    def __init__(
        self, network: Network, interface: str, port: int, general_port: int | None, families: Iterable[bool]
    ) -> None:
        """``port`` is that of event messages, or the only one; ``families`` says for which of IPv4 (False) and IPv6.

        Raises NodeError where a port or the interface cannot be had.
        """
        self._event: dict[bool, StampedSocket] = {}
        self._general: dict[bool, StampedSocket] = {}
        try:
            for ipv6 in sorted(families):
                self.interface: Interface = network.interface(interface, ipv6=ipv6)
                self._event[ipv6] = network.stamped(port, self.interface, ipv6=ipv6, dscp=_DSCP)
                if general_port is not None:
                    self._general[ipv6] = network.stamped(general_port, self.interface, ipv6=ipv6)
        except PortUnavailable as error:
            self.close()
            options = "timing-port" if general_port is None else "event-port and general-port"
            hint = f"{error.remedy}; or choose other ports with {options}, if the peers can"
            raise NodeError(str(error), hint, option=options.partition(" ")[0]) from error
        except OSError as error:
            self.close()
            raise NodeError(str(error.strerror or error), option="interface") from error

    def __iter__(self) -> Iterator[StampedSocket]:
        yield from self._event.values()
        yield from self._general.values()

    @property
    def notes(self) -> list[str]:
        """Requests that the system refused, each once."""
        return [*dict.fromkeys(note for socket in self for note in socket.notes)]

    @property
    def families(self) -> frozenset[bool]:
        """For which of IPv4 (False) and IPv6 (True) there are sockets."""
        return frozenset(self._event)

    @property
    def port(self) -> int:
        """The event or timing port."""
        return next(iter(self._event.values())).port

    def send(self, action: SendDatagram, token: int | None) -> None:
        """Send a datagram now; a token is what its `Departure` will have. Raises OSError."""
        ipv6 = ":" in action.destination[0]
        socket = (self._event if action.event else self._general).get(ipv6)
        if socket is None:
            raise OSError(f"there is no socket of this family for {action.destination[0]}")
        socket.send(action.data, action.destination, token)

    def close(self) -> None:
        """Close all."""
        for socket in self:
            socket.close()


def open_loopback(network: Network, port: int, remedy: str) -> list[StampedSocket]:
    """Sockets of a port at 127.0.0.1 and ::1, where clients of this computer send to. Raises NodeError."""
    opened: list[StampedSocket] = []
    refused: OSError | None = None
    for address, ipv6 in (("127.0.0.1", False), ("::1", True)):
        try:
            opened.append(network.stamped(port, network.interface(address, ipv6=ipv6), ipv6=ipv6))
        except PortUnavailable as error:
            for socket in opened:
                socket.close()
            raise NodeError(str(error), f"{error.remedy}; {remedy}") from error
        except OSError as error:  # a system without one of the two
            refused = error
    if not opened:
        raise NodeError(f"there is no loopback to take commands from: {refused}")
    return opened


def families_of(network: Network, interface: str) -> set[bool]:
    """For which of IPv4 (False) and IPv6 (True) an interface has an address; without any, opening sockets says why."""
    families = set()
    for ipv6 in (False, True):
        try:
            network.interface(interface, ipv6=ipv6)
            families.add(ipv6)
        except OSError:
            pass
    return families or {False}


def make_identity(interface: Interface, id: str, *, virtual: bool) -> int:
    """Our clockIdentity: the Ethernet address and two octets of our own, as Apple's devices have it.

    Without an Ethernet address all octets are made of the node's id and the process.
    """
    process = 0 if virtual else os.getpid()
    digest = hashlib.sha256(f"{id} {process if not interface.mac else ''} {interface.address}".encode()).digest()
    octets = interface.mac + digest[:2] if len(interface.mac) == 6 else bytes([digest[0] | 0x02]) + digest[1:8]
    return int.from_bytes(octets, "big")
