"""The Unix socket of sessions, beside a simulated sender, in virtual time."""

from __future__ import annotations

import json
import stat
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph import NodeError
from phasegraph.net import Arrival
from phasegraph.testing import SimLocalClock, SimNetwork, true_now_ns
from phasegraph_airplay_timing.nqptp.nqptp_server import NqptpServer
from phasegraph_airplay_timing.server_options import NqptpServerOptions
from phasegraph_airplay_timing.sessions.session_messages import MOST_LINE_OCTETS
from phasegraph_airplay_timing.sessions.session_server import MOST_SESSIONS
from phasegraph_airplay_timing.wire import ntp, session_plists
from phasegraph_airplay_timing.wire.session_plists import RateAnchor, SessionTiming, SessionTimingPeer

S = 10**9


class Program:
    """A program that speaks RTSP, at its end of the socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._number = 0
        self._received = b""

    async def ask(self, request: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        coded = {
            name: b64encode(value).decode() if isinstance(value, bytes) else value for name, value in fields.items()
        }
        await self.stream.send_all(json.dumps({"request": request, "id": self._number, **coded}).encode() + b"\n")
        answer = await self.answer()
        assert answer["id"] == self._number
        return answer

    async def answer(self) -> dict[str, Any]:
        while b"\n" not in self._received:
            received = await self.stream.receive_some(65536)
            assert received, "the connection has ended"
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.sock"


@pytest.fixture
async def server(wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path, path: Path) -> AsyncIterator[NqptpServer]:
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path), sessions=str(path))
    made = NqptpServer(options, wired, wired.local, lambda name, **fields: None)
    await nursery.start(made.run)
    return made


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Program]:
    async with await trio.open_unix_socket(path) as stream:
        yield Program(stream)


async def test_a_frame_sounds_when_the_senders_clock_says(
    server: NqptpServer, device: Any, wired: SimNetwork, path: Path, autojump_clock: object
) -> None:
    async with connected(path) as program:
        peer = SessionTimingPeer(addresses=(device.address,), id="phone", clock=0x0499_B9B7_E0F1_0008)
        answer = await program.ask("setup", body=session_plists.write_setup(SessionTiming(protocol="PTP", peer=peer)))
        assert answer["ok"]
        reply = session_plists.read_setup(b64decode(answer["body"]))
        assert reply.peer is not None
        assert (
            reply.peer.addresses
            == (wired.interface("eth0").address, wired.interface("eth0").address6)[: len(reply.peer.addresses)]
        )
        await trio.sleep(3)
        sounds_ns = true_now_ns() + 2 * S
        anchor = RateAnchor(
            playing=True, rtp=1_000, time_ns=device.leader.time_ns(sounds_ns), clock=0x0499_B9B7_E0F1_0008
        )
        await program.ask("rate-anchor", body=session_plists.write_rate_anchor(anchor))
        answer = await program.ask("frame", rtp=1_000)
        assert (answer["state"], answer["playing"]) == ("locked", True)
        assert abs(answer["monotonic_ns"] - wired.local.at(sounds_ns)) < min(answer["bound_ns"], 100_000)
        assert server.metrics()["clocks"] == 1
    await trio.sleep(1)
    assert server.metrics()["clocks"] == 0, "the session has ended with its connection"


async def test_a_session_with_ntp_follows_the_senders_clock(
    server: NqptpServer, wired: SimNetwork, nursery: trio.Nursery, path: Path, autojump_clock: object
) -> None:
    sender = SimNetwork(SimLocalClock(ppm=-20, epoch_ns=900 * S), wired.wire)
    interface = sender.interface("eth0")
    socket = sender.stamped(6002, interface)

    async def answer_requests() -> None:
        while True:
            for item in await socket.receive():
                if isinstance(item, Arrival):
                    reply = ntp.reply_to(ntp.decode(item.data), item.local_ns, sender.local.now_ns())
                    socket.send(ntp.encode(reply), item.source)

    nursery.start_soon(answer_requests)
    async with connected(path) as program:
        body = session_plists.write_setup(SessionTiming(protocol="NTP", timing_port=6002))
        assert (await program.ask("setup", body=body, address=interface.address))["ok"]
        await trio.sleep(5)
        assert (await program.ask("frame", rtp=0))["state"] == "locked"


async def test_hostile_lines_are_answered_and_end_with_the_connection(
    server: NqptpServer, path: Path, autojump_clock: object
) -> None:
    async with connected(path) as program:
        await program.stream.send_all(b"nonsense\n\n{}\n")
        for _ in range(2):
            assert not (await program.answer())["ok"]
        await program.stream.send_all(b"x" * (MOST_LINE_OCTETS + 1))
        assert "octets" in (await program.answer())["error"]
        assert await program.stream.receive_some() == b""


async def test_sessions_are_bounded(server: NqptpServer, path: Path, autojump_clock: object) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(MOST_SESSIONS):
            program = await stack.enter_async_context(connected(path))
            await program.ask("flush")
        program = await stack.enter_async_context(connected(path))
        assert "already" in (await program.answer())["error"]


async def test_the_socket_is_the_users_own_and_a_left_one_is_replaced(
    server: NqptpServer, wired: SimNetwork, tmp_path: Path, path: Path, autojump_clock: object
) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = NqptpServer(
        NqptpServerOptions(interface="eth0", directory=str(tmp_path), names=(), serve_nqptp=False, sessions=str(path)),
        wired,
        wired.local,
        lambda name, **fields: None,
    )
    with pytest.raises(ExceptionGroup) as raised:
        await second.run()
    assert raised.group_contains(NodeError, match="served by another process")
