"""What changes of a running graph cost the streams that they do not touch.

One `kernel run` sends streams on loopback. Another receives them and sends one itself. First it runs undisturbed; then
a client adds further sources and sinks, switches them, and removes them again, as often as it is told. Measured are the
packets and frames that the untouched streams lost, the pacing of the sender, and the memory, files and threads of the
run.

    python benchmarks/apply.py                          # 32 streams, 500 changes in 5 minutes; eleven minutes in all
    python benchmarks/apply.py --streams 8 --applies 60 --seconds 36
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phasegraph.control import Run, connect

GROUP = "239.69.77"
PORT = 15004
SETTLE_S = 6.0


def sender_graph(streams: int) -> str:
    """Tones, each to a group of its own."""
    lines = ["schema = 1", '[clocks.house]\nkind = "system"', '[sources.tone]\nkind = "tone"']
    lines += [
        f'[sinks.out{number}]\nkind = "aes67"\ninput = "tone"\ninterface = "127.0.0.1"\n'
        f'group = "{GROUP}.{number + 1}"\nport = {PORT}'
        for number in range(streams)
    ]
    return "\n".join(lines) + "\n"


def source(number: int) -> dict[str, Any]:
    """A source that receives one of the streams."""
    table = {"kind": "aes67", "interface": "127.0.0.1", "group": f"{GROUP}.{number + 1}", "port": PORT}
    return {**table, "link-offset": "40ms"}


def receiver_graph(streams: int) -> dict[str, Any]:
    """The untouched part: sources with counting sinks, and one sender."""
    sinks: dict[str, Any] = {f"k{number}": {"kind": "null", "input": f"s{number}"} for number in range(streams)}
    own = {"kind": "aes67", "input": "s0", "interface": "127.0.0.1", "group": f"{GROUP}.200", "port": PORT + 2}
    return {
        "schema": 1,
        "clocks": {"house": {"kind": "system"}},
        "sources": {f"s{number}": source(number) for number in range(streams)},
        "sinks": {**sinks, "relay": own},
    }


@contextmanager
def kernel_run(
    folder: Path, name: str, text: str, prefix: Sequence[str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A run of a graph, with its control socket in a folder."""
    graph, path = folder / f"{name}.toml", folder / f"{name}.sock"
    graph.write_text(text)
    command = [
        *prefix,
        sys.executable,
        "-m",
        "phasegraph",
        "run",
        str(graph),
        "--control",
        str(path),
        "--status",
        "none",
    ]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    run = subprocess.Popen([*command, "--log-level", "error"], env=environment, stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            if run.poll() is not None:
                raise SystemExit(f"{name} has ended with {run.returncode}")
            time.sleep(0.1)
        time.sleep(1.0)
        yield run, path
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(30)


def resources(pid: int) -> dict[str, int]:
    """Memory, open files and threads of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return {
        "rss_kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": len(os.listdir(f"/proc/{pid}/task")),
    }


def figures(run: Run, streams: int) -> dict[str, Any]:
    """What the untouched nodes have counted."""
    nodes = run.status().nodes
    sources = [nodes[f"s{number}"].metrics for number in range(streams)]
    sinks = [nodes[f"k{number}"].metrics for number in range(streams)]
    relay = nodes["relay"].metrics

    def total(each: list[dict[str, Any]], name: str) -> int:
        return sum(int(metrics.get(name, 0)) for metrics in each)

    return {
        "packets": total(sources, "packets_received"),
        "lost": total(sources, "packets_lost") + total(sources, "packets_late"),
        "missing_frames": total(sinks, "underrun_frames") + int(relay["underrun_frames"]),
        "pacing_p99_us": float(relay["pacing_error_p99_ns"]) / 1000,
        "resyncs": int(relay["sender_resyncs"]),
    }


def change(run: Run, streams: int, number: int) -> None:
    """One of four changes: add two sources and two sinks, switch one, add a sender, remove it all."""
    extra = {"source.x": source(streams), "source.y": source(streams + 1)}
    step = number % 4
    if step == 0:
        run.set({**extra, "sink.xk": {"kind": "null", "input": "x"}})
    elif step == 1:
        run.set({"sink.xk.input": "y"})
    elif step == 2:
        own = {"kind": "aes67", "input": "x", "interface": "127.0.0.1", "group": f"{GROUP}.201", "port": PORT + 2}
        run.set({"sink.xout": own, "source.y.link-offset": f"{41 + number % 7}ms"})
    else:
        run.set({"sink.xk": None, "sink.xout": None, "source.x": None, "source.y": None})


def phase(folder: Path, streams: int, applies: int, seconds: float, prefix: Sequence[str]) -> dict[str, Any]:
    """A fresh run, measured for some time with this many changes spread over it."""
    text = "\n".join(toml_lines(receiver_graph(streams)))
    with kernel_run(folder, "receive", text, prefix) as (process, path), connect(path) as run:
        for number in range(40 if applies else 0):  # what is imported and allocated once
            change(run, streams, number)
        time.sleep(SETTLE_S)
        before, at_start = figures(run, streams), resources(process.pid)
        began = time.monotonic()
        halfway, slowest_s = at_start, 0.0
        for number in range(applies):
            time.sleep(max(0.0, began + number * seconds / applies - time.monotonic()))
            asked = time.monotonic()
            change(run, streams, number)
            slowest_s = max(slowest_s, time.monotonic() - asked)
            if number == applies // 2 // 4 * 4 + 3:
                halfway = resources(process.pid)
        time.sleep(max(3.0, began + seconds - time.monotonic()))
        after, at_end = figures(run, streams), resources(process.pid)
        return {
            "applies": applies,
            "seconds": round(time.monotonic() - began),
            "slowest_apply_ms": round(slowest_s * 1000),
            **{name: after[name] - before[name] for name in ("packets", "lost", "missing_frames", "resyncs")},
            "pacing_p99_us": round(after["pacing_p99_us"], 1),
            "start": at_start,
            "halfway": halfway,
            "end": at_end,
        }


def toml_lines(graph: dict[str, Any]) -> Iterator[str]:
    """A graph as the lines of its file."""
    yield f"schema = {graph['schema']}"
    for role in ("clocks", "sources", "sinks"):
        for id, table in graph[role].items():
            yield f"[{role}.{id}]"
            for name, value in table.items():
                yield f"{name} = {json.dumps(value)}"


def table(rows: list[dict[str, Any]]) -> str:
    """The phases as a table of Markdown."""
    lines = [
        "| run | packets | lost or late | frames missing | sender p99 | sender resyncs | memory at start, half, end | "
        "files | threads |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        times = [row[at] for at in ("start", "halfway", "end")]
        memory = ", ".join(f"{each['rss_kib'] / 1024:.1f}" for each in times) + " MiB"
        name = (
            f"{row['applies']} changes in {row['seconds']} s" if row["applies"] else f"undisturbed, {row['seconds']} s"
        )
        lines.append(
            f"| {name} | {row['packets']} | {row['lost']} | {row['missing_frames']} | {row['pacing_p99_us']} µs | "
            f"{row['resyncs']} | {memory} | {times[0]['files']} -> {times[-1]['files']} | "
            f"{times[0]['threads']} -> {times[-1]['threads']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=32, help="streams that are received and not touched")
    parser.add_argument("--applies", type=int, default=500, help="changes")
    parser.add_argument("--seconds", type=float, default=300.0, help="of each of the two runs")
    parser.add_argument(
        "--priority", action="store_true", help="run all of both programs with real-time priority: on a busy machine"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prefix = ["chrt", "--fifo", "5"] if options.priority else []
        with kernel_run(folder, "send", sender_graph(options.streams + 2), prefix):
            time.sleep(2.0)
            rows = [
                phase(folder, options.streams, applies, options.seconds, prefix)
                for applies in (0, options.applies // 4 * 4)
            ]
    print(table(rows))
    print(f"slowest change: {rows[-1]['slowest_apply_ms']} ms", file=sys.stderr)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
