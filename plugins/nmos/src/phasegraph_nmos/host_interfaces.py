"""The network interfaces of this computer."""

from __future__ import annotations

import socket

from phasegraph import SystemLocalClock
from phasegraph.net import SystemNetwork

from .model.resources import HostInterface


def host_interfaces() -> list[HostInterface]:
    """Those that have an IPv4 address."""
    network = SystemNetwork(SystemLocalClock())
    found = []
    for _, name in socket.if_nameindex():
        try:
            interface = network.interface(name)
        except OSError:
            continue
        if interface.address:
            mac = (interface.mac or bytes(6)).hex("-")
            found.append(HostInterface(name=name, address=interface.address, mac=mac))
    return found
