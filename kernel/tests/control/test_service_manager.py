"""What a run tells systemd, by a socket of our own in systemd's place."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from phasegraph import SystemLocalClock
from phasegraph._control.run_monitor import RunMonitor
from phasegraph._control.service_manager import ServiceManager
from phasegraph.testing import make_session

pytestmark = [pytest.mark.realtime, pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets")]
GRAPH = 'schema = 1\n[clocks.house]\nkind = "system"\n'


class Manager:
    """The other end: all that was sent to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(os.fspath(path))

    def received(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    it = Manager(tmp_path / "notify")
    yield it
    it.close()


async def test_ready_status_reloading_stopping(manager: Manager) -> None:
    session = make_session(GRAPH, local=SystemLocalClock())
    monitor = RunMonitor(session, "run")
    ours = ServiceManager(str(manager.path))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: session.run(companions=[lambda: ours.run(monitor)]))
            await session.supervisor.started.wait()
            await trio.sleep(0.1)
            first = manager.received()
            assert "READY=1" in first
            assert any(message.startswith("STATUS=1 ") for message in first)
            assert not any("WATCHDOG" in message for message in first)
            assert not await session.reload.reload()  # a graph without a file
            reloading, ready = manager.received()[-2:]
            assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert abs(int(reloading.rpartition("=")[2]) - time.monotonic_ns() // 1000) < 10_000_000
            assert ready == "READY=1"
            session.stop()
    assert "STOPPING=1" in manager.received()


async def test_the_watchdog_starves_while_a_step_keeps_the_engine(manager: Manager) -> None:
    session = make_session(GRAPH, local=SystemLocalClock())
    monitor = RunMonitor(session, "run")
    ours = ServiceManager(str(manager.path), watchdog_s=0.4)

    def block(now_ns: int) -> int:
        time.sleep(2.0)
        return now_ns + 3_600_000_000_000

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: session.run(companions=[lambda: ours.run(monitor)]))
            await session.supervisor.started.wait()
            await trio.sleep(1.0)
            assert manager.received().count("WATCHDOG=1") >= 2
            session.services.engine.attach(block, lambda error: None)
            await trio.sleep(0.5)
            manager.received()
            await trio.sleep(1.0)
            assert "WATCHDOG=1" not in manager.received()
            await trio.sleep(2.0)
            assert "WATCHDOG=1" in manager.received()
            session.stop()


def test_the_environment_says_where_and_for_whom(manager: Manager) -> None:
    assert ServiceManager.from_environment({}) is None
    assert ServiceManager.from_environment({"NOTIFY_SOCKET": "relative"}) is None
    for watchdog in ({}, {"WATCHDOG_USEC": "20000000"}, {"WATCHDOG_USEC": "nonsense", "WATCHDOG_PID": "1"}):
        found = ServiceManager.from_environment({"NOTIFY_SOCKET": str(manager.path), **watchdog})
        assert found is not None
        found.notify(STATUS="one\nline")
    assert manager.received() == ["STATUS=one line"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_socket_and_one_that_is_gone() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(f"\0phasegraph-test-{os.getpid()}")
        there.settimeout(5)
        ServiceManager(f"@phasegraph-test-{os.getpid()}").notify(READY=1)
        assert there.recv(100) == b"READY=1"
    ServiceManager(f"@phasegraph-test-{os.getpid()}").notify(READY=1)
