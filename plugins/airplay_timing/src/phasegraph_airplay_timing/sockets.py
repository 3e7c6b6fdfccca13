"""The sockets of one clock: per address family a pair for PTP, or one for the other modes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from phasegraph import NodeContext, NodeError
from phasegraph.net import Interface, PortUnavailable, StampedSocket

from .engine import Send
from .options import AirplayConfig, parse_peer

_DSCP = 46
"""Expedited forwarding, as PTP's event messages have it."""


class Sockets:
    """Opened by ``Sockets``; `close` closes them."""

    def __init__(self, config: AirplayConfig, ctx: NodeContext) -> None:
        """Raises NodeError where a port or the interface cannot be had."""
        families = {":" in parse_peer(peer, 0, 0).address for peer in config.peers} or {False}
        self._event: dict[bool, StampedSocket] = {}
        self._general: dict[bool, StampedSocket] = {}
        try:
            for ipv6 in sorted(families):
                self.interface: Interface = ctx.network.interface(config.interface, ipv6=ipv6)
                port = config.event_port if config.mode == "ptp" else config.timing_port
                self._event[ipv6] = ctx.network.stamped(port, self.interface, ipv6=ipv6, dscp=_DSCP)
                if config.mode == "ptp":
                    self._general[ipv6] = ctx.network.stamped(config.general_port, self.interface, ipv6=ipv6)
        except PortUnavailable as error:
            self.close()
            options = "event-port and general-port" if config.mode == "ptp" else "timing-port"
            hint = f"{error.remedy}; or choose other ports with {options}, if the peers can"
            raise NodeError(str(error), hint, option=options.partition(" ")[0]) from error
        except OSError as error:
            self.close()
            raise NodeError(str(error.strerror or error), option="interface") from error

    def __iter__(self) -> Iterator[StampedSocket]:
        yield from self._event.values()
        yield from self._general.values()

    @property
    def port(self) -> int:
        """The event or timing port."""
        return next(iter(self._event.values())).port

    def send(self, action: Send) -> None:
        """Send a datagram now. Raises OSError."""
        ipv6 = ":" in action.destination[0]
        socket = (self._event if action.event else self._general).get(ipv6)
        if socket is None:
            raise OSError(f"there is no socket of this family for {action.destination[0]}")
        socket.send(action.data, action.destination, action.token)

    def close(self) -> None:
        """Close all."""
        for socket in self:
            socket.close()


def make_identity(interface: Interface, id: str, *, virtual: bool) -> int:
    """Our clockIdentity: the Ethernet address and two octets of our own, as Apple's devices have it.

    Without an Ethernet address all octets are made of the node's id and the process.
    """
    process = 0 if virtual else os.getpid()
    digest = hashlib.sha256(f"{id} {process if not interface.mac else ''} {interface.address}".encode()).digest()
    octets = interface.mac + digest[:2] if len(interface.mac) == 6 else bytes([digest[0] | 0x02]) + digest[1:8]
    return int.from_bytes(octets, "big")
