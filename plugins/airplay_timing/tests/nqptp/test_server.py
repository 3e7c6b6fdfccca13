"""The server in virtual time: receivers say whom they follow, and find in shared memory what time it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph.testing import SimNetwork, true_now_ns
from phasegraph_airplay_timing.nqptp.nqptp_record import FIRST, NqptpRecord
from phasegraph_airplay_timing.nqptp.nqptp_server import NqptpServer
from phasegraph_airplay_timing.nqptp.shared_memory import MemoryReader, MemoryWriter
from phasegraph_airplay_timing.server_options import NqptpServerOptions

MOST_NS = 20_000
"""What a record may be wrong by: at most 100 ms old, at 30 ppm."""


RESTART_NS = 200_000
"""The same while a server starts: the leader sleeps, and the last record is up to 5 s old."""


class Receiver:
    """What shairport-sync does of it."""

    def __init__(self, network: SimNetwork, directory: Path, name: str = "/nqptp") -> None:
        self.network = network
        self.name = name
        self.memory = MemoryReader(name, str(directory))
        self.socket = network.stamped(0, network.interface("127.0.0.1"))

    async def say(self, text: str) -> None:
        self.socket.send(f"{self.name} {text}\0".encode(), ("127.0.0.1", 9000))
        await trio.sleep(0.2)

    @property
    def record(self) -> NqptpRecord:
        record = self.memory.read_record()
        assert record is not None
        return record

    def follows(self, device: Any, most_ns: int = MOST_NS) -> bool:
        """Whether it is this device's time, and right."""
        now = self.network.local.now_ns()
        error = device.leader.time_ns(true_now_ns()) - now - self.record.offset_ns
        return f"{self.record.clock:016X}" == device.leader.name.replace("-", "") and abs(error) < most_ns


@pytest.fixture
def said() -> list[str]:
    """What the server told."""
    return []


@pytest.fixture
async def server(
    wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path, said: list[str]
) -> AsyncIterator[NqptpServer]:
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path))
    made = NqptpServer(options, wired, wired.local, lambda name, **fields: said.append(f"{name} {fields}"))
    await nursery.start(made.run)
    return made


@pytest.fixture
def receiver(server: NqptpServer, wired: SimNetwork, tmp_path: Path) -> Callable[..., Receiver]:
    return lambda *name: Receiver(wired, tmp_path, *name)


@pytest.mark.slow
async def test_a_session(
    server: NqptpServer, device: Any, receiver: Callable[..., Receiver], wired: SimNetwork, autojump_clock: object
) -> None:
    it = receiver()
    assert it.record == NqptpRecord()
    await it.say("T")
    await it.say(f"T {device.address}")
    await trio.sleep(3)
    assert it.record == NqptpRecord(), "it does not play yet"
    await it.say("B")
    first = it.record
    assert it.follows(device)
    assert first.local_ns - first.since_ns >= 400_000_000, "receivers would wait"
    await trio.sleep(10)
    assert it.follows(device)
    assert it.record.since_ns == first.since_ns
    assert 0 <= wired.local.now_ns() - it.record.local_ns <= 110_000_000
    assert server.metrics()["exchanges"] > 60
    await it.say("P")
    assert it.follows(device)
    await it.say("E")
    assert it.follows(device), "another receiver may use this name, and still play"
    device.leader.present = False
    await trio.sleep(3)
    assert it.record == NqptpRecord()
    await it.say("B")
    device.leader.present = True
    await trio.sleep(3)
    assert it.follows(device)
    await it.say("T")
    assert it.record == NqptpRecord()
    assert server.metrics()["clocks"] == 0


async def test_receivers_that_follow_the_same_share_what_is_known(
    server: NqptpServer, device: Any, receiver: Callable[..., Receiver], autojump_clock: object
) -> None:
    one, two = receiver(), receiver("/nqptp-kitchen")
    await one.say(f"T {device.address}")
    await one.say("B")
    await trio.sleep(3)
    await two.say(f"T {device.address}")
    await two.say("B")
    assert two.follows(device)  # at once
    assert one.record == two.record
    assert server.metrics()["clocks"] == 1
    await one.say("T")
    assert one.record == NqptpRecord()
    assert two.follows(device)


@pytest.mark.slow
async def test_receivers_with_leaders_of_their_own(
    server: NqptpServer,
    device: Any,
    receiver: Callable[..., Receiver],
    wired: SimNetwork,
    nursery: trio.Nursery,
    autojump_clock: object,
) -> None:
    other = type(device)(wired.wire, nursery, 0x0599_0000_0000_0008)
    other.leader.epoch_ns += 10**15
    other.follower = device.follower
    one, two, both = receiver(), receiver("/nqptp-kitchen"), receiver("/nqptp-hall")
    asked: set[tuple[int, int]] = set()
    answer = device.leader.receive
    device.leader.receive = lambda message, world: (
        asked.add((message.source.clock, message.source.port)),
        answer(message, world),
    )
    for it, peers in ((one, device.address), (two, other.address), (both, f"{device.address} {other.address}")):
        await it.say(f"T {peers}")
        await it.say("B")
    await trio.sleep(5)
    assert one.follows(device)
    assert two.follows(other)
    assert both.follows(device)  # the better of both
    assert len({clock for clock, _ in asked}) == 1
    assert len(asked) == 2, "two who ask the same leader take each other's answers"
    assert [each.participant.tracker.misfits for each in server.groups.values()] == [0, 0, 0]
    device.leader.present = False
    await trio.sleep(12)
    assert both.follows(other)
    assert both.record.since_ns > two.record.since_ns


@pytest.mark.slow
async def test_the_end_of_one_receiver_leaves_the_time_to_another_of_its_name(
    server: NqptpServer, device: Any, receiver: Callable[..., Receiver], autojump_clock: object
) -> None:
    one, two = receiver(), receiver()
    for it in (one, two):
        await it.say(f"T {device.address}")
        await it.say("B")
    await trio.sleep(3)
    await one.say("E")
    for _ in range(100):
        await trio.sleep(0.1)
        assert two.follows(device)
    device.leader.present = False
    await trio.sleep(3)
    assert two.record == NqptpRecord(), "no Sync comes, and no receiver plays"


async def test_what_is_asked_for_is_written_whatever_is_there(
    server: NqptpServer, receiver: Callable[..., Receiver], tmp_path: Path, autojump_clock: object
) -> None:
    # Somebody else's octets stand for a clock that was known, as in a test of nqptp's own.
    one, two = receiver("/nqptp-kitchen"), receiver("/nqptp-foyer")
    there = NqptpRecord(clock=7, local_ns=7).encode()
    for it in (one, two):
        await it.say("T 10.0.0.1")
        await it.say("B")
        with it.memory.path.open("r+b") as file:
            file.seek(FIRST.start)
            file.write(2 * there)
    await two.say("T")
    assert two.record == NqptpRecord()
    assert one.record == NqptpRecord(clock=7, local_ns=7)
    await one.say("E")
    assert one.record == NqptpRecord()


async def test_what_is_refused_is_counted_and_told_once(
    server: NqptpServer, receiver: Callable[..., Receiver], said: list[str], autojump_clock: object
) -> None:
    it, stranger = receiver(), receiver("/dev-zero")
    for _ in range(3):
        await it.say("T nowhere")
        await stranger.say("T 10.0.0.1")
    metrics = server.metrics()
    assert (metrics["refused_address"], metrics["refused_name"], metrics["clients"]) == (3, 3, 1)
    assert sum("is no IP address" in each for each in said) == 1
    assert sum("is not served" in each for each in said) == 1


async def test_a_memory_that_cannot_be_had(
    server: NqptpServer, receiver: Callable[..., Receiver], tmp_path: Path, said: list[str], autojump_clock: object
) -> None:
    (tmp_path / "nqptp-kitchen").mkdir()
    await receiver("/nqptp-kitchen").say("T 10.0.0.1")
    assert server.metrics()["refused_memory"] == 1
    assert server.metrics()["clients"] == 1
    assert "nqptp-kitchen" in said[-1]


async def test_strangers_are_not_heard(
    server: NqptpServer, device: Any, receiver: Callable[..., Receiver], autojump_clock: object
) -> None:
    it = receiver()
    await it.say("T 10.9.9.9")
    await it.say("B")
    await trio.sleep(5)
    assert it.record == NqptpRecord()
    assert server.metrics()["dropped_stranger"] > 20
    assert not server.groups["10.9.9.9",].participant.engine.counters


@pytest.mark.slow
async def test_a_restart_is_not_noticed_by_receivers(
    device: Any, wired: SimNetwork, tmp_path: Path, autojump_clock: object
) -> None:
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path), names=["/nqptp", "/second"])
    since_ns = None
    for run in range(3):
        server = NqptpServer(options, wired, wired.local, lambda name, **fields: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            one, two = Receiver(wired, tmp_path), Receiver(wired, tmp_path, "/second")
            if run == 0:
                for it in (one, two):
                    await it.say(f"T {device.address}")
                    await it.say("B")
            for _ in range(120):
                await trio.sleep(0.05)
                assert run == 0 or one.follows(device, RESTART_NS)
                assert run == 0 or two.follows(device, RESTART_NS)
            assert since_ns in (None, one.record.since_ns), "the time goes on without a step"
            since_ns = one.record.since_ns
            nursery.cancel_scope.cancel()
        assert one.follows(device)
        await trio.sleep(1)
    await trio.sleep(15)
    async with trio.open_nursery() as nursery:
        await nursery.start(NqptpServer(options, wired, wired.local, lambda name, **fields: None).run)
        assert one.record == NqptpRecord(), "a record that was left long ago is cleared"
        nursery.cancel_scope.cancel()


async def test_a_memory_is_there_before_its_receiver_starts(
    wired: SimNetwork, tmp_path: Path, autojump_clock: object
) -> None:
    # shairport-sync opens its memory once, right after its first command.
    memories = tmp_path / "shm"
    for boot in range(3):
        memories.mkdir()
        options = NqptpServerOptions(interface="eth0", directory=str(memories), state=str(tmp_path / "state"))
        async with trio.open_nursery() as nursery:
            await nursery.start(NqptpServer(options, wired, wired.local, lambda name, **fields: None).run)
            assert (memories / "nqptp-kitchen").exists() == (boot > 0)
            await Receiver(wired, memories, "/nqptp-kitchen").say("T 10.0.0.1")
            assert (memories / "nqptp-kitchen").exists()
            nursery.cancel_scope.cancel()
        for path in memories.iterdir():
            path.unlink()
        memories.rmdir()


async def test_a_memory_of_an_earlier_server_is_served_from_the_start(
    wired: SimNetwork, tmp_path: Path, autojump_clock: object
) -> None:
    MemoryWriter("/nqptp-hall", str(tmp_path), now_ns=0).close()
    (tmp_path / "nqptp-not a name").touch()
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path))
    server = NqptpServer(options, wired, wired.local, lambda name, **fields: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        assert [*server.clients.by_name] == ["/nqptp", "/nqptp-hall"]
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_session_goes_on_after_a_restart(
    device: Any, wired: SimNetwork, tmp_path: Path, autojump_clock: object
) -> None:
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path))
    one, two, idle = (Receiver(wired, tmp_path, name) for name in ("/nqptp", "/nqptp-kitchen", "/nqptp-hall"))
    for run in range(3):
        server = NqptpServer(options, wired, wired.local, lambda name, **fields: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            if run == 0:
                for it in (one, two, idle):
                    await it.say(f"T {device.address}")
                    await it.say("B")
                await idle.say("E")
            await trio.sleep(3)
            assert one.follows(device)
            assert two.follows(device) == (run < 2)
            assert idle.follows(device)
            if run == 1:
                await two.say("T")
            nursery.cancel_scope.cancel()
    assert not (tmp_path / "nqptp-kitchen~").exists()


@pytest.mark.slow
async def test_a_sender_may_send_time_by_the_other_family(
    server: NqptpServer, device: Any, receiver: Callable[..., Receiver], autojump_clock: object
) -> None:
    one, two = receiver(), receiver("/nqptp-kitchen")
    await two.say("T fe80::9")
    await two.say("B")
    await one.say(f"T {device.address}")
    await one.say("B")
    await trio.sleep(3)
    assert one.follows(device)
    assert two.record == NqptpRecord(), "an address that another client named stands in for no peer"
    await one.say("T")
    await trio.sleep(3)
    assert two.follows(device)
