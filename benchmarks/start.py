"""What a start costs: CPU time of commands that end, and of senders until their first packet is out.

    python benchmarks/start.py [--rounds 11]

Every round starts each program once, in turn. The first round fills caches and is left out. CPU time is user and
system time of the process and its children. Bytecode is kept in a folder of the benchmark, as an installed package has
it. The table has medians, with the least in brackets, and goes to stdout.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import _measure
import _options
import _table
import _wire

GROUP, PORT = "239.69.204.1", 5404
WAIT_S = 20.0
KERNEL = (sys.executable, "-m", "phasegraph")
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


class Cost(NamedTuple):
    """Of one start."""

    cpu_s: float
    wall_s: float


Start = Callable[[Mapping[str, str]], Cost]


def ended(*command: str | Path) -> Start:
    """A command that ends by itself."""

    def start(environment: Mapping[str, str]) -> Cost:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, check=True)
        wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s)

    return start


def first_packet(*command: str | Path) -> Start:
    """A sender, which is killed when its first packet is here."""

    def start(environment: Mapping[str, str]) -> Cost:
        with _wire.receiving_socket([GROUP], PORT) as receiver:
            receiver.settimeout(WAIT_S)
            began = time.perf_counter()
            sender = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
            )
            try:
                receiver.recv(2048)
                return Cost(_measure.cpu_ns(sender.pid) / 1e9, time.perf_counter() - began)
            finally:
                sender.kill()
                sender.wait()

    return start


def graph(folder: Path) -> Path:
    """A tone as one stream."""
    path = folder / "send.toml"
    path.write_text(
        'schema = 1\n[clocks.house]\nkind = "system"\n[sources.tone]\nkind = "tone"\n[sinks.network]\nkind = "aes67"\n'
        f'input = "tone"\ninterface = "127.0.0.1"\ngroup = "{GROUP}"\nport = {PORT}\nencoding = "L24"\n'
    )
    return path


def programs(folder: Path) -> dict[str, Start]:
    """What is started, by the name in the table."""
    pipeline = (
        "audiotestsrc is-live=true ! audio/x-raw,format=S24BE,rate=48000,channels=2 ! rtpL24pay max-ptime=1000000"
    )
    tone = ("-f", "lavfi", "-i", "sine=997:sample_rate=48000", "-ac", "2", "-c:a", "pcm_s24be")
    found: dict[str, Start] = {
        "python -c pass": ended(sys.executable, "-c", "pass"),
        "python -c 'import numpy, trio'": ended(sys.executable, "-c", "import numpy, trio"),
        "kernel --help": ended(*KERNEL, "--help"),
        "kernel check examples/receive.toml": ended(*KERNEL, "check", EXAMPLES / "receive.toml"),
        "kernel run, a tone: first packet": first_packet(*KERNEL, "run", graph(folder), "--no-control"),
    }
    if shutil.which("ffmpeg"):
        target = f"rtp://{GROUP}:{PORT}?localaddr=127.0.0.1&ttl=0"
        found["ffmpeg -version"] = ended("ffmpeg", "-version")
        found["ffmpeg, a tone: first packet"] = first_packet("ffmpeg", "-re", *tone, "-f", "rtp", target)
    if shutil.which("gst-launch-1.0"):
        sink = f"udpsink host={GROUP} port={PORT} auto-multicast=true multicast-iface=lo ttl-mc=0"
        found["gst-inspect-1.0 udpsink"] = ended("gst-inspect-1.0", "udpsink")
        found["gst-launch-1.0, a tone: first packet"] = first_packet(
            "gst-launch-1.0", "-q", *f"{pipeline} ! {sink}".split()
        )
    return found


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="starts of each program that count (11)")
    rounds: int = parser.parse_args().rounds
    if rounds < 1:
        parser.error("need --rounds of 1 or more")
    with tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(Path(name) / "bytecode"), "OPENBLAS_NUM_THREADS": "1"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        starts = programs(Path(name))
        costs: dict[str, list[Cost]] = {program: [] for program in starts}
        for turn in range(rounds + 1):
            for program, start in starts.items():
                cost = start(environment)
                if turn:
                    costs[program].append(cost)
    print(f"{_options.machine()}; {rounds} rounds\n")
    rows = [
        [program, *(_cell([cost[column] for cost in seen]) for column in (0, 1))] for program, seen in costs.items()
    ]
    print(_table.markdown(["program", "CPU s", "s until it ends, or sends"], rows))
    return 0


def _cell(values: list[float]) -> str:
    return f"{_table.number(_table.median(values), 3)} ({_table.number(min(values), 3)})"


if __name__ == "__main__":
    sys.exit(_options.guarded(main))
