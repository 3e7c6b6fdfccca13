"""The control socket of a run: what clients get, and that no client holds up the run."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph import SystemLocalClock
from phasegraph._control import control_server, socket_paths
from phasegraph._control.control_protocol import MOST_LINE_BYTES
from phasegraph._control.control_server import MOST_CLIENTS, MOST_EVENTS, ControlServer
from phasegraph._control.counter_rates import recent_losses
from phasegraph._control.run_monitor import NODES_AT_ONCE, RunMonitor
from phasegraph._run.logging import make_log
from phasegraph.control import (
    ChangeRefused,
    ChangeTime,
    ControlError,
    EventLine,
    RunStatus,
    connect_async,
    find_run,
    list_runs,
)
from phasegraph.testing import make_session

pytestmark = [pytest.mark.realtime, pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets")]
GRAPH = """
schema = 1
[clocks.house]
kind = "system"
[sources.tone]
kind = "tone"
[sinks.out]
kind = "null"
input = "tone"
"""


class Running:
    def __init__(self, session: Any, server: ControlServer, path: Path) -> None:
        self.session, self.server, self.path = session, server, path
        self.report: dict[str, Any] = {}


@asynccontextmanager
async def running(folder: Path, text: str = GRAPH) -> AsyncIterator[Running]:
    path = folder / "run.sock"
    session = make_session(text, local=SystemLocalClock())
    monitor = RunMonitor(session, "run")
    server = ControlServer(monitor, socket_paths.listen(path), path, make_log(level="error"))
    it = Running(session, server, path)

    async def run() -> None:
        it.report = await session.run(companions=[monitor.run, server.run])

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await session.supervisor.started.wait()
            yield it
            session.supervisor.stop("time")


@asynccontextmanager
async def raw(path: Path) -> AsyncIterator[trio.SocketStream]:
    async with await trio.open_unix_socket(path) as stream:
        yield stream


async def lines_of(stream: trio.SocketStream) -> list[Any]:
    """Every line until the server closes the connection."""
    data = b""
    with trio.move_on_after(5):
        try:
            while more := await stream.receive_some(65536):
                data += more
        except trio.BrokenResourceError:
            pass
    return [json.loads(line) for line in data.splitlines()]


async def test_a_snapshot(tmp_path: Path) -> None:
    async with running(tmp_path) as it, connect_async(it.path) as run:
        assert run.hello is not None
        assert (run.hello.protocol, run.hello.pid, run.hello.name) == (1, os.getpid(), "run")
        await trio.sleep(1.2)
        status = await run.status()
        assert list(status.nodes) == ["house", "tone", "out"]
        assert status.nodes["house"].metrics["state"] == "locked"
        assert status.nodes["out"].rates["1"]["frames_in"] > 0
        shapes = {id: (node.rate, node.channels) for id, node in status.nodes.items()}
        assert shapes == {"house": (None, None), "tone": (48000, 2), "out": (48000, 2)}
        assert status.edges["tone->out"].crossing is False
        assert (status.trouble, status.stopping) == ([], False)
        assert status.duration_s > 1


async def test_a_snapshot_of_many_nodes_is_made_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sinks = "".join(f'[sinks.n{number}]\nkind = "null"\ninput = "tone"\n' for number in range(3 * NODES_AT_ONCE))
    async with running(tmp_path, GRAPH + sinks) as it, trio.open_nursery() as nursery:
        monitor, statuses, kinds = it.server.monitor, [], []
        do = monitor.slices.do

        async def seen(kind: str, work: Any, deadline_ns: int) -> Any:
            kinds.append(kind)
            await trio.sleep(0.001)
            return await do(kind, work, deadline_ns)

        async def read() -> None:
            statuses.append(await monitor.read_status())

        monkeypatch.setattr(monitor.slices, "do", seen)
        for _ in range(2):
            nursery.start_soon(read)
        with trio.fail_after(20):
            while len(statuses) < 2:
                await trio.sleep(0.001)
        assert kinds.count("nodes") == 4, "once for both readers"
        assert (kinds.count("edges"), kinds.count("status")) == (1, 1)
        assert statuses[0] is statuses[1]
        assert list(statuses[0].nodes) == list(it.session.built.nodes)
        assert list(statuses[0].edges) == ["tone->out", *(f"tone->n{number}" for number in range(3 * NODES_AT_ONCE))]
        assert monitor.status() is statuses[0] or monitor.status().duration_s > statuses[0].duration_s


async def test_a_subscription_gets_status_and_events(tmp_path: Path) -> None:
    async with running(tmp_path) as it, connect_async(it.path) as run:
        seen: list[Any] = []
        async for line in run.subscribe(interval_s=0.2):
            seen.append(line)
            if len(seen) == 2:
                it.session.services.event("out", "overrun", {"frames": 480})
            if isinstance(line, EventLine):
                break
        assert isinstance(seen[0], RunStatus)
        assert (line.event.node, line.event.name, line.event.fields) == ("out", "overrun", {"frames": 480})


async def test_a_node_is_restarted_and_the_others_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as it, connect_async(it.path) as run:
        await run.restart("out")
        await trio.sleep(0.5)
        names = [(event.node, event.name) for event in it.session.services.events]
        assert names == [("out", "restarted")]
        status = await run.status()
        assert {node.state for node in status.nodes.values()} == {"running"}
        with pytest.raises(ControlError, match=r"no node 'our' \(did you mean"):
            await run.restart("our")


async def test_the_graph_is_read_planned_and_changed(tmp_path: Path) -> None:
    async with running(tmp_path) as it, connect_async(it.path) as run:
        graph = await run.graph()
        assert graph["sinks"] == {"out": {"kind": "null", "input": "tone"}}
        graph["sinks"]["more"] = {"kind": "null", "input": "tone"}
        plan = await run.plan(graph=graph)
        assert [(change.node, change.change) for change in plan.changed] == [("more", "added")]
        assert (await run.plan(toml="schema = 2")).problems
        assert list((await run.status()).nodes) == ["house", "tone", "out"]
        await run.apply(graph=graph)
        await trio.sleep(0.5)
        done = await run.set({"source.hum": {"kind": "tone", "frequency": "50Hz"}, "sink.out.input": "hum"})
        assert done.applied["out"].frame > 0
        status = await run.status()
        assert {id: node.state for id, node in status.nodes.items()} == dict.fromkeys(
            ["house", "tone", "hum", "out", "more"], "running"
        )
        assert set(status.edges) == {"tone->more", "hum->out"}
        with pytest.raises(ChangeRefused, match="there is no sink") as refused:
            await run.set({"sink.out.input": "nothing", "sink.mor": None})
        assert len(refused.value.plan.problems) == 3
        with pytest.raises(ControlError, match="expected one of graph, toml and set"):
            await run.plan()
        assert "graph_changed" in {event.name for event in it.session.services.events}


async def test_a_change_whose_time_has_not_come_can_be_given_up(tmp_path: Path) -> None:
    async with running(tmp_path) as it, connect_async(it.path) as run:
        later = ChangeTime(local_ns=it.session.local.now_ns() + 3600 * 10**9)
        done = await run.set({"source.tone.level": "-30dBFS"}, at=later, wait=False)
        assert done.plan.changed
        await run.cancel(done)
        await trio.sleep(0.1)
        with pytest.raises(ControlError, match="is waiting for its time"):
            await run.cancel(done)
        assert "level" not in (await run.graph())["sources"]["tone"]


async def test_stop_ends_the_run(tmp_path: Path) -> None:
    async with running(tmp_path) as it, connect_async(it.path) as other, connect_async(it.path) as run:
        subscription = other.subscribe(interval_s=0.2)
        assert isinstance(await subscription.__anext__(), RunStatus)
        await run.stop()
        async for line in subscription:  # it ends with the run
            assert isinstance(line, RunStatus)
    assert it.report["ended"] == "stopped"
    assert not it.path.exists()


async def test_any_bytes_are_an_error_line_or_the_end_of_the_connection(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with running(tmp_path) as it:
        for number in range(40):
            junk = chance.randbytes(chance.choice([1, 30, 3000, *([] if number % 2 else [3 * MOST_LINE_BYTES])]))
            async with raw(it.path) as stream:
                try:
                    await stream.send_all(junk if number % 2 else junk.replace(b"\n", b" ") + b"\n")
                    await stream.send_eof()
                except trio.BrokenResourceError:
                    continue
                hello, *rest = await lines_of(stream)
            assert hello["protocol"] == 1
            assert all(line["ok"] is False and line["error"] for line in rest)
        async with connect_async(it.path) as run:
            assert (await run.status()).nodes["out"].state == "running"
    assert it.report["ended"] == "time"


async def test_a_line_without_end_closes_the_connection(tmp_path: Path) -> None:
    async with running(tmp_path) as it, raw(it.path) as stream:
        for _ in range(100):
            try:
                await stream.send_all(b"x" * MOST_LINE_BYTES)
            except trio.BrokenResourceError:
                break
        else:
            pytest.fail("the server reads without limit")


async def test_clients_that_never_read_cost_only_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "PATIENCE_S", 1.0)
    request = b'{"request": "subscribe", "interval_s": 0.2}\n' + b'{"request": "status"}\n' * 200
    async with running(tmp_path) as it:
        streams = [await trio.open_unix_socket(it.path) for _ in range(20)]
        for stream in streams:
            await stream.send_all(request)
        for number in range(3 * MOST_EVENTS):
            it.session.services.event("out", "overrun", {"number": number, "text": "x" * 200})
        async with connect_async(it.path) as run:
            began = trio.current_time()
            await run.status()
            assert trio.current_time() - began < 2
            assert max(len(client._events) for client in it.server._clients) <= MOST_EVENTS
            assert max(len(client._answers) for client in it.server._clients) <= 2 * control_server.MOST_ANSWERS
            while len(it.server._clients) > 1:
                await trio.sleep(0.05)
            before = (await run.status()).nodes["out"].metrics["frames_in"]
            await trio.sleep(1)
            assert (await run.status()).nodes["out"].metrics["frames_in"] > before
        for stream in streams:
            await stream.aclose()


async def test_events_that_a_slow_reader_did_not_get_are_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as it, connect_async(it.path) as run:
        lines = run.subscribe(interval_s=None)
        lost = events = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, it, 3 * MOST_EVENTS)
            async for line in lines:
                assert isinstance(line, EventLine)
                events, lost = events + 1, lost + line.lost
                if events + lost == 3 * MOST_EVENTS:
                    break
        assert lost > 0


async def flood(it: Running, count: int) -> None:
    await trio.sleep(0.2)
    for number in range(count):
        it.session.services.event("out", "overrun", {"number": number})


async def test_clients_are_limited(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        streams = [await trio.open_unix_socket(it.path) for _ in range(MOST_CLIENTS)]
        while len(it.server._clients) < MOST_CLIENTS:
            await trio.sleep(0.01)
        with pytest.raises(ControlError, match="too many clients"):
            async with connect_async(it.path):
                pass
        for stream in streams:
            await stream.aclose()


async def test_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "peer_user", lambda connection: os.geteuid() + 1)
    async with running(tmp_path) as it, raw(it.path) as stream:
        assert await lines_of(stream) == []


def test_the_socket_is_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "run.sock"
    with socket_paths.listen(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(OSError, match="another run has the control socket"):
            socket_paths.listen(path)
    with socket_paths.listen(path):  # one that a dead run left is replaced
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="is not a socket"):
        socket_paths.listen(tmp_path / "file")


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(OSError, match="others may write"):
        socket_paths.private_folder(tmp_path / "open")
    assert stat.S_IMODE(socket_paths.private_folder(tmp_path / "own").stat().st_mode) == 0o700


def test_runs_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_paths, "runtime_folders", lambda: [tmp_path / "phasegraph"])
    first, one = socket_paths.listen_as(socket_paths.run_name("/graphs/Main hall.toml"))
    second, two = socket_paths.listen_as("Main-hall")
    assert (one.name, two.name) == ("Main-hall.sock", "Main-hall-2.sock")
    first.close()
    third, three = socket_paths.listen_as("Main-hall")
    assert three == one, "the name of a dead run is free"
    second.close()
    third.close()
    assert list_runs(known=[one]) == {"Main-hall": one}, "a run that is known is not asked"
    assert list_runs() == {}
    assert not one.exists(), "sockets of dead runs are removed"
    with pytest.raises(ControlError, match="no run 'x': there is no socket in"):
        find_run("x")
    with pytest.raises(ControlError, match="no run: there is no socket in"):
        find_run()


@pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED")
def test_the_peer_is_known() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert socket_paths.peer_user(one) == os.geteuid()


def test_folders_of_a_service_a_session_and_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert socket_paths.runtime_folders()[0] == Path("/run/phasegraph")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert socket_paths.runtime_folders()[0].name == "phasegraph-1000"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert socket_paths.runtime_folders()[0] == Path("/run/user/1000/phasegraph")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/hall:/run/other")
    assert socket_paths.runtime_folders()[0] == Path("/run/hall")


def test_a_loss_of_the_last_seconds_is_trouble() -> None:
    assert recent_losses({}) == ""
    assert recent_losses({"packets_received": 1000}) == ""
    recent = {"packets_received": 1000, "packets_lost": 12, "underrun_frames": 1440}
    assert recent_losses(recent) == "12 lost, 1 440 frames missing in the last 10 s"
