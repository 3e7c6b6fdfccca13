"""Sockets: ``batched`` ones for packets that carry samples, ``stamped`` ones for clock protocols, and ``interfaces``.

A node gets its sockets from ``ctx.network``: the machine's, or simulated ones.
"""

from __future__ import annotations

from .batched.packets import PacketBatch, SendBuffer, ipv4_number
from .batched.qdisc import Qdisc, read_qdiscs
from .batched.sockets import Receiver, Sender
from .interfaces import Interface, InterfaceWithoutAddress, interface_mtu
from .network import Network
from .ports import PortUnavailable, port_holders
from .stamped.stamped_socket import Arrival, Departure, StampCounts, StampedSocket
from .system_network import SystemNetwork

__all__ = [
    "Arrival",
    "Departure",
    "Interface",
    "InterfaceWithoutAddress",
    "Network",
    "PacketBatch",
    "PortUnavailable",
    "Qdisc",
    "Receiver",
    "SendBuffer",
    "Sender",
    "StampCounts",
    "StampedSocket",
    "SystemNetwork",
    "interface_mtu",
    "ipv4_number",
    "port_holders",
    "read_qdiscs",
]
