"""What changes of a running graph cost the streams that they do not touch.

A C program with real-time priority (floor_send.c) sends streams on loopback, so that what is late is not late at the
peer. A `kernel run` receives them and sends one itself. First it runs undisturbed; then a client adds further sources
and sinks, switches them, and removes them again, as often as it is told. Measured are the packets and frames that the
untouched streams lost, the pacing of the sender, and the memory, files and threads of the run. Beside it, a process on
each core measures how long the machine itself stood still (_stalls.py).

    python benchmarks/apply.py                          # 32 streams, 500 changes in 5 minutes; eleven minutes in all
    python benchmarks/apply.py --streams 8 --applies 60 --seconds 36
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _measure
import _proc
import _stalls
import _wire

from phasegraph.control import Run, connect

GROUP = "239.69.77"
PORT = 15004
FORM = _wire.Format(channels=2, frames=48)
SENDER_PRIORITY = 20
"""Ahead of the engine under test: what it receives late was not sent late."""
WARM_UP = 80
"""Changes before the figures begin: what is imported and allocated once."""
START_S, SETTLE_S = 3.0, 6.0


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
    status = run.status()
    nodes = status.nodes
    sources = [nodes[f"s{number}"].metrics for number in range(streams)]
    sinks = [nodes[f"k{number}"].metrics for number in range(streams)]
    relay = nodes["relay"].metrics

    def total(each: list[dict[str, Any]], name: str) -> int:
        return sum(int(metrics.get(name, 0)) for metrics in each)

    return {
        "packets": total(sources, "packets_received"),
        "lost": total(sources, "packets_lost"),
        "late": total(sources, "packets_late"),
        "missing_frames": total(sinks, "underrun_frames") + int(relay["underrun_frames"]),
        "pacing_p99_us": float(relay["pacing_error_p99_ns"]) / 1000,
        "resyncs": int(relay["sender_resyncs"]),
        "control_s": status.cpu_s["process"] - status.cpu_s["engine"],
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


def phase(shop: _proc.Workshop, streams: int, applies: int, seconds: float, prefix: Sequence[str]) -> dict[str, Any]:
    """A fresh run, measured for some time with this many changes spread over it."""
    text = "\n".join(toml_lines(receiver_graph(streams)))
    with kernel_run(shop.folder, "receive", text, prefix) as (process, path), connect(path) as run:
        time.sleep(START_S)
        for number in range(WARM_UP if applies else 0):
            change(run, streams, number)
        run.restart("relay")  # its figures begin again
        time.sleep(SETTLE_S)
        before, at_start = figures(run, streams), resources(process.pid)
        dropped = _measure.socket_drops(os.getpgid(process.pid))
        stalls = _stalls.StallWatch(shop, seconds)
        began = time.monotonic()
        halfway, took_s = at_start, [0.0]
        for number in range(applies):
            time.sleep(max(0.0, began + number * seconds / applies - time.monotonic()))
            asked = time.monotonic()
            change(run, streams, number)
            took_s.append(time.monotonic() - asked)
            if number == applies // 2 // 4 * 4 + 3:
                halfway = resources(process.pid)
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        dropped = _measure.socket_drops(os.getpgid(process.pid)) - dropped
        after, at_end = figures(run, streams), resources(process.pid)
        return {
            "applies": applies,
            "seconds": round(time.monotonic() - began),
            "median_apply_ms": round(statistics.median(took_s) * 1000),
            "slowest_apply_ms": round(max(took_s) * 1000),
            **{name: after[name] - before[name] for name in ("packets", "lost", "late", "missing_frames", "resyncs")},
            "dropped": dropped,
            "pacing_p99_us": round(after["pacing_p99_us"], 1),
            "control_cpu": round((after["control_s"] - before["control_s"]) / seconds, 4),
            "stalls": stalls.result(),
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
        "| run | packets | lost | late | dropped by the socket | frames missing | sender p99 | sender resyncs | "
        "stalls of the machine over 5 ms | control plane | memory at start, half, end | files | threads |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        times = [row[at] for at in ("start", "halfway", "end")]
        memory = ", ".join(f"{each['rss_kib'] / 1024:.1f}" for each in times) + " MiB"
        name = (
            f"{row['applies']} changes in {row['seconds']} s" if row["applies"] else f"undisturbed, {row['seconds']} s"
        )
        counts = [row[name] for name in ("packets", "lost", "late", "dropped", "missing_frames")]
        cells = [name, *counts, f"{row['pacing_p99_us']} µs", row["resyncs"]]
        cells += [f"{row['stalls']['count']}, longest {row['stalls']['longest_ms']} ms"]
        cells += [f"{100 * row['control_cpu']:.1f} % of a core", memory]
        cells += [f"{times[0][name]} -> {times[-1][name]}" for name in ("files", "threads")]
        lines.append(f"| {' | '.join(map(str, cells))} |")
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
    prefix = ["chrt", "--fifo", "5"] if options.priority else []
    with _proc.Workshop() as shop:
        sender = _proc.build_c(Path(__file__).parent / "floor_send.c", shop.folder)
        if isinstance(sender, str):
            raise SystemExit(f"there is no sender: {sender}")
        groups = _wire.Streams(options.streams + 2, GROUP, PORT).groups()
        words = [str(sender), str(PORT), _wire.LOOPBACK, str(FORM.channels), str(FORM.frames), *groups]
        shop.start(["chrt", "--fifo", str(SENDER_PRIORITY), *words], "send")
        rows = [
            phase(shop, options.streams, applies, options.seconds, prefix) for applies in (0, options.applies // 4 * 4)
        ]
    print(table(rows))
    print(
        f"changes took {rows[-1]['median_apply_ms']} ms, the slowest {rows[-1]['slowest_apply_ms']} ms", file=sys.stderr
    )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
