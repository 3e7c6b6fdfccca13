"""A control socket without a run: it greets, and sends every subscriber the status and events that a test decides."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

STARTED_AT = "2026-11-30T02:00:00.000Z"


def node(role: str, kind: str, text: str = "fine", severity: int = 0, **metrics: Any) -> dict[str, Any]:
    return {
        "role": role,
        "kind": kind,
        "pace": "clock",
        "state": "running",
        "severity": severity,
        "text": text,
        "trouble": text if severity else "",
        "metrics": metrics,
    }


def stream(text: str = "fine", severity: int = 0, **metrics: Any) -> dict[str, Any]:
    figures = {"packets_received": 1000, "packets_lost": 0, "packets_late": 0, "link_offset_ns": 3_000_000}
    figures |= {"lateness_p50_ns": 1_100_000, "lateness_p99_ns": 1_300_000, "lateness_max_ns": 2_600_000}
    figures |= {"lateness_histogram": "1044000:400 1250000:500 2700000:100", "sender": "10.77.0.1", "ssrc": 77}
    return node("source", "aes67", text, severity, **(figures | metrics))


def clock(text: str = "locked", severity: int = 0, **metrics: Any) -> dict[str, Any]:
    figures = {"state": "locked", "local_ns": 0, "offset_ns": 10**18, "rate_ppb": 12.0, "sigma_ns": 80, "bound_ns": 900}
    figures |= {"grandmaster": "62-D2-11-FF-FE-00-00-01", "timescale": "ptp", "domain": 0, "path_delay_ns": 2100}
    return node("clock", "ptp", text, severity, **(figures | metrics))


class FakeControl:
    """Serves one name in a runtime folder."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name = name
        self.duration_s = 1.0
        self.nodes: dict[str, Any] = {"house": clock(), "stage": stream()}
        self.path = folder / f"{name}.sock"
        self._subscribers: list[socket.socket] = []
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._accept), threading.Thread(target=self._tick)]
        for thread in self._threads:
            thread.start()

    @property
    def followed(self) -> bool:
        """Whether somebody gets the events: one that is sent before is lost."""
        return bool(self._subscribers)

    def status(self) -> dict[str, Any]:
        nodes = dict(self.nodes)  # the test adds some while a thread sends them
        urgent = sorted((id for id in nodes if nodes[id]["severity"]), key=lambda x: -nodes[x]["severity"])
        return {
            "name": self.name,
            "graph": f"{self.name}.toml",
            "profile": None,
            "pid": os.getpid(),
            "started_at": STARTED_AT,
            "duration_s": self.duration_s,
            "stopping": False,
            "trouble": [f"{id}: {nodes[id]['text']}" for id in urgent],
            "nodes": nodes,
            "edges": {},
        }

    def push(self) -> None:
        """Send the status as it is now."""
        self._send({"status": self.status()})

    def event(self, of: str, name: str, **fields: Any) -> None:
        self._send({"event": {"at_ns": 0, "node": of, "name": name, "fields": fields}})

    def close(self) -> None:
        """The run ends."""
        self._ending.set()
        self.path.unlink(missing_ok=True)
        for thread in self._threads:
            thread.join(60)
        self._listener.close()
        with self._lock:
            self._subscribers.clear()
            for connection in self._connections:  # also of a client that has not subscribed yet
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    def _send(self, line: dict[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        with self._lock:
            for subscriber in list(self._subscribers):
                try:
                    subscriber.sendall(data)
                except OSError:
                    self._subscribers.remove(subscriber)
                    self._connections.discard(subscriber)
                    subscriber.close()

    def _accept(self) -> None:
        self._listener.settimeout(0.2)
        while not self._ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with self._lock:
                self._connections.add(connection)
            thread = threading.Thread(target=self._serve, args=[connection], daemon=True)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        hello = {"protocol": 1, "version": "0.1.0", "name": self.name, "graph": f"{self.name}.toml", "pid": 1}
        connection.settimeout(10)
        try:
            connection.sendall(json.dumps(hello | {"started_at": STARTED_AT}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                while line := lines.readline():
                    request = json.loads(line)
                    answer = {"id": request.get("id", 0), "ok": True}
                    if request.get("request") == "status":
                        answer["status"] = self.status()
                    elif request.get("request") != "subscribe":
                        answer |= {"ok": False, "error": "a fake run does not do that"}
                    connection.sendall(json.dumps(answer).encode() + b"\n")
                    if request.get("request") == "subscribe":
                        with self._lock:
                            self._subscribers.append(connection)
                        self.push()
                        return
        except (OSError, ValueError):  # also of a connection that is closed at the end
            pass
        with self._lock:
            self._connections.discard(connection)
        connection.close()

    def _tick(self) -> None:
        while not self._ending.wait(1.0):
            self.duration_s += 1
            for each in list(self.nodes.values()):
                if each["role"] == "clock":
                    each["metrics"]["local_ns"] += 10**9
            self.push()


@contextmanager
def fake_control(folder: Path, name: str) -> Iterator[FakeControl]:
    """A fake run in a runtime folder, until the end of the block."""
    control = FakeControl(folder, name)
    try:
        yield control
    finally:
        if not control._ending.is_set():
            control.close()
