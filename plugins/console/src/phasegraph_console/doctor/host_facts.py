"""Facts of a computer that matter to network audio: values alone. `host_reader` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from phasegraph import NtpState

PORTS = {319: "PTP event messages", 320: "PTP general messages", 5004: "RTP", 9875: "SAP"}
"""UDP ports that graphs use unless told otherwise."""


class IgmpState(NamedTuple):
    """What the system does for the groups of an interface."""

    version: int
    """Of IGMP; older than 3 where a querier or a setting keeps it there."""
    groups: tuple[str, ...]
    """Those that are joined now, by any program."""


class LinkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One network interface."""

    name: str
    address: str
    """Its IPv4 address; empty without one."""
    up: bool
    multicast: bool
    loopback: bool
    mtu: int
    """Octets; 0 where unknown."""
    obstacles: Sequence[str] = ()
    """Settings of the system that keep packets away, as sentences."""
    queue: str = ""
    """Kind of its queueing discipline (``tc qdisc``); empty where unknown."""
    igmp: IgmpState | None = None


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """This computer. A fact that the system does not report is None."""

    links: Sequence[LinkFacts]
    port_holders: dict[int, Sequence[str]]
    """Programs that hold the ports of `PORTS`."""
    capabilities: frozenset[str]
    first_unprivileged_port: int | None
    realtime_limit: int | None
    """Highest real-time priority that the user may take (LimitRTPRIO)."""
    clock_source: str | None
    ntp: NtpState | None
    receive_buffer_limit: int | None
    """net.core.rmem_max, in octets."""
    governor: str | None
    """Frequency governor of the first processor."""
    portaudio: bool
    """Whether the library of sound cards can be loaded."""
    sound_servers: Sequence[str] = ()
