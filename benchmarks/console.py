"""What `kernel console` costs the runs of its machine: processor time of their control planes, and the sender's pacing.

One run sends 64 streams on the loopback interface, another receives them. Blocks without a console and with one
alternate. With one, a browser has the page open, Prometheus (or, where it is not installed, a client) scrapes each
second, and a client makes 50 API requests a second. A run's control plane is its main thread; its time comes from the
scheduler (/proc/PID/task/PID/schedstat), the sender's pacing from its report. Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
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

import msgspec
from _table import markdown, number

KERNEL = (sys.executable, "-m", "phasegraph")
PORT = 18420
REQUESTS_A_SECOND = 50
SETTLE_S = 6.0


class Block(msgspec.Struct):
    """Figures of one block."""

    console: bool
    sender_percent: float
    """Of a core, the sending run's control plane."""
    receiver_percent: float
    console_percent: float | None
    """Of a core, the console itself."""
    pacing_p50_us: float
    pacing_p99_us: float
    requests: int
    load: float


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    blocks = []
    for round_ in range(arguments.rounds):
        for console in (False, True) if round_ % 2 == 0 else (True, False):
            block = measure(arguments.streams, arguments.seconds, console=console)
            print(block, file=sys.stderr)
            blocks.append(block)
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.encode(blocks))
    print(table(blocks))


def table(blocks: list[Block]) -> str:
    """Medians of the blocks without and with a console."""
    head = [
        "console",
        "",
        "sender's control plane, % of a core",
        "receiver's",
        "console's own",
        "pacing p50, us",
        "p99, us",
    ]
    rows = []
    for console in (False, True):
        of = [block for block in blocks if block.console is console]
        own = [block.console_percent for block in of if block.console_percent is not None]
        figures = [
            statistics.median(getattr(block, name) for block in of) for name in ("sender_percent", "receiver_percent")
        ]
        pacing = [
            statistics.median(getattr(block, name) for block in of) for name in ("pacing_p50_us", "pacing_p99_us")
        ]
        cells = [*(number(figure, 2) for figure in figures), number(statistics.median(own), 1) if own else "-"]
        cells += [number(figure, 0) for figure in pacing]
        requests = statistics.median(block.requests for block in of)
        rows.append(["with" if console else "without", f"{requests:g} requests" if console else "", *cells])
    return markdown(head, rows)


def measure(streams: int, seconds: float, *, console: bool) -> Block:
    """One block, with runs of its own."""
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        environment = {**os.environ, "XDG_RUNTIME_DIR": temporary, "XDG_STATE_HOME": temporary}
        report = folder / "report.json"
        (folder / "send.toml").write_text(sending(streams))
        (folder / "receive.toml").write_text(receiving(streams))
        receiver = stack.enter_context(
            started([*KERNEL, "run", "receive.toml", "--status", "none"], folder, environment)
        )
        send = [*KERNEL, "run", "send.toml", "--status", "none", "--report", report]
        sender = stack.enter_context(started(send, folder, environment))
        counted = [0]
        server = None
        if console:
            command = [*KERNEL, "console", "--port", str(PORT)]
            server = stack.enter_context(started(command, folder, environment))
            time.sleep(SETTLE_S / 2)
            stack.enter_context(prometheus(folder, environment))
            stack.enter_context(browser(folder, environment))
            stack.enter_context(asking(counted))
        time.sleep(SETTLE_S)
        before = [cpu_ns(process.pid, main=True) for process in (sender, receiver)]
        console_before = cpu_ns(server.pid, main=False) if server else 0
        began, asked = time.monotonic(), counted[0]
        time.sleep(seconds)
        passed_ns = (time.monotonic() - began) * 1e9
        used = [cpu_ns(p.pid, main=True) - was for p, was in zip((sender, receiver), before, strict=True)]
        own = 100 * (cpu_ns(server.pid, main=False) - console_before) / passed_ns if server else None
        requests = counted[0] - asked
        sender.send_signal(2)
        sender.wait(20)
        nodes = json.loads(report.read_text())["nodes"].values()
        pacing = [node["metrics"] for node in nodes if "pacing_error_p99_ns" in node["metrics"]]
        return Block(
            console,
            100 * used[0] / passed_ns,
            100 * used[1] / passed_ns,
            own,
            statistics.median(each["pacing_error_p50_ns"] for each in pacing) / 1e3,
            statistics.median(each["pacing_error_p99_ns"] for each in pacing) / 1e3,
            requests,
            os.getloadavg()[0],
        )


def sending(streams: int) -> str:
    """A graph that sends."""
    lines = ["schema = 1", "[clocks.house]", 'kind = "system"', "[sources.tone]", 'kind = "tone"']
    for index in range(streams):
        lines += [f"[sinks.net-{index}]", 'kind = "aes67"', 'input = "tone"', 'interface = "127.0.0.1"']
        lines += [f'group = "239.69.91.{index + 1}"']
    return "\n".join(lines)


def receiving(streams: int) -> str:
    """A graph that receives the same."""
    lines = ["schema = 1", "[clocks.house]", 'kind = "system"']
    for index in range(streams):
        lines += [f"[sources.s-{index}]", 'kind = "aes67"', 'interface = "127.0.0.1"', 'link-offset = "100ms"']
        lines += [f'group = "239.69.91.{index + 1}"', f"[sinks.k-{index}]", 'kind = "null"', f'input = "s-{index}"']
    return "\n".join(lines)


@contextlib.contextmanager
def started(command: list[object], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended with the block."""
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
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


def cpu_ns(pid: int, *, main: bool) -> int:
    """Time on a processor of a process's main thread, or of all its threads."""
    tasks = [Path(f"/proc/{pid}/task/{pid}")] if main else list(Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


@contextlib.contextmanager
def prometheus(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Scrapes each second."""
    if shutil.which("prometheus") is None:
        with repeating(lambda connection: get(connection, "/metrics"), 1.0):
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
    with started(["prometheus", *options], folder, environment):
        yield


@contextlib.contextmanager
def browser(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Chromium with the page open."""
    program = shutil.which("chromium")
    if program is None:
        print("no chromium: the page is not open in a browser", file=sys.stderr)
        yield
        return
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'chromium'}"]
    command = [program, *options, "--remote-debugging-port=0", f"http://127.0.0.1:{PORT}/"]
    with started(list[object](command), folder, environment):
        time.sleep(SETTLE_S / 2)
        yield


@contextlib.contextmanager
def asking(counted: list[int]) -> Iterator[None]:
    """Makes API requests at the rate."""

    def ask(connection: http.client.HTTPConnection) -> None:
        get(connection, "/api/v1/runs/receive" if counted[0] % 2 else "/api/v1/runs")
        counted[0] += 1

    with repeating(ask, 1 / REQUESTS_A_SECOND):
        yield


@contextlib.contextmanager
def repeating(do: object, interval_s: float) -> Iterator[None]:
    """Call with a connection at an interval, in a thread."""
    ending = threading.Event()

    def loop() -> None:
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
