"""``[control.nmos]``: a run starts its NMOS node, watches it, and ends it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.addresses import LOOPBACK, free_port
from tests.support.graphs import HEAD, table
from tests.support.kernel import kernel_running
from tests.support.process import Running

from phasegraph.control import RunStatus, connect

pytestmark = pytest.mark.realtime


def devices(port: int) -> list[dict[str, Any]]:
    """The devices of the node; none where it does not answer."""
    with suppress(OSError), closing(http.client.HTTPConnection(LOOPBACK, port, timeout=5)) as connection:
        connection.request("GET", "/x-nmos/node/v1.3/devices")
        found: list[dict[str, Any]] = json.loads(connection.getresponse().read())
        return found
    return []


@contextmanager
def run_with_node(folder: Path, port: int) -> Iterator[Running]:
    graph = folder / "hall.toml"
    node = "[control.nmos]\n" + f'interface = "lo"\nport = {port}\nmdns = false\nstate = "state"\n'
    tone = table("sources", "t", kind="tone", channels=2) + table("sinks", "n", kind="null", input="t")
    graph.write_text(HEAD + node + tone)
    with kernel_running(["run", graph, "--control", folder / "hall.sock"], folder) as run:
        run.wait_until(lambda: devices(port), "the node")
        yield run


def status(folder: Path) -> RunStatus:
    with connect(folder / "hall.sock") as run:
        return run.status()


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_node_that_dies_is_in_the_status_and_comes_back_and_ends_with_the_run(tmp_path: Path) -> None:
    port = free_port()
    with run_with_node(tmp_path, port) as run:
        [device] = devices(port)
        before = status(tmp_path).control["nmos"]
        assert (before.state, before.restarts, before.trouble) == ("running", 0, "")
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        run.wait_until(lambda: status(tmp_path).control["nmos"].trouble, "the trouble")
        [trouble] = [each for each in status(tmp_path).trouble if each.startswith("control.nmos: ")]
        assert trouble.startswith("control.nmos: it was ended by SIGKILL")
        run.wait_until(lambda: devices(port), "the node once more")
        after = status(tmp_path).control["nmos"]
        assert (after.state, after.restarts, after.trouble) == ("running", 1, "")
        assert [each["id"] for each in devices(port)] == [device["id"]]
        pid = after.pid
        assert pid is not None
        run.process.terminate()
        assert run.wait(30) == 0
        assert has_ended(pid)
    assert "cannot" not in run.stderr


def test_the_node_of_a_run_that_is_killed_ends_too(tmp_path: Path) -> None:
    port = free_port()
    with run_with_node(tmp_path, port) as run:
        pid = status(tmp_path).control["nmos"].pid
        assert pid is not None
        run.process.kill()
        for _ in range(200):
            if has_ended(pid):
                return
            time.sleep(0.1)
        pytest.fail("the node goes on without its run")


def test_a_node_that_cannot_serve_says_why_in_the_status(tmp_path: Path) -> None:
    port = free_port()
    with run_with_node(tmp_path, port):
        second = tmp_path / "second"
        second.mkdir()
        text = (tmp_path / "hall.toml").read_text()
        (second / "hall.toml").write_text(text)
        with kernel_running(["run", second / "hall.toml", "--control", second / "hall.sock"], second) as run:
            run.wait_until(
                lambda: (second / "hall.sock").exists() and status(second).control["nmos"].trouble, "the trouble"
            )
            assert str(port) in status(second).control["nmos"].trouble
            run.process.terminate()
            assert run.wait(30) == 0
