"""The network interfaces of this computer."""

from __future__ import annotations

import socket
from pathlib import Path

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


def interfaces_up() -> dict[str, bool]:
    """Whether each network interface of this computer is up, by name; empty where the system does not say it."""
    found = {}
    for folder in Path("/sys/class/net").glob("*"):
        try:
            state = (folder / "operstate").read_text("ascii").strip()
        except OSError:
            continue
        found[folder.name] = state in ("up", "unknown")  # the loopback and tunnels have no state of their own
    return found
