"""A relay says what a run says, and then what the run said."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

# The benchmarks are scripts, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
import pytest
from _run_relay import RunRelay

from phasegraph._control.control_protocol import Answer, Hello, RunStatus, StatusLine, encode_line
from phasegraph.control import ControlError, connect


class FakeRun:
    """Has one status, and counts how often it was asked for one."""

    def __init__(self, path: Path) -> None:
        self.asked = 0
        self.status = RunStatus(
            name="hall",
            graph="hall",
            profile=None,
            pid=1,
            started_at="",
            duration_s=7.0,
            stopping=False,
            trouble=[],
            nodes={},
            edges={},
        )
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            threading.Thread(target=self._serve, args=[self._listener.accept()[0]], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as lines:
            client.sendall(encode_line(Hello(version="0", name="hall", graph="hall", pid=1, started_at="")))
            for request in map(msgspec.json.decode, lines):
                graph = {"schema": 1} if request["request"] == "graph" else None
                client.sendall(encode_line(Answer(id=request["id"], ok=True, graph=graph)))
                if graph is None:
                    self.asked += 1
                    client.sendall(encode_line(StatusLine(status=self.status)))


def test_a_relay_passes_on_and_then_answers_in_the_runs_stead(tmp_path: Path) -> None:
    run, path = FakeRun(tmp_path / "run"), tmp_path / "relay"
    relay = RunRelay(path, tmp_path / "run")
    with connect(path) as client:
        assert next(client.subscribe(interval_s=0.2)) == run.status
        relay.attach(False)
        with pytest.raises(ControlError):
            list(client.subscribe(interval_s=0.2))
    assert (relay.recorded, run.asked) == (1, 1)
    with connect(path) as client:
        assert client.status() == run.status
        assert client.graph() == {"schema": 1}
        for _, line in zip(range(3), client.subscribe(interval_s=0.2), strict=False):
            assert line == run.status
    assert run.asked == 1
    relay.attach(True)
    with connect(path) as client:
        assert next(client.subscribe(interval_s=0.2)) == run.status
    assert run.asked == 2
