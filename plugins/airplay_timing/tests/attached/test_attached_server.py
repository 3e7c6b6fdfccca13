"""``kernel airplay serve`` beside another program that has the ports of PTP, in virtual time."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph import NodeError
from phasegraph.net import Arrival
from phasegraph.testing import SimNetwork
from phasegraph_airplay_timing.nqptp.nqptp_record import NqptpRecord
from phasegraph_airplay_timing.nqptp.nqptp_server import NqptpServer
from phasegraph_airplay_timing.nqptp.shared_memory import MemoryReader, MemoryWriter
from phasegraph_airplay_timing.senders import airptp, cliairplay
from phasegraph_airplay_timing.server_options import NqptpServerOptions

S = 10**9
CLOCK = 0x0102_0304_0506_0708


class OtherProgram:
    """Another server on this computer: it holds ports, and writes its memory."""

    def __init__(self, network: SimNetwork, directory: Path, program: str) -> None:
        self.network = network
        self.directory = directory
        self.program = program
        self.clock = CLOCK
        self.running = True
        self.commands: list[airptp.AirptpCommand] = []

    def holders(self, port: int) -> list[str]:
        ports = {319, 320} | ({9000} if self.program == "nqptp" else set())
        return [f"{self.program} (process 812)"] if self.running and port in ports else []

    async def run(self) -> None:
        """Renew the memory, and take the commands."""
        socket = self.network.stamped(320, self.network.interface("127.0.0.1"))
        updates = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, socket)
            while self.running:
                now, updates = self.network.local.now_ns(), updates + 1
                if self.program == "airptp":
                    status = airptp.encode_status(self.clock, now // S, (319, 320), ipv4=True, ipv6=True)
                    (self.directory / "airptp_shm").write_bytes(status)
                elif self.program == "cliairplay":
                    sample = cliairplay.CliairplaySample(
                        updates=updates, clock=self.clock, realtime_ns=now, offset_ns=5 * S, started_ns=7
                    )
                    (self.directory / "cliairplay-ptp").write_bytes(cliairplay.encode_header() + 2 * sample.encode())
                else:
                    writer = MemoryWriter("/nqptp", str(self.directory), now_ns=now)
                    writer.write(NqptpRecord(clock=self.clock, local_ns=now, offset_ns=3 * S, since_ns=now - S))
                    writer.close()
                await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        socket.close()

    async def _listen(self, socket: Any) -> None:
        while True:
            for item in await socket.receive():
                if isinstance(item, Arrival) and (command := airptp.parse_command(item.data)):
                    self.commands.append(command)


class Attached:
    """Our server beside it, and clients."""

    def __init__(self, other: OtherProgram, **options: Any) -> None:
        self.other = other
        self.said: list[str] = []
        options = {"serve_airptp": True, "serve_cliairplay": True} | options
        self.server = NqptpServer(
            NqptpServerOptions(interface="eth0", directory=str(other.directory), **options),
            other.network,
            other.network.local,
            lambda name, **fields: self.said.append(f"{name} {fields}"),
            other.holders,
        )
        self.socket = other.network.stamped(0, other.network.interface("127.0.0.1"))

    async def command(self, text: str) -> None:
        self.socket.send(f"{text}\0".encode(), ("127.0.0.1", 9000))
        await trio.sleep(0.3)

    async def ask(self, text: str) -> str:
        self.socket.send(text.encode(), ("127.0.0.1", 9010))
        with trio.fail_after(5):
            for item in await self.socket.receive():
                if isinstance(item, Arrival):
                    await trio.sleep(0.3)
                    return item.data.decode()
        return ""

    def record(self, name: str = "/nqptp") -> NqptpRecord:
        record = MemoryReader(name, str(self.other.directory)).read_record()
        assert record is not None
        return record


@pytest.fixture
async def beside(wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async def start(program: str, **options: Any) -> Attached:
        other = OtherProgram(wired, tmp_path, program)
        nursery.start_soon(other.run)
        await trio.sleep(0.1)
        attached = Attached(other, **options)
        await nursery.start(attached.server.run)
        return attached

    return start


async def test_music_assistant_plays_on_the_clock_of_a_running_airptp(
    beside: Callable[..., Any], autojump_clock: object
) -> None:
    it = await beside("airptp")
    assert await it.ask("R 10.0.0.7 10.0.0.8") == f"OK peers=2 gm={CLOCK:016x} role=grandmaster"
    assert {each.address for each in it.other.commands} == {"10.0.0.7", "10.0.0.8"}
    await it.ask("U 10.0.0.7")
    removed = it.other.commands[-1]
    assert removed.address is None
    assert removed.peer == next(each.peer for each in it.other.commands if each.address == "10.0.0.7")
    await trio.sleep(1)
    octets = (it.other.directory / "cliairplay-ptp").read_bytes()
    updates, clock, realtime_ns, offset_ns, _, flags, _ = struct.unpack("@QQQqQII", octets[cliairplay.MAIN])
    assert octets[cliairplay.MAIN] == octets[cliairplay.SECONDARY]
    assert (clock, flags, offset_ns) == (CLOCK, 3, 0)
    assert 0 <= it.other.network.local.now_ns() - realtime_ns <= S // 5
    assert updates > 5
    assert it.server.metrics()["attached"] == "airptp"


async def test_a_running_airptp_that_starts_again_gets_the_receivers_again(
    beside: Callable[..., Any], autojump_clock: object
) -> None:
    it = await beside("airptp")
    await it.ask("R 10.0.0.7")
    count = len(it.other.commands)
    await trio.sleep(5)
    assert len(it.other.commands) == count
    it.other.clock += 1
    await trio.sleep(2)
    assert [each.address for each in it.other.commands[count:]] == ["10.0.0.7"]


@pytest.mark.parametrize(("program", "offset_ns"), [("airptp", 0), ("cliairplay", 5 * S)])
async def test_a_receiver_that_this_computer_plays_to_has_the_time_of_the_running_server(
    beside: Callable[..., Any], program: str, offset_ns: int, autojump_clock: object
) -> None:
    it = await beside(program)
    await it.command("/nqptp T 127.0.0.1")
    assert it.record() == NqptpRecord()
    await it.command("/nqptp B")
    record = it.record()
    assert (record.clock, record.offset_ns) == (CLOCK, offset_ns)
    assert record.local_ns - record.since_ns >= S // 2
    await it.command("/nqptp T 10.0.0.9")
    assert it.record() == NqptpRecord(), "it cannot be followed without the ports"
    assert f"cannot_follow {{'peers': '10.0.0.9', 'reason': '{program} has the ports of PTP, and leads'}}" in it.said


async def test_other_names_get_what_a_running_nqptp_knows(beside: Callable[..., Any], autojump_clock: object) -> None:
    it = await beside("nqptp", names=("/nqptp", "/nqptp-kitchen"))
    await trio.sleep(1)
    record = it.record("/nqptp-kitchen")
    assert (record.clock, record.offset_ns) == (CLOCK, 3 * S)
    assert [each for each in it.said if each.startswith("not_served")] == [
        f"not_served {{'program': '{name}', 'reason': 'nqptp has the ports of PTP'}}"
        for name in ("airptp", "cliairplay")
    ]


async def test_nothing_is_left_to_serve_beside_nqptp(wired: SimNetwork, tmp_path: Path, autojump_clock: object) -> None:
    other = OtherProgram(wired, tmp_path, "nqptp")
    MemoryWriter("/nqptp", str(tmp_path), now_ns=0).close()
    with pytest.raises(NodeError, match=r"held by nqptp \(process 812\), and nothing is left to serve"):
        await Attached(other).server.run()


async def test_a_stale_memory_is_of_no_server(wired: SimNetwork, tmp_path: Path, autojump_clock: object) -> None:
    other = OtherProgram(wired, tmp_path, "ptp4l")
    now_s = wired.local.now_ns() // S
    (tmp_path / "airptp_shm").write_bytes(airptp.encode_status(7, now_s - 16, (319, 320), ipv4=True, ipv6=True))
    with pytest.raises(NodeError, match=r"held by ptp4l \(process 812\), and serves no AirPlay program: .* 16 s old"):
        await Attached(other).server.run()


@pytest.mark.slow
async def test_this_server_takes_the_place_of_one_that_ends(
    beside: Callable[..., Any], device: Any, autojump_clock: object
) -> None:
    it = await beside("airptp")
    await it.ask("R 10.0.0.7")
    await it.command(f"/nqptp T {device.address}")
    await it.command("/nqptp B")
    assert it.record() == NqptpRecord()
    it.other.running = False
    (it.other.directory / "airptp_shm").unlink()
    await trio.sleep(4)
    assert "detached {'program': 'airptp'}" in it.said
    assert f"{it.record().clock:016X}" == device.leader.name.replace("-", "")
    answer = await it.ask("?")
    assert answer.startswith("OK peers=1 gm=")
    assert f"gm={CLOCK:016x}" not in answer, "it leads a clock of its own"
    assert it.server.metrics()["receivers"] == 1
    assert (it.other.directory / "airptp_shm").stat().st_size == airptp.STATUS_SIZE


@pytest.mark.parametrize("off", ["nqptp", "airptp", "cliairplay"])
async def test_each_kind_of_client_can_be_left_out(
    wired: SimNetwork, tmp_path: Path, nursery: trio.Nursery, autojump_clock: object, off: str
) -> None:
    files = {"nqptp": "nqptp", "airptp": "airptp_shm", "cliairplay": "cliairplay-ptp"}
    served: dict[str, Any] = {f"serve_{name}": name != off for name in files}
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path), **served)
    server = NqptpServer(options, wired, wired.local, lambda name, **fields: None)
    await nursery.start(server.run)
    assert {path.name for path in tmp_path.iterdir()} == {file for name, file in files.items() if name != off}
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o777 == 0o644, "clients of other users read it"


async def test_receivers_of_senders_survive_a_restart(
    wired: SimNetwork, tmp_path: Path, autojump_clock: object
) -> None:
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path), serve_airptp=True, serve_cliairplay=True)
    socket = wired.stamped(0, wired.interface("127.0.0.1"))
    for run in range(3):
        server = NqptpServer(options, wired, wired.local, lambda name, **fields: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            assert server.metrics()["receivers"] == (0, 2, 0)[run]
            if run == 0:
                socket.send(b"R 10.0.0.7", ("127.0.0.1", 9010))
                socket.send(airptp.encode_command(airptp.AirptpCommand(3, "10.0.0.8")), ("127.0.0.1", 320))
            elif run == 1:
                socket.send(b"U 10.0.0.7", ("127.0.0.1", 9010))
                socket.send(airptp.encode_command(airptp.AirptpCommand(3, None)), ("127.0.0.1", 320))
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nqptp"]
