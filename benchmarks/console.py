"""What `kernel console` costs the runs of its machine: processor time, and the sender's pacing.

One run sends 64 streams on the loopback interface, another receives them. Through all blocks a console, a browser with
its page open, Prometheus (or, where it is not installed, a client) scraping each second, and a client that makes 50 API
requests a second are at work: a machine that is busy with them slows down everything on it, whatever they look at.
Blocks differ in one thing: "with" the console has the two runs; "without" it has what they said before, said again by
the relay between them and it (`_run_relay.py`), and the runs have no client. The order is with, without, without, with,
so that what changes slowly falls on both.

Processor time comes from the scheduler, of all threads of a run and of its main thread, the control plane. What a
console adds is the median of the pairs of neighbouring blocks. The pacing is seen from outside: the system's stamps of
one stream's packets, against an even grid through the fastest. Percentiles are those of all packets of a kind of block
together; no block is left out. "Stolen" is time that our processors wanted and the hypervisor gave to other guests.

Browser, Prometheus and client stand for other machines: they run where no other process wants the processor
(SCHED_IDLE), and ``--clients normal`` leaves them at ordinary priority. Takes ``(seconds + 6) * 2 * pairs`` and half a
minute. Linux.
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import _spacing
import msgspec
import numpy as np
import numpy.typing as npt
from _run_relay import RunRelay
from _table import markdown, number

KERNEL = (sys.executable, "-m", "phasegraph")
PORT = 18420
REQUESTS_A_SECOND = 50
STARTUP_S, MOST_STARTUP_S = 6.0, 60.0
WARM_UP_S = 25.0
"""The page is loaded, and statuses are recorded; a run of many nodes gives one every few seconds."""
SETTLE_S = 2.0
UNREAD_S = 12.0
"""A run that has lost its last reader samples counters as often as before for 10 s."""
PREFIX = "239.69.91"
PACKET_NS = 1e6
_CPUCLOCK_SCHED = 2
"""With a process's id, the number of its clock (Linux)."""


class Block(msgspec.Struct):
    """Figures of one block."""

    console: bool
    """Whether it has the runs."""
    began_ns: int
    """System time."""
    ended_ns: int = 0
    sender_percent: float = 0.0
    """Of a core, the sending run, all threads."""
    sender_control_percent: float = 0.0
    """Of a core, its control plane."""
    receiver_percent: float = 0.0
    receiver_control_percent: float = 0.0
    console_percent: float = 0.0
    """Of a core, the console itself."""
    requests: int = 0
    """To its API, answered."""
    stolen_ms: float = 0.0
    pacing_p50_us: float = 0.0
    pacing_p99_us: float = 0.0
    pacing_max_us: float = 0.0


class Measured(NamedTuple):
    """A block, and how long after its place each packet left."""

    block: Block
    delay_ns: npt.NDArray[np.float64]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=10, help="of blocks, one with and one without")
    parser.add_argument("--seconds", type=float, default=15, help="of a block")
    parser.add_argument("--clients", choices=["idle", "normal"], default="idle")
    parser.add_argument("--json", type=Path, help="file for the figures of all blocks")
    arguments = parser.parse_args()
    measured = measure_all(arguments)
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.encode([each.block for each in measured]))
    print(table(measured))
    print()
    print(added([each.block for each in measured]))


def measure_all(arguments: argparse.Namespace) -> list[Measured]:
    """All blocks, of one pair of runs."""
    with tempfile.TemporaryDirectory(prefix="console-") as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        sockets = folder / "phasegraph"
        sockets.mkdir(mode=0o700)
        os.environ.update(XDG_RUNTIME_DIR=temporary, XDG_STATE_HOME=temporary)
        graphs = {"receive": receiving(arguments.streams), "send": sending(arguments.streams)}
        processes = {}
        for name, text in graphs.items():
            (folder / f"{name}.toml").write_text(text)
            command = [*KERNEL, "run", f"{name}.toml", "--status", "none", "--control", folder / f"{name}.sock"]
            processes[name] = stack.enter_context(started(command, folder))
        deadline = time.monotonic() + MOST_STARTUP_S
        while not all((folder / f"{name}.sock").exists() for name in graphs) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(STARTUP_S)
        relays = [RunRelay(sockets / f"{name}.sock", folder / f"{name}.sock") for name in graphs]
        processes["console"] = stack.enter_context(started([*KERNEL, "console", "--port", str(PORT)], folder))
        time.sleep(SETTLE_S)
        counted, idle = [0], arguments.clients == "idle"
        stack.enter_context(prometheus(folder, idle=idle))
        stack.enter_context(browser(folder, idle=idle))
        stack.enter_context(asking(counted, idle=idle))
        watched = folder / "packets.npy"
        command = [sys.executable, Path(__file__).parent / "_spy.py", str(1), PREFIX, str(5004), watched]
        spy = stack.enter_context(started(command, folder))
        time.sleep(WARM_UP_S)
        if not all(relay.recorded for relay in relays):
            raise SystemExit("the console does not read the runs")
        blocks, attached = [], True
        for pair in range(arguments.pairs):
            for console in (True, False) if pair % 2 == 0 else (False, True):
                if console is not attached:
                    attached = console
                    for relay in relays:
                        relay.attach(attached)
                    time.sleep(SETTLE_S if attached else UNREAD_S)
                time.sleep(SETTLE_S)
                blocks.append(measure(processes, counted, arguments.seconds, console=console))
        spy.terminate()
        spy.wait(30)
        packets = np.load(watched)
        return [paced(block, packets) for block in blocks]


def measure(
    processes: dict[str, subprocess.Popen[bytes]], counted: list[int], seconds: float, *, console: bool
) -> Block:
    """One block, but for its pacing."""
    block = Block(console=console, began_ns=time.time_ns())
    began, asked, stolen = time.monotonic(), counted[0], stolen_ms()
    before = {name: cpu_ns(process.pid) for name, process in processes.items()}
    time.sleep(seconds)
    used = {name: np.subtract(cpu_ns(process.pid), before[name]) for name, process in processes.items()}
    passed_ns = (time.monotonic() - began) * 1e9
    block.requests, block.stolen_ms, block.ended_ns = counted[0] - asked, stolen_ms() - stolen, time.time_ns()
    percent = {name: (100 * ns / passed_ns).tolist() for name, ns in used.items()}
    block.sender_percent, block.sender_control_percent = percent["send"]
    block.receiver_percent, block.receiver_control_percent = percent["receive"]
    block.console_percent = percent["console"][0]
    return block


def paced(block: Block, packets: npt.NDArray[np.void]) -> Measured:
    """The same with its pacing, of its packets among all."""
    of = packets[(packets["stamp"] >= block.began_ns) & (packets["stamp"] < block.ended_ns)]
    found = _spacing.delays(of["stamp"].astype(np.int64), of["sequence"].astype(np.int64), PACKET_NS)
    if found is None:
        raise SystemExit("the stream does not come")
    percentiles_us = (np.percentile(found.delay_ns, (50, 99, 100)) / 1000).tolist()
    block.pacing_p50_us, block.pacing_p99_us, block.pacing_max_us = percentiles_us
    print(block, file=sys.stderr)
    return Measured(block, found.delay_ns)


def table(measured: Sequence[Measured]) -> str:
    """Both kinds of block: medians of what was used, and the pacing of all packets."""
    columns = {
        "console's own, % of a core": ("console_percent", 1),
        "API requests": ("requests", 0),
        "sender": ("sender_percent", 2),
        "of it control plane": ("sender_control_percent", 2),
        "receiver": ("receiver_percent", 2),
        "of it control plane ": ("receiver_control_percent", 2),
        "stolen, ms": ("stolen_ms", 0),
    }
    pacing = ["packets behind their time, p50, us", "p99", "max", "median of the blocks' p99"]
    rows = []
    for console in (False, True):
        of = [each for each in measured if each.block.console is console]
        blocks = [each.block for each in of]
        cells = [number(statistics.median(getattr(block, name) for block in blocks), n) for name, n in columns.values()]
        p50, p99, top = np.percentile(np.concatenate([each.delay_ns for each in of]), (50, 99, 100)) / 1000
        cells += [number(p50), number(p99), number(top, 0)]
        cells.append(number(statistics.median(block.pacing_p99_us for block in blocks)))
        rows.append(["with" if console else "without", str(len(of)), *cells])
    return markdown(["console", "blocks", *(name.strip() for name in columns), *pacing], rows)


def added(blocks: Sequence[Block]) -> str:
    """With minus without, of each pair of neighbours: the median, and the least and most."""
    pairs = [sorted(blocks[at : at + 2], key=lambda block: block.console) for at in range(0, len(blocks), 2)]
    names = {
        "sender": "sender_percent",
        "the sender's control plane": "sender_control_percent",
        "receiver": "receiver_percent",
        "the receiver's control plane": "receiver_control_percent",
    }
    rows = []
    for title, name in names.items():
        more = [getattr(one, name) - getattr(other, name) for other, one in pairs]
        rows.append([title, *(f"{each:+.2f}" for each in (statistics.median(more), min(more), max(more)))])
    return markdown(["added by the console, % of a core", "median of the pairs", "least", "most"], rows)


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


def stolen_ms() -> float:
    """Time that the hypervisor has given to other guests while a processor of this machine had work."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) * 1000 / os.sysconf("SC_CLK_TCK")


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
