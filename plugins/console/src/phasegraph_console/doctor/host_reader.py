"""Reads the facts of this computer, once. Linux has them in /proc and /sys."""

from __future__ import annotations

import ctypes.util
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from phasegraph import read_ntp_state
from phasegraph.net import Network, Qdisc, port_holders, read_qdiscs

from .host_facts import PORTS, HostFacts, IgmpState, LinkFacts

CAPABILITIES = {10: "CAP_NET_BIND_SERVICE", 13: "CAP_NET_RAW", 23: "CAP_SYS_NICE"}
"""Capabilities that Phasegraph can use, by their bit; see capabilities(7)."""
SOUND_SERVERS = ("jackd", "jackdbus", "pipewire", "pulseaudio")
_IFF_UP, _IFF_LOOPBACK, _IFF_MULTICAST = 0x1, 0x8, 0x1000


def read_host_facts(network: Network, root: Path = Path("/")) -> HostFacts:
    """Read all facts; ``root`` is where /proc and /sys are."""
    system = root / "proc/sys/net"
    return HostFacts(
        links=[*_links(network, root)],
        port_holders={port: port_holders(port) for port in PORTS},
        capabilities=_capabilities(_text(root / "proc/self/status")),
        first_unprivileged_port=_number(system / "ipv4/ip_unprivileged_port_start"),
        realtime_limit=_realtime_limit(),
        clock_source=_text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource") or None,
        ntp=read_ntp_state(),
        receive_buffer_limit=_number(system / "core/rmem_max"),
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        portaudio=ctypes.util.find_library("portaudio") is not None,
        sound_servers=_running(root, SOUND_SERVERS),
    )


def read_routes(addresses: Sequence[str]) -> dict[str, str]:
    """For each IPv4 address the own address from which the system would send to it; empty without a route.

    Nothing is sent: a UDP socket is connected.
    """
    routes = {}
    for address in addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((address, 9))
                routes[address] = str(probe.getsockname()[0])
            except OSError:
                routes[address] = ""
    return routes


def igmp_states(text: str) -> dict[str, IgmpState]:
    """The state of IGMP by interface, from the text of /proc/net/igmp."""
    states: dict[str, IgmpState] = {}
    name = ""
    for line in text.splitlines()[1:]:
        if not line.startswith(("\t", " ")):
            fields = line.split()
            name, version = fields[1].rstrip(":"), fields[-1]
            states[name] = IgmpState(int(version[1:]) if version[1:].isdigit() else 3, ())
        elif name:
            group = ".".join(str(octet) for octet in reversed(bytes.fromhex(line.split()[0])))
            states[name] = IgmpState(states[name].version, (*states[name].groups, group))
    return states


def _queues() -> list[Qdisc]:
    try:
        return read_qdiscs()
    except OSError:  # another system than Linux
        return []


def _links(network: Network, root: Path) -> Iterator[LinkFacts]:
    queues, igmp = _queues(), igmp_states(_text(root / "proc/net/igmp"))
    for _, name in socket.if_nameindex():
        folder = root / "sys/class/net" / name
        flags = int(_text(folder / "flags") or "0", 16)
        address = ""
        obstacles: tuple[str, ...] = ()
        queue = ""
        try:
            interface = network.interface(name)
        except OSError:
            pass
        else:
            address, obstacles = interface.address, tuple(network.obstacles(interface))
            queue = next((each.kind for each in queues if each.interface == interface.index and each.is_root), "")
        yield LinkFacts(
            name=name,
            address=address,
            up=bool(flags & _IFF_UP),
            multicast=bool(flags & _IFF_MULTICAST),
            loopback=bool(flags & _IFF_LOOPBACK),
            mtu=_number(folder / "mtu") or 0,
            obstacles=obstacles,
            queue=queue,
            igmp=igmp.get(name),
        )


def _capabilities(status: str) -> frozenset[str]:
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return frozenset(name for bit, name in CAPABILITIES.items() if int(effective, 16) >> bit & 1)


def _realtime_limit() -> int | None:
    if sys.platform != "linux":
        return None
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_RTPRIO)
    return 99 if hard == resource.RLIM_INFINITY else hard


def _running(root: Path, names: Sequence[str]) -> list[str]:
    found = {_text(process / "comm") for process in (root / "proc").glob("[0-9]*")}
    return [name for name in names if name in found]


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
