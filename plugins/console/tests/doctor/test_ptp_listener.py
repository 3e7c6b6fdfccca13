"""Listening to PTP on a simulated network."""

from __future__ import annotations

import msgspec
import pytest
import trio

from phasegraph.ieee1588 import Announce, PortIdentity, encode
from phasegraph.net import Interface
from phasegraph.testing import SimLocalClock, SimNetwork, SimWire
from phasegraph_console.doctor import ptp_listener
from phasegraph_console.doctor.ptp_listener import GENERAL_PORT, GROUP, listen_to_ptp
from phasegraph_console.doctor.ptp_traffic import PtpTraffic

CLOCK = 0x62D2_11FF_FE00_0001
ANNOUNCE = Announce(
    source=PortIdentity(CLOCK, 1),
    sequence=1,
    domain=5,
    utc_offset_s=37,
    priority1=99,
    clock_class=6,
    clock_accuracy=0x21,
    clock_variance=0x4E5D,
    priority2=128,
    grandmaster=CLOCK,
    steps_removed=0,
    time_source=0x20,
)


async def listened(*datagrams: bytes) -> PtpTraffic:
    """What is found of datagrams that another host sends to the group."""
    wire = SimWire(seed=1)
    here, there = SimNetwork(SimLocalClock(), wire), SimNetwork(SimLocalClock(), wire)
    found: list[PtpTraffic] = []

    async def listen() -> None:
        found.append(await listen_to_ptp(here, "eth0", GENERAL_PORT, 3.0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await trio.sleep(0.5)
        socket = there.stamped(GENERAL_PORT, there.interface("eth0"))
        for data in datagrams:
            socket.send(data, (GROUP, GENERAL_PORT))
            await trio.sleep(0.1)
    return found[0]


async def test_a_grandmaster_is_found(autojump_clock: object) -> None:
    traffic = await listened(encode(ANNOUNCE), encode(ANNOUNCE))
    (clock,) = traffic.clocks
    assert (clock.domain, clock.grandmaster, clock.clock_class, clock.priority1, clock.gptp) == (
        5,
        "62-D2-11-FF-FE-00-00-01",
        6,
        99,
        False,
    )
    assert traffic.listened_s == 3.0


async def test_gptp_and_version_1_are_told_apart(autojump_clock: object) -> None:
    version_1 = bytes([0, 1]) + bytes(122)
    traffic = await listened(encode(msgspec.structs.replace(ANNOUNCE, major_sdo=1)), version_1, b"", b"junk")
    assert [clock.gptp for clock in traffic.clocks] == [True]
    assert traffic.version_1 == 1


async def test_a_flood_of_grandmasters_is_bounded(autojump_clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptp_listener, "MOST_MASTERS", 8)
    flood = [encode(msgspec.structs.replace(ANNOUNCE, grandmaster=number)) for number in range(1, 20)]
    assert len((await listened(*flood)).clocks) == 8


class NoInterface(SimNetwork):
    """A host without interfaces."""

    def interface(self, name_or_address: str, *, ipv6: bool = False) -> Interface:
        raise OSError("no network interface 'eth9'")


async def test_an_interface_that_is_not_there(autojump_clock: object) -> None:
    traffic = await listen_to_ptp(NoInterface(SimLocalClock()), "eth9", GENERAL_PORT, 1.0)
    assert traffic.refusal == "no network interface 'eth9'"
    assert traffic.listened_s == 0.0
