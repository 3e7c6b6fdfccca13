"""A broadcast controller switches receivers of a run by NMOS: real streams over loopback, recorded and compared.

What is sent counts: the first channel of a frame is its number, the second says which of the two programmes it is.
"""

from __future__ import annotations

import faulthandler
import http.client
import json
import os
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import material
from tests.support.addresses import LOOPBACK, free_group, free_port
from tests.support.graphs import HEAD, table
from tests.support.kernel import kernel_running, where_the_machine_runs

pytestmark = pytest.mark.realtime

RATE = 48_000
TAI_MINUS_UTC_S = 37
LINK_OFFSET_S = 0.3
OTHER_LINK_OFFSET_S = 0.2
"""Of every other receiver: those of one request change at one frame all the same."""
HEARTBEAT_S = 5
REACTION_S = 1.5
"""For a refused connection, and for a machine that does other things."""
SWITCHES = int(os.environ.get("PHASEGRAPH_NMOS_SWITCHES", "5"))
RECEIVERS = int(os.environ.get("PHASEGRAPH_NMOS_RECEIVERS", "6"))


def counting(path: Path, programme: int, seconds: int) -> Path:
    count = seconds * RATE
    words = np.empty((count, 2), np.int32)
    words[:, 0] = np.arange(count, dtype=np.int32) << 8
    words[:, 1] = programme << 8
    return material.write(path, words)


class Recorded:
    """A recording of both programmes."""

    def __init__(self, path: Path) -> None:
        words = material.read(path) >> 8
        self.numbers: NDArray[np.int32] = words[:, 0]
        self.programme: NDArray[np.int32] = words[:, 1]
        chunk = path.read_bytes()[:4096]
        at = chunk.index(b"bext") + 8 + 338
        self.first = struct.unpack_from("<Q", chunk, at)[0]
        """Frames from midnight, UTC, to its first frame."""

    @property
    def switches(self) -> list[int]:
        """Frames from midnight at which another programme begins."""
        return [int(self.first + at) for at in np.flatnonzero(np.diff(self.programme)) + 1]

    def assert_bit_for_bit(self) -> None:
        """Within each programme every frame follows the one before it."""
        step = np.diff(self.numbers)
        same = np.diff(self.programme) == 0
        assert set(np.unique(self.programme)) <= {1, 2}, "silence, or what was never sent"
        wrong = np.flatnonzero(same & (step != 1))
        assert not len(wrong), f"frames {wrong[:5]} do not follow the one before"


class Controller:
    """A client of the connection API."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.receivers = self._by_label("receivers")
        self.senders = self._by_label("senders")
        self.descriptions = {
            label: self.ask("GET", f"/x-nmos/connection/v1.1/single/senders/{id}/transportfile")[1]
            for label, id in self.senders.items()
        }

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection(LOOPBACK, self._port, timeout=30)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read().decode()
        return answer.status, json.loads(text) if "json" in (answer.getheader("content-type") or "") else text

    def _by_label(self, plural: str) -> dict[str, str]:
        status, found = self.ask("GET", f"/x-nmos/node/v1.3/{plural}")
        assert status == 200
        return {each["label"]: each["id"] for each in found}

    def connection(self, sender: str, **activation: str) -> dict[str, Any]:
        """The body that connects a receiver to a sender."""
        file = {"data": self.descriptions[sender], "type": "application/sdp"}
        return {
            "sender_id": self.senders[sender],
            "master_enable": True,
            "transport_file": file,
            "activation": activation,
        }

    def connect(self, receiver: str, sender: str, **activation: str) -> tuple[int, Any]:
        path = f"/x-nmos/connection/v1.1/single/receivers/{self.receivers[receiver]}/staged"
        return self.ask("PATCH", path, self.connection(sender, **activation))


def hall(folder: Path, receivers: int, seconds: int) -> str:
    """Two programmes that are sent, and receivers that are recorded."""
    group_a, group_b, port = free_group(), free_group(), free_port()
    text = HEAD
    for number, (name, group) in enumerate((("a", group_a), ("b", group_b)), 1):
        path = counting(folder / f"{name}.wav", number, seconds)
        text += table("sources", f"file-{name}", kind="file", path=path)
        text += table(
            "sinks", name, kind="aes67", interface=LOOPBACK, input=f"file-{name}", group=group, port=port, label=name
        )
    for number in range(receivers):
        offset_s = OTHER_LINK_OFFSET_S if number % 2 else LINK_OFFSET_S
        stream = {"interface": LOOPBACK, "group": group_a, "port": port, "link-offset": f"{offset_s * 1000:g}ms"}
        text += table("sources", f"r{number}", kind="aes67", conceal=False, label=f"r{number}", **stream)
        text += table("sinks", f"rec{number}", kind="file", input=f"r{number}", path=f"rec{number}.wav", overwrite=True)
    return text


@contextmanager
def switched_hall(
    folder: Path, *, receivers: int, seconds: int, registries: Sequence[str] = ()
) -> Iterator[Controller]:
    """A run, the node beside it, and a controller, until the block ends; then the recordings are whole."""
    graph = folder / "hall.toml"
    graph.write_text(hall(folder, receivers, seconds))
    socket, port = folder / "run.sock", free_port()
    with kernel_running(["run", graph, "--control", socket], folder) as run:
        run.wait_until(socket.exists, "the control socket")
        arguments = ["nmos", socket, "--port", str(port), "--interface", LOOPBACK, "--no-mdns", "--state", folder]
        for url in registries:
            arguments += ["--registry", url]
        with kernel_running(arguments, folder) as node:

            def is_there() -> bool:
                try:
                    return len(Controller(port).receivers) == receivers
                except (OSError, AssertionError):
                    return False

            node.wait_until(is_there, "the node")
            time.sleep(1.0)  # both programmes flow
            yield Controller(port)
        run.process.terminate()
        assert run.wait(30) == 0


def allow(seconds: float) -> None:
    """Let this test take that long, in place of the time that every other test has."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)


def tai_in(seconds: float) -> tuple[str, int]:
    """A TAI time on a whole millisecond, as NMOS writes it, and the frames from midnight to it."""
    milliseconds = round((time.time() + seconds) * 1000)
    of_day = milliseconds % 86_400_000
    tai = milliseconds + TAI_MINUS_UTC_S * 1000
    return f"{tai // 1000}:{tai % 1000 * 1_000_000}", of_day * RATE // 1000


@where_the_machine_runs
def test_scheduled_activations_switch_at_their_frame_bit_for_bit(tmp_path: Path) -> None:
    allow(60 + 8 * SWITCHES)
    wanted = []
    with switched_hall(tmp_path, receivers=1, seconds=20 + 4 * SWITCHES) as controller:
        for number in range(SWITCHES):
            requested, frame = tai_in(2.5 + number * 0.007)
            wanted.append(frame)
            status, body = controller.connect(
                "r0", "ba"[number % 2], mode="activate_scheduled_absolute", requested_time=requested
            )
            assert status == 202, body
            assert body["activation"]["activation_time"] == requested
            time.sleep(3.4)
    recorded = Recorded(tmp_path / "rec0.wav")
    recorded.assert_bit_for_bit()
    assert recorded.switches == wanted


@where_the_machine_runs
def test_a_bulk_request_switches_all_receivers_at_one_frame(tmp_path: Path) -> None:
    with switched_hall(tmp_path, receivers=RECEIVERS, seconds=40) as controller:
        assert set(controller.receivers) == {f"r{number}" for number in range(RECEIVERS)}
        requested, wanted = tai_in(3)
        later = {"mode": "activate_scheduled_absolute", "requested_time": requested}
        entries = [{"id": id, "params": controller.connection("b", **later)} for id in controller.receivers.values()]
        status, results = controller.ask("POST", "/x-nmos/connection/v1.1/bulk/receivers", entries)
        assert (status, [each["code"] for each in results]) == (200, [202] * RECEIVERS)
        time.sleep(4.5)
        entries = [
            {"id": id, "params": controller.connection("a", mode="activate_immediate")}
            for id in controller.receivers.values()
        ]
        status, results = controller.ask("POST", "/x-nmos/connection/v1.1/bulk/receivers", entries)
        assert (status, [each["code"] for each in results]) == (200, [200] * RECEIVERS), results
        time.sleep(1)
    recordings = [Recorded(tmp_path / f"rec{number}.wav") for number in range(RECEIVERS)]
    for recorded in recordings:
        recorded.assert_bit_for_bit()
    switches = {tuple(recorded.switches) for recorded in recordings}
    assert len(switches) == 1, "all at one frame"
    first, second = next(iter(switches))
    assert first == wanted
    assert second > first


@where_the_machine_runs
def test_an_immediate_activation_sounds_within_100_ms_and_the_link_offset(tmp_path: Path) -> None:
    asked = []
    with switched_hall(tmp_path, receivers=1, seconds=30) as controller:
        for number in range(4):
            asked.append(time.time())
            status, body = controller.connect("r0", "ba"[number % 2], mode="activate_immediate")
            assert status == 200, body
            time.sleep(1)
    recorded = Recorded(tmp_path / "rec0.wav")
    recorded.assert_bit_for_bit()
    delays = [frame / RATE + LINK_OFFSET_S - at % 86_400 for frame, at in zip(recorded.switches, asked, strict=True)]
    assert max(delays) < 0.1 + LINK_OFFSET_S, delays


class VanishingRegistry(BaseHTTPRequestHandler):
    """A registry that takes everything."""

    requests: list[tuple[float, str]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.requests.append((time.monotonic(), self.path))
        self.send_response(200 if "/health/" in self.path else 201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def registry() -> Iterator[tuple[str, list[tuple[float, str]], ThreadingHTTPServer]]:
    """A registry: its URL, the requests that it got and when, and the server."""
    requests: list[tuple[float, str]] = []
    handler = type("Handler", (VanishingRegistry,), {"requests": requests})
    server = ThreadingHTTPServer((LOOPBACK, 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}", requests, server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@where_the_machine_runs
def test_a_registry_that_is_killed_leaves_the_sound_alone_and_the_next_one_has_the_node(tmp_path: Path) -> None:
    with (
        registry() as (first, at_first, server),
        registry() as (second, at_second, _),
        switched_hall(tmp_path, receivers=1, seconds=60, registries=(first, second)) as controller,
    ):
        assert at_first[0][1] == "/x-nmos/registration/v1.3/resource"
        assert at_second == []
        killed = time.monotonic()
        server.shutdown()
        server.server_close()
        while not at_second and time.monotonic() < killed + 30:
            time.sleep(0.1)
        found, path = at_second[0]
        assert "/health/nodes/" in path, "the node is known there: registries share what they know"
        assert found - killed < HEARTBEAT_S + REACTION_S
        status, _ = controller.connect("r0", "b", mode="activate_immediate")
        assert status == 200
        time.sleep(1)
    recorded = Recorded(tmp_path / "rec0.wav")
    recorded.assert_bit_for_bit()
    assert len(recorded.switches) == 1
