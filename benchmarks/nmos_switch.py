"""How long a controller's connection takes to sound: from its PATCH to the first sample of the new stream.

Two programmes are sent on loopback by one run, and received and recorded by another, which has an NMOS node beside it.
A controller switches all receivers to and fro: at once (by PATCH, by a bulk request if there are several), and
scheduled, with less and less time ahead. What is sent counts its frames, so that a recording shows at which frame it
was switched, and whether a frame is wrong.

    python benchmarks/nmos_switch.py                              # 1 and 8 receivers; about four minutes
    python benchmarks/nmos_switch.py --receivers 32 --switches 20 --leads 1

"PATCH to sample" is without the link offset, which every frame waits for. The aim is 100 ms.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import _table
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
LOOPBACK = "127.0.0.1"
GROUPS = ("239.69.90.1", "239.69.90.2")
PORT = 15_104
TAI_MINUS_UTC_S = 37
START_S = 60.0
SETTLE_S = 1.0
PAUSE_S = (0.6, 1.0)
"""Between two switches."""
KERNEL = (sys.executable, "-m", "phasegraph")


class Asked(NamedTuple):
    """One switch of all receivers."""

    at_s: float
    """Unix time just before the request."""
    answered_s: float
    wanted: int | None
    """Frame from midnight, of a scheduled one."""


class Recording(NamedTuple):
    """What one receiver recorded."""

    switches: list[int]
    """Frames from midnight, UTC, at which another programme begins."""
    wrong: int
    """Frames that do not follow the one before them, but for switches."""


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--receivers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--switches", type=int, default=40)
    parser.add_argument("--leads", type=float, nargs="*", default=[1.0, 0.5, 0.25], help="seconds ahead")
    parser.add_argument("--link-offset", type=int, default=100, help="of all receivers, ms")
    arguments = parser.parse_args()
    rows = []
    for receivers in arguments.receivers:
        for lead_s in (None, *arguments.leads):
            rows.append(measure(receivers, arguments.switches, lead_s, arguments.link_offset))
            print(rows[-1], file=sys.stderr)
    head = ["receivers", "request", "PATCH to sample, ms: median", "worst", "PATCH to answer: median", "worst"]
    print(_table.markdown([*head, "at the frame", "wrong frames"], rows))


def measure(receivers: int, switches: int, lead_s: float | None, link_offset_ms: int) -> list[str]:
    """A row of the table."""
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary:
        folder = Path(temporary)
        seconds = round(START_S + switches * (PAUSE_S[1] + 1 + (lead_s or 0)))
        with node(folder, hall(receivers, link_offset_ms), receivers, seconds) as port:
            asked = switch(port, switches, lead_s)
            time.sleep(SETTLE_S)
        recordings = [read_recording(folder / f"rec{number}.wav") for number in range(receivers)]
    complete = all(len(each.switches) == len(asked) for each in recordings)
    cells = ["-"] * 2
    exact = "-"
    if complete:
        firsts = [max(frames) for frames in zip(*(each.switches for each in recordings), strict=True)]
        delays = [frame / RATE - each.at_s % 86_400 for frame, each in zip(firsts, asked, strict=True)]
        cells = spread(delays) if lead_s is None else ["-"] * 2
        one = sum(len({*frames}) == 1 for frames in zip(*(each.switches for each in recordings), strict=True))
        at = sum(
            all(frame == each.wanted for frame in frames)
            for each, *frames in zip(asked, *(each.switches for each in recordings), strict=True)
        )
        exact = f"{one if lead_s is None else at} of {len(asked)}"
    answers = spread([each.answered_s - each.at_s for each in asked])
    request = "immediate" if lead_s is None else f"scheduled, {lead_s:g} s ahead"
    wrong = sum(each.wrong for each in recordings)
    missing = "" if complete else f"; {sum(len(each.switches) for each in recordings)} switches"
    return [str(receivers), request, *cells, *answers, exact, f"{wrong}{missing}"]


def spread(seconds: Sequence[float]) -> list[str]:
    """Median and worst, in ms."""
    return [_table.number(1e3 * statistics.median(seconds)), _table.number(1e3 * max(seconds))]


def switch(port: int, switches: int, lead_s: float | None) -> list[Asked]:
    """Switch all receivers to and fro, from the first programme on."""
    chance = random.Random(1)
    asked = []
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=30)) as http_:
        receivers = [each["id"] for each in ask(http_, "GET", "/x-nmos/node/v1.3/receivers")]
        for turn in range(switches):
            activation: dict[str, Any] = {"mode": "activate_immediate"}
            wanted = None
            if lead_s is not None:
                ms = round((time.time() + lead_s) * 1000)
                wanted = ms % 86_400_000 * RATE // 1000
                tai = ms + TAI_MINUS_UTC_S * 1000
                requested = f"{tai // 1000}:{tai % 1000 * 1_000_000}"
                activation = {"mode": "activate_scheduled_absolute", "requested_time": requested}
            params = {
                "master_enable": True,
                "transport_file": {"data": description(GROUPS[1 - turn % 2]), "type": "application/sdp"},
                "activation": activation,
            }
            base = "/x-nmos/connection/v1.1"
            at_s = time.time()
            if len(receivers) == 1:
                ask(http_, "PATCH", f"{base}/single/receivers/{receivers[0]}/staged", params)
            else:
                entries = [{"id": id, "params": params} for id in receivers]
                results = ask(http_, "POST", f"{base}/bulk/receivers", entries)
                assert all(each["code"] < 300 for each in results), results
            asked.append(Asked(at_s, time.time(), wanted))
            time.sleep(chance.uniform(*PAUSE_S) + (lead_s or 0))
    return asked


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> Any:
    """The answer of the node."""
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status < 300, text
    return json.loads(text)


def description(group: str) -> str:
    """The session description of a programme."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {LOOPBACK}\r\ns=programme\r\nt=0 0\r\nm=audio {PORT} RTP/AVP 98\r\n"
        f"c=IN IP4 {group}/32\r\na=rtpmap:98 L24/{RATE}/2\r\na=ptime:1\r\na=mediaclk:direct=0\r\n"
    )


def write_programme(path: Path, mark: int, seconds: int) -> None:
    """Frames whose first channel is their number, and whose second one is a mark."""
    words = np.empty((seconds * RATE, 2), "<i4")
    words[:, 0] = np.arange(len(words))
    words[:, 1] = mark
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 3, RATE, 0, "NONE", ""))
        file.writeframes(words.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())


def read_recording(path: Path) -> Recording:
    """What was recorded of both programmes."""
    words, origin = read_wave(path)
    numbers, marks = words[:, 0], words[:, 1]
    changes = np.flatnonzero(np.diff(marks))
    same = np.diff(marks) == 0
    wrong = int(np.sum(same & (np.diff(numbers) != 1))) + int(np.sum((marks != 1) & (marks != 2)))
    return Recording([int(origin + at) + 1 for at in changes], wrong)


def read_wave(path: Path) -> tuple[NDArray[np.int32], int]:
    """The frames of a recording of 24 bits and two channels, and the frame from midnight of the first one."""
    data = path.read_bytes()
    at, origin = 12, 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name == b"bext":
            origin = struct.unpack_from("<Q", data, at + 8 + 338)[0]
        if name == b"data":
            frames = data[at + 8 : at + 8 + size if size != 0xFFFFFFFF else len(data)]
            octets = np.frombuffer(frames[: len(frames) // 6 * 6], np.uint8).reshape(-1, 3)
            words = np.zeros((len(octets), 4), np.uint8)
            words[:, :3] = octets
            return words.view("<i4").reshape(-1, 2), origin
        at += 8 + size + size % 2
    raise ValueError(f"{path} has no samples")


@contextmanager
def node(folder: Path, graph: str, receivers: int, seconds: int) -> Iterator[int]:
    """The run that sends, one of this graph, and its node, until the block ends. Yields the node's port."""
    for number in (1, 2):
        write_programme(folder / f"{number}.wav", number, seconds)
    (folder / "studio.toml").write_text(studio())
    (folder / "hall.toml").write_text(graph)
    control = folder / "hall.sock"
    with closing(socket.create_server((LOOPBACK, 0))) as free:
        port = free.getsockname()[1]
    with ExitStack() as stack:
        stack.enter_context(started(folder, "run", "studio.toml"))
        stack.enter_context(started(folder, "run", "hall.toml", "--control", str(control)))
        wait_for(control.exists)
        words = ["nmos", str(control), "--interface", LOOPBACK, "--port", str(port), "--no-mdns", "--state", folder]
        stack.enter_context(started(folder, *map(str, words), "--no-remember"))
        wait_for(lambda: _receivers(port) == receivers)
        time.sleep(2 * SETTLE_S)
        yield port


def _receivers(port: int) -> int:
    try:
        with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=5)) as connection:
            return len(ask(connection, "GET", "/x-nmos/node/v1.3/receivers"))
    except (OSError, AssertionError):
        return 0


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is there. Raises TimeoutError."""
    deadline = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the runs or the node did not come up")
        time.sleep(0.05)


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[None]:
    """A command of ``kernel``, until the block ends."""
    quiet = [] if arguments[0] == "nmos" else ["--status", "none"]
    with (folder / f"{arguments[0]}.log").open("ab") as log:
        process = subprocess.Popen([*KERNEL, *arguments, *quiet], cwd=folder, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def studio() -> str:
    """The graph that sends both programmes."""
    text = 'schema = 1\n[clocks.house]\nkind = "system"\n'
    for number, group in enumerate(GROUPS, 1):
        text += f'[sources.file{number}]\nkind = "file"\npath = "{number}.wav"\n'
        text += f'[sinks.out{number}]\nkind = "aes67"\ninterface = "{LOOPBACK}"\ninput = "file{number}"\n'
        text += f'group = "{group}"\nport = {PORT}\n'
    return text


def hall(receivers: int, link_offset_ms: int) -> str:
    """The graph that receives and records."""
    text = 'schema = 1\n[clocks.house]\nkind = "system"\n'
    for number in range(receivers):
        text += f'[sources.r{number}]\nkind = "aes67"\ninterface = "{LOOPBACK}"\ngroup = "{GROUPS[0]}"\n'
        text += f'port = {PORT}\nlink-offset = "{link_offset_ms}ms"\nconceal = false\n'
        text += f'[sinks.rec{number}]\nkind = "file"\ninput = "r{number}"\npath = "rec{number}.wav"\noverwrite = true\n'
    return text


if __name__ == "__main__":
    main()
