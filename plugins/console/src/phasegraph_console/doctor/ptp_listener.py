"""Listens to PTP on an interface for a while: which clocks announce themselves, in which domains."""

from __future__ import annotations

import trio

from phasegraph.ieee1588 import Announce, MalformedMessage, decode, format_clock_identity
from phasegraph.net import Arrival, Network, StampedSocket

from .ptp_traffic import AnnouncedClock, PtpTraffic

GROUP = "224.0.1.129"
"""Multicast group of PTP (IEEE 1588-2019, annex C.3)."""
GENERAL_PORT = 320
MOST_MASTERS = 64


async def listen_to_ptp(network: Network, interface: str, port: int, seconds: float) -> PtpTraffic:
    """Listen to general messages. Does not raise OSError: a refusal is in the result."""
    try:
        found = network.interface(interface)
        interface = found.name or interface
        socket = network.stamped(port, found)
    except OSError as error:
        return PtpTraffic(interface=interface, listened_s=0.0, refusal=error.strerror or str(error))
    clocks: set[AnnouncedClock] = set()
    version_1 = 0
    try:
        socket.join(GROUP)
        with trio.move_on_after(seconds):
            while True:
                announced, old = await _receive(socket)
                clocks |= announced if len(clocks) < MOST_MASTERS else set()
                version_1 += old
    finally:
        socket.close()
    return PtpTraffic(interface=interface, listened_s=seconds, clocks=tuple(sorted(clocks)), version_1=version_1)


async def _receive(socket: StampedSocket) -> tuple[set[AnnouncedClock], int]:
    clocks: set[AnnouncedClock] = set()
    version_1 = 0
    for item in await socket.receive():
        if not isinstance(item, Arrival):
            continue
        version_1 += len(item.data) > 1 and item.data[1] & 0x0F == 1
        try:
            message = decode(item.data)
        except MalformedMessage:
            continue
        if isinstance(message, Announce):
            clocks.add(
                AnnouncedClock(
                    domain=message.domain,
                    grandmaster=format_clock_identity(message.grandmaster),
                    clock_class=message.clock_class,
                    priority1=message.priority1,
                    sender=item.source[0],
                    gptp=message.major_sdo == 1,
                )
            )
    return clocks, version_1
