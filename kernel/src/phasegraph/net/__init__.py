"""Batched UDP for packets that carry samples: sockets are drained and filled by the array, not by the packet.

Clock protocols have stamped sockets besides, which tell when each packet came and went.
A node asks ``ctx.network`` for receivers and senders; in a simulation it gets simulated ones.
"""

from __future__ import annotations

from .packets import PacketBatch, SendBuffer
from .ports import PortUnavailable, port_holders
from .protocol import Interface, Network, Receiver, Sender
from .stamped import Arrival, Departure, StampCounts, StampedSocket
from .system import SystemNetwork

__all__ = [
    "Arrival",
    "Departure",
    "Interface",
    "Network",
    "PacketBatch",
    "PortUnavailable",
    "Receiver",
    "SendBuffer",
    "Sender",
    "StampCounts",
    "StampedSocket",
    "SystemNetwork",
    "port_holders",
]
