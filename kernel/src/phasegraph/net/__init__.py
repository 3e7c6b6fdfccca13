"""Batched UDP for packets that carry samples: sockets are drained and filled by the array, not by the packet.

A node asks ``ctx.network`` for receivers and senders; in a simulation it gets simulated ones.
"""

from __future__ import annotations

from .packets import PacketBatch, SendBuffer
from .protocol import Interface, Network, Receiver, Sender
from .stamped import Arrival, Departure, StampedSocket
from .system import SystemNetwork

__all__ = [
    "Arrival",
    "Departure",
    "Interface",
    "Network",
    "PacketBatch",
    "Receiver",
    "SendBuffer",
    "Sender",
    "StampedSocket",
    "SystemNetwork",
]
