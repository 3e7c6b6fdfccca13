"""What `kernel console` costs the runs of its machine: processor time, and the sender's pacing.

One run sends 64 streams on the loopback interface, another receives them. Blocks without a console and with one
alternate, so that what the machine does besides falls on both. With one, a browser has the page
open, Prometheus (or, where it is not installed, a client) scrapes each second, and a client makes 50 API requests a
second. Browser, Prometheus and client stand for other machines: they run where no other process wants the processor
(SCHED_IDLE), and ``--clients normal`` leaves them at ordinary priority.

Processor time comes from the scheduler, of all threads of a run and of its main thread, the control plane. The pacing
is seen from outside: the system's stamps of one stream's packets, against an even grid through the fastest. Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import _spacing
import msgspec
import numpy as np
from _table import markdown, number

KERNEL = (sys.executable, "-m", "phasegraph")
PORT = 18420
REQUESTS_A_SECOND = 50
SETTLE_S = 3.0
STARTUP_S = 8.0
PREFIX = "239.69.91"
PACKET_NS = 1e6
_CPUCLOCK_SCHED = 2
"""With a process's id, the number of its clock (Linux)."""


class Block(msgspec.Struct):
    """Figures of one block."""

    console: bool
    sender_percent: float
    """Of a core, the sending run, all threads."""
    sender_control_percent: float
    """Of a core, its control plane."""
    receiver_percent: float
    receiver_control_percent: float
    console_percent: float | None
    """Of a core, the console itself."""
    pacing_p50_us: float
    pacing_p99_us: float
    pacing_max_us: float
    requests: int
    load: float


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=14)
    parser.add_argument("--clients", choices=["idle", "normal"], default="idle")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    blocks = []
    for _ in range(arguments.rounds):
        blocks += measure_round(arguments)
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.encode(blocks))
    print(table(blocks))


def measure_round(arguments: argparse.Namespace) -> list[Block]:
    """New runs, which nothing has read: a block without a console, and one with it."""
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        os.environ.update(XDG_RUNTIME_DIR=temporary, XDG_STATE_HOME=temporary)
        (folder / "send.toml").write_text(sending(arguments.streams))
        (folder / "receive.toml").write_text(receiving(arguments.streams))
        runs = [
            stack.enter_context(started([*KERNEL, "run", f"{name}.toml", "--status", "none"], folder))
            for name in ("receive", "send")
        ]
        time.sleep(STARTUP_S)
        blocks = []
        for console in (False, True):
            blocks.append(measure(folder, runs, arguments, console=console))
            print(blocks[-1], file=sys.stderr)
        return blocks


def table(blocks: list[Block]) -> str:
    """Medians of the blocks without and with a console."""
    columns = {
        "sender, % of a core": ("sender_percent", 2),
        "of it control plane": ("sender_control_percent", 2),
        "receiver": ("receiver_percent", 2),
        "of it control plane ": ("receiver_control_percent", 2),
        "packets behind their time, p50, us": ("pacing_p50_us", 1),
        "p99": ("pacing_p99_us", 1),
        "max": ("pacing_max_us", 0),
    }
    rows = []
    for console in (False, True):
        of = [block for block in blocks if block.console is console]
        own = [block.console_percent for block in of if block.console_percent is not None]
        cells = [number(statistics.median(getattr(block, name) for block in of), n) for name, n in columns.values()]
        requests = statistics.median(block.requests for block in of)
        about = [f"{requests:g} requests" if console else "", number(statistics.median(own), 1) if own else "-"]
        rows.append(["with" if console else "without", *about, *cells])
    return markdown(["console", "", "console's own", *(name.strip() for name in columns)], rows)


def measure(
    folder: Path, runs: list[subprocess.Popen[bytes]], arguments: argparse.Namespace, *, console: bool
) -> Block:
    """One block."""
    with contextlib.ExitStack() as stack:
        counted = [0]
        server = None
        if console:
            command = [*KERNEL, "console", "--port", str(PORT)]
            server = stack.enter_context(started(command, folder))
            time.sleep(SETTLE_S)
            idle = arguments.clients == "idle"
            stack.enter_context(prometheus(folder, idle=idle))
            stack.enter_context(browser(folder, idle=idle))
            stack.enter_context(asking(counted, idle=idle))
        time.sleep(SETTLE_S)
        watched = folder / "packets.npy"
        where = [str(1), PREFIX, str(5004), watched]
        spy = stack.enter_context(started([sys.executable, Path(__file__).parent / "_spy.py", *where], folder))
        time.sleep(SETTLE_S / 2)
        processes = [*runs, *([server] if server else [])]
        before = [cpu_ns(process.pid) for process in processes]
        began, asked = time.monotonic(), counted[0]
        time.sleep(arguments.seconds)
        used = [
            [now - was for now, was in zip(cpu_ns(p.pid), b, strict=True)]
            for p, b in zip(processes, before, strict=True)
        ]
        passed_ns = (time.monotonic() - began) * 1e9
        requests = counted[0] - asked
        spy.terminate()
        spy.wait(10)
        records = np.load(watched)
        even = _spacing.spacing(records["stamp"].astype(np.int64), records["sequence"].astype(np.int64), PACKET_NS)
        if even is None:
            raise SystemExit("the stream does not come")
        (receiver, receiver_control), (sender, sender_control), *own = [
            [100 * ns / passed_ns for ns in each] for each in used
        ]
        return Block(
            console=console,
            sender_percent=sender,
            sender_control_percent=sender_control,
            receiver_percent=receiver,
            receiver_control_percent=receiver_control,
            console_percent=own[0][0] if own else None,
            pacing_p50_us=even.p50_us,
            pacing_p99_us=even.p99_us,
            pacing_max_us=even.max_us,
            requests=requests,
            load=os.getloadavg()[0],
        )


def sending(streams: int) -> str:
    """A graph that sends."""
    lines = ["schema = 1", "[clocks.house]", 'kind = "system"', "[sources.tone]", 'kind = "tone"']
    for index in range(streams):
        lines += [f"[sinks.net-{index}]", 'kind = "aes67"', 'input = "tone"', 'interface = "127.0.0.1"']
        lines += [f'group = "{PREFIX}.{index + 1}"']
    return "\n".join(lines)


def receiving(streams: int) -> str:
    """A graph that receives the same."""
    lines = ["schema = 1", "[clocks.house]", 'kind = "system"']
    for index in range(streams):
        lines += [f"[sources.s-{index}]", 'kind = "aes67"', 'interface = "127.0.0.1"', 'link-offset = "100ms"']
        lines += [f'group = "{PREFIX}.{index + 1}"', f"[sinks.k-{index}]", 'kind = "null"', f'input = "s-{index}"']
    return "\n".join(lines)


@contextlib.contextmanager
def started(command: list[object], folder: Path, *, idle: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended with the block; ``idle``: it gets a processor where no other process wants it."""
    process = subprocess.Popen(
        [*(["chrt", "--idle", "0"] if idle else []), *(str(word) for word in command)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def cpu_ns(pid: int) -> tuple[int, int]:
    """Time on a processor of a process and of its main thread."""
    process = time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED)
    return process, int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


@contextlib.contextmanager
def prometheus(folder: Path, *, idle: bool) -> Iterator[None]:
    """Scrapes each second."""
    if shutil.which("prometheus") is None:
        with repeating(lambda connection: get(connection, "/metrics"), 1.0, idle=idle):
            yield
        return
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: phasegraph\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{PORT}']}}]\n"
    )
    options = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--web.listen-address=127.0.0.1:18421",
    ]
    with started(["prometheus", *options], folder, idle=idle):
        yield


@contextlib.contextmanager
def browser(folder: Path, *, idle: bool) -> Iterator[None]:
    """Chromium with the page open."""
    program = shutil.which("chromium")
    if program is None:
        print("no chromium: the page is not open in a browser", file=sys.stderr)
        yield
        return
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'chromium'}"]
    command = [program, *options, "--remote-debugging-port=0", f"http://127.0.0.1:{PORT}/"]
    with started(list[object](command), folder, idle=idle):
        time.sleep(SETTLE_S / 2)
        yield


@contextlib.contextmanager
def asking(counted: list[int], *, idle: bool) -> Iterator[None]:
    """Makes API requests at the rate."""

    def ask(connection: http.client.HTTPConnection) -> None:
        get(connection, "/api/v1/runs/receive" if counted[0] % 2 else "/api/v1/runs")
        counted[0] += 1

    with repeating(ask, 1 / REQUESTS_A_SECOND, idle=idle):
        yield


@contextlib.contextmanager
def repeating(do: object, interval_s: float, *, idle: bool) -> Iterator[None]:
    """Call with a connection at an interval, in a thread."""
    ending = threading.Event()

    def loop() -> None:
        if idle:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        due = time.monotonic()
        while not ending.is_set():
            try:
                do(connection)  # type: ignore[operator]
            except (OSError, http.client.HTTPException):
                connection.close()
                time.sleep(0.1)
            due = max(due + interval_s, time.monotonic() - 1)
            ending.wait(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(15)


def get(connection: http.client.HTTPConnection, path: str) -> None:
    """One request, read to its end."""
    connection.request("GET", path)
    connection.getresponse().read()


if __name__ == "__main__":
    main()
