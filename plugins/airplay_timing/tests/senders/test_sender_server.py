"""Receivers and senders of one computer in virtual time: three interfaces, one pair of ports."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph.ieee1588 import Announce, DelayResp, FollowUp, PortIdentity, Sync, encode
from phasegraph.net import Arrival
from phasegraph.testing import SimLocalClock, SimNetwork, SimWire
from phasegraph_airplay_timing.nqptp.nqptp_server import NqptpServer
from phasegraph_airplay_timing.nqptp.shared_memory import MemoryReader
from phasegraph_airplay_timing.senders import airptp, cliairplay
from phasegraph_airplay_timing.server_options import NqptpServerOptions
from phasegraph_airplay_timing.wire import apple, compose

from .test_airptp import command

S = 10**9


class Speaker:
    """A receiver of AirPlay: asks for the delay at every Sync, and notes the leader's time less its own."""

    def __init__(self, wire: SimWire, nursery: trio.Nursery, ppm: float = 0.0) -> None:
        self.network = SimNetwork(SimLocalClock(ppm=ppm), wire)
        interface = self.network.interface("eth0")
        self.address = interface.address
        self.event = self.network.stamped(319, interface)
        self.general = self.network.stamped(320, interface)
        self.announces: list[Announce] = []
        self.answers = 0
        self.syncs = 0
        self.offsets: list[int] = []
        """Of the Syncs that were read before their Follow_Ups."""
        self._arrivals: dict[int, int] = {}
        for socket in (self.event, self.general):
            nursery.start_soon(self._listen, socket)

    async def _listen(self, socket: Any) -> None:
        while True:
            for item in await socket.receive():
                if isinstance(item, Arrival):
                    self._receive(item)

    def _receive(self, item: Arrival) -> None:
        message = apple.decode(item.data)
        match message:
            case Announce():
                self.announces.append(message)
            case Sync():
                self.syncs += 1
                self._arrivals[message.sequence] = item.local_ns
                request = compose.delay_req(PortIdentity(0x0011_2233_4455_0008, 0x8005), message.sequence)
                self.event.send(encode(request), (item.source[0], 319))
            case FollowUp() if message.sequence in self._arrivals:
                departed_ns = apple.departure_ns(message, Sync(source=message.source, sequence=0))
                self.offsets.append(departed_ns - self._arrivals[message.sequence])
            case DelayResp():
                self.answers += 1


@pytest.fixture
async def server(wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[NqptpServer]:
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path), serve_airptp=True, serve_cliairplay=True)
    made = NqptpServer(options, wired, wired.local, lambda name, **fields: None)
    await nursery.start(made.run)
    return made


class Sender:
    """A program of the server's own computer."""

    def __init__(self, network: SimNetwork, directory: Path) -> None:
        self.socket = network.stamped(0, network.interface("127.0.0.1"))
        self.directory = directory

    async def ask(self, text: str) -> str:
        self.socket.send(text.encode(), ("127.0.0.1", 9010))
        for item in await self.socket.receive():
            if isinstance(item, Arrival):
                return item.data.decode()
        return ""

    async def add(self, peer: int, address: str) -> None:
        self.socket.send(command(1, peer, address), ("127.0.0.1", 320))
        await trio.sleep(0.1)

    async def remove(self, peer: int) -> None:
        self.socket.send(command(2, peer), ("127.0.0.1", 320))
        await trio.sleep(0.1)

    def sample(self) -> tuple[int, ...]:
        octets = (self.directory / "cliairplay-ptp").read_bytes()
        assert octets[cliairplay.MAIN] == octets[cliairplay.SECONDARY]
        return struct.unpack("@QQQqQII", octets[cliairplay.MAIN])

    def status(self) -> tuple[int, ...]:
        return struct.unpack("@HH4xQqHH??2x", (self.directory / "airptp_shm").read_bytes())


@pytest.mark.slow
async def test_three_kinds_of_client_share_one_clock(
    server: NqptpServer, device: Any, wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path, autojump_clock: object
) -> None:
    kitchen, hall = Speaker(wired.wire, nursery), Speaker(wired.wire, nursery, ppm=30.0)
    sender = Sender(wired, tmp_path)
    sender.socket.send(f"/nqptp T {device.address}\0".encode(), ("127.0.0.1", 9000))
    sender.socket.send(b"/nqptp B\0", ("127.0.0.1", 9000))
    await sender.add(1, kitchen.address)
    clock = sender.status()[2]
    assert await sender.ask(f"R {hall.address}") == f"OK peers=2 gm={clock:016x} role=grandmaster"
    await trio.sleep(10)
    for speaker in (kitchen, hall):
        assert {message.grandmaster for message in speaker.announces} == {clock}
        assert speaker.syncs >= 79  # 8 Hz
        assert speaker.answers >= 79
    assert max(kitchen.offsets) - min(kitchen.offsets) < 250_000  # clocks that part by 18 ppm, for 10 s
    updates, identity, realtime_ns, offset_ns, _, flags, _ = sender.sample()
    assert (identity, flags) == (clock, 3)
    now = wired.local.now_ns()
    assert abs(realtime_ns + offset_ns - now) < S // 5  # the timeline, up to one publication ago
    received = MemoryReader("/nqptp", str(tmp_path)).read_record()
    assert received is not None
    assert f"{received.clock:016X}" == device.leader.name.replace("-", "")
    await trio.sleep(5)
    assert sender.sample()[0] > updates
    assert now // S - sender.status()[3] <= airptp.FRESH_S


async def test_a_receiver_on_this_computer_keeps_its_clock_when_the_first_one_elsewhere_is_named(
    server: NqptpServer, wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path, autojump_clock: object
) -> None:
    kitchen, sender = Speaker(wired.wire, nursery), Sender(wired, tmp_path)
    sender.socket.send(b"/nqptp T 127.0.0.1\0", ("127.0.0.1", 9000))
    sender.socket.send(b"/nqptp B\0", ("127.0.0.1", 9000))
    await trio.sleep(0.5)
    memory = MemoryReader("/nqptp", str(tmp_path))
    before = memory.read_record()
    assert before is not None
    assert before.clock == sender.status()[2]
    sender.socket.send(f"R {kitchen.address}".encode(), ("127.0.0.1", 9010))
    for _ in range(500):
        await trio.sleep(0.001)
        record = memory.read_record()
        assert record is not None
        assert (record.clock, record.since_ns) == (before.clock, before.since_ns)
        assert sender.sample()[5] == 3, "locked, and ours"
        assert server.metrics()["receiver_leads"] == 0


async def test_a_receiver_that_is_removed_gets_nothing_more(
    server: NqptpServer, wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path, autojump_clock: object
) -> None:
    kitchen, sender = Speaker(wired.wire, nursery), Sender(wired, tmp_path)
    await sender.add(1, kitchen.address)
    await sender.ask(f"R {kitchen.address}")
    await trio.sleep(3)
    await sender.remove(1)
    count = kitchen.syncs
    await trio.sleep(3)
    assert kitchen.syncs > count + 22, "another sender still plays to it"
    assert "peers=0" in await sender.ask(f"U {kitchen.address}")
    await trio.sleep(1)
    count = kitchen.syncs
    await trio.sleep(3)
    assert kitchen.syncs == count


async def test_a_host_that_no_sender_named_gets_no_time(
    server: NqptpServer, wired: SimNetwork, nursery: trio.Nursery, autojump_clock: object
) -> None:
    stranger = Speaker(wired.wire, nursery)
    request = compose.delay_req(PortIdentity(0x0011_2233_4455_0008, 0x8005), 1)
    for _ in range(5):
        stranger.event.send(encode(request), (wired.interface("eth0").address, 319))
        stranger.general.send(command(1, 7, stranger.address), (wired.interface("eth0").address, 320))
        await trio.sleep(0.5)
    assert (stranger.answers, stranger.syncs) == (0, 0)
    assert server.metrics()["receivers"] == 0


async def test_the_memories_go_with_the_server(wired: SimNetwork, tmp_path: Path, autojump_clock: object) -> None:
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path), serve_airptp=True, serve_cliairplay=True)
    for _ in range(2):
        made = NqptpServer(options, wired, wired.local, lambda name, **fields: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(made.run)
            await trio.sleep(0.5)
            assert (tmp_path / "airptp_shm").stat().st_size == 32
            assert (tmp_path / "cliairplay-ptp").stat().st_size == 104
            nursery.cancel_scope.cancel()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["nqptp"]


async def test_refused_commands_are_counted(
    server: NqptpServer, wired: SimNetwork, tmp_path: Path, autojump_clock: object
) -> None:
    sender = Sender(wired, tmp_path)
    for _ in range(3):
        sender.socket.send(b"nonsense", ("127.0.0.1", 9010))
        sender.socket.send(b"nonsense", ("127.0.0.1", 320))
    await trio.sleep(0.2)
    assert server.metrics()["sender_refused_control"] == 3
    assert "peers=0" in await sender.ask("?")
