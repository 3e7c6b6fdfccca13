"""A console under attack: what it refuses, and that the run beside it loses nothing."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.graphs import table, write_graph
from tests.support.kernel import KERNEL
from tests.support.process import running

from phasegraph.control import connect

pytestmark = pytest.mark.realtime
HERE = "127.0.0.1"
CONNECTIONS = 1000
GRAPH = [
    table("sources", "tone", kind="tone"),
    table("sinks", "net", kind="aes67", input="tone", interface=HERE, group="239.69.94.1"),
    table("sources", "stage", kind="aes67", interface=HERE, group="239.69.94.1", **{"link-offset": "400ms"}),
    table("sinks", "take", kind="null", input="stage"),
]
LOSSES = ("packets_lost", "packets_late", "packets_early", "socket_dropped")


def request(method: str, path: str, port: int, *headers: str, body: bytes = b"") -> bytes:
    head = [f"{method} {path} HTTP/1.1", *headers, f"content-length: {len(body)}", "connection: close"]
    if not any(header.startswith("host:") for header in headers):
        head.append(f"host: {HERE}:{port}")
    return "\r\n".join([*head, "", ""]).encode() + body


def answer(port: int, data: bytes) -> str:
    """Status line and body of the answer; empty where the console closes the connection."""
    with socket.create_connection((HERE, port), timeout=30) as connection:
        received = b""
        try:
            connection.sendall(data)
            while more := connection.recv(65536):
                received += more
        except OSError:
            pass
    return received.decode("utf-8", "replace")


def code(port: int, data: bytes) -> int:
    words = answer(port, data).split(maxsplit=2)
    return int(words[1]) if len(words) > 1 else 0


def test_whatever_comes_the_run_goes_on_without_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "r"))
    graph = write_graph(tmp_path / "hall.toml", *GRAPH)
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port = int(probe.getsockname()[1])
    with ExitStack() as stack:
        hall = stack.enter_context(running([*KERNEL, "run", graph, "--status", "none"], tmp_path, name="hall"))
        console = stack.enter_context(running([*KERNEL, "console", "--port", str(port)], tmp_path, name="console"))
        console.wait_until(lambda: "The console is at" in console.stderr, "listening", 60)
        control = tmp_path / "r" / "phasegraph" / "hall.sock"
        hall.wait_until(control.exists, "its control socket")
        run = stack.enter_context(connect(control))

        def figures() -> dict[str, int]:
            metrics = run.status().nodes["stage"].metrics
            return {name: int(metrics.get(name, 0)) for name in ("packets_received", *LOSSES)}

        hall.wait_until(lambda: figures()["packets_received"] > 500, "receiving")
        console.wait_until(lambda: "hall" in answer(port, request("GET", "/api/v1/runs", port)), "following the run")
        before = figures()
        token = json.loads((tmp_path / "state" / "phasegraph" / "console-tokens.json").read_text())["operator"]
        operator = f"authorization: Bearer {token}"
        stop = "/api/v1/runs/hall/stop"
        slow = []
        for number in range(CONNECTIONS):
            connection = stack.enter_context(socket.socket())
            connection.settimeout(10)
            connection.connect((HERE, port))
            if number % 2:
                connection.sendall(b"GET /api/v1/events HTTP/1.1\r\n")  # the head never ends
            slow.append(connection)
        crowded = answer(port, request("GET", "/api/v1/runs", port))
        assert "503" in crowded.partition("\r\n")[0]
        for connection in slow:
            connection.close()
        console.wait_until(lambda: code(port, request("GET", "/api/v1/runs", port)) == 200, "free again", 30)
        refused = {
            "no token": (401, request("POST", stop, port, "content-type: application/json", body=b"{}")),
            "wrong token": (401, request("POST", stop, port, "authorization: Bearer x", body=b"{}")),
            "another site": (403, request("POST", stop, port, operator, "origin: http://evil.example", body=b"{}")),
            "DNS rebinding": (421, request("POST", stop, port, operator, "host: evil.example", body=b"{}")),
            "path": (404, request("GET", "/..%2f..%2fetc%2fpasswd", port)),
        }
        found = {name: code(port, data) for name, (_, data) in refused.items()}
        assert found == {name: expected for name, (expected, _) in refused.items()}
        large = request("POST", stop, port, operator, "content-type: application/json", body=b" " * (2 << 20))
        assert code(port, large) in (413, 0), "0: the connection was closed while the body was still being sent"
        time.sleep(1)
        after = figures()
        assert {name: after[name] - before[name] for name in LOSSES} == dict.fromkeys(LOSSES, 0)
        assert after["packets_received"] > before["packets_received"] + 1000
        assert hall.process.poll() is None
