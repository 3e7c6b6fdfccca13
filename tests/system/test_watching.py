"""What can be seen of a run: the trace, logs, the status line, and a terminal that is as before."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from tests.support import material
from tests.support.graphs import Loop, table, write_graph
from tests.support.kernel import KERNEL, LIMIT_S, run_kernel
from tests.support.machine import watched_machine
from tests.support.process import running

from phasegraph import SystemLocalClock

TAI_OFFSET_NS = 37_000_000_000
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A graph that runs until it is told to end."""
    return write_graph(
        tmp_path / "graph.toml",
        table("sources", "line-up", kind="tone"),
        table("sinks", "copy", kind="file", overwrite=True, input="line-up", path="copy.wav"),
    )


def test_the_trace_has_the_clock_and_the_log_is_json(tmp_path: Path) -> None:
    """Estimates at least once a second, in CLOCK_MONOTONIC_RAW; every line of the log an object of its own."""
    material.make(tmp_path / "source.wav", 60_000)
    graph = write_graph(tmp_path / "graph.toml", Loop(source=tmp_path / "source.wav").toml)
    trace = tmp_path / "trace.jsonl"
    local = SystemLocalClock()
    began = local.now_ns()
    with watched_machine() as machine:
        result = run_kernel(graph, tmp_path, "--trace", trace, "--log-format", "json")
    ended = local.now_ns()
    real_minus_local = local.realtime_offset_ns()
    assert result.code == 0, result.stderr

    records = [json.loads(line) for line in trace.read_text().splitlines()]
    clocks = [record for record in records if record["t"] == "clock"]
    fields = {"t", "node", "local_ns", "reference_ns", "rate_ppb", "sigma_ns", "bound_ns", "state", "grandmaster"}
    assert all(set(record) >= fields for record in clocks)
    assert {record["node"] for record in clocks} == {"house"}
    assert {record["state"] for record in clocks} == {"locked"}
    stamps = [record["local_ns"] for record in clocks]
    assert stamps == sorted(stamps)
    assert began < stamps[0] < stamps[-1] < ended
    assert stamps[-1] - stamps[0] > 1_000_000_000
    assert max(b - a for a, b in itertools.pairwise(stamps)) <= 1_000_000_000 + machine.lost_s * 1e9
    for record in clocks:
        assert isinstance(record["reference_ns"], int)
        assert record["sigma_ns"] <= record["bound_ns"]
        off = record["reference_ns"] - record["local_ns"] - real_minus_local - TAI_OFFSET_NS
        assert abs(off) < 1_000_000 + 500 * (ended - began) // 1_000_000, "500 ppm is the most that Linux slews"

    logged = [json.loads(line) for line in result.stderr.splitlines()]
    assert all(line["level"] in ("info", "warning", "error") and line["timestamp"].endswith("Z") for line in logged)
    assert [(line["event"], line["node"]) for line in logged if line["event"] == "stream_ended"] == [
        ("stream_ended", "loop-in")
    ]


def test_elsewhere_than_on_a_terminal_the_status_is_plain_lines(tone: Path, tmp_path: Path) -> None:
    """One line now and then (ten seconds apart; less here), without a control character."""
    hurried = "import phasegraph._cli.status as s; s.PLAIN_INTERVAL_S = 0.2; from phasegraph._cli import main; main()"
    with running([sys.executable, "-c", hurried, "run", tone], tmp_path, name="kernel") as process:
        process.wait_until(lambda: process.stderr.count("running for ") >= 2, "two lines")
        process.signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0, process.told()
    status = [line for line in process.stderr.splitlines() if line.startswith("graph: running for ")]
    assert "line-up: " in status[0]
    assert "copy: " in status[0]
    assert "\x1b" not in process.stderr + process.stdout
    assert "running for" not in process.stdout


def test_on_a_terminal_the_status_lives_and_then_is_gone(tone: Path, tmp_path: Path) -> None:
    """The cursor is back, the status is wiped away, what happened is there in words, and the modes are as before."""
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        process = subprocess.Popen(
            [*KERNEL, "run", str(tone)],
            cwd=tmp_path,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        )
        try:
            shown = read_to_end(master, process, drawn=3)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0, shown
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(slave)
        os.close(master)
    assert "\x1b[?25h" in shown.rpartition("\x1b[?25l")[2], "the cursor is shown again"
    screen = on_screen(shown)
    assert screen[0].startswith("Stopped by a signal after ")
    assert not any("running for" in line for line in screen)


def read_to_end(master: int, process: subprocess.Popen[bytes], drawn: int) -> str:
    """Everything that a process writes to its terminal; it is told to end when its status was drawn so often."""
    shown = b""
    told = False
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.1)
        if ready:
            shown += os.read(master, 65_536)
            if not told and shown.count(b"running for") >= drawn:
                told = True
                process.send_signal(signal.SIGINT)
        elif process.poll() is not None:
            return shown.decode()
    raise AssertionError(f"it still ran after {LIMIT_S:g} s:\n{shown.decode()}")


def on_screen(shown: str) -> list[str]:
    """What is left on a terminal: lines, with the cursor-up, erase-line and return that a live display uses."""
    lines = [""]
    row = 0
    at = 0
    for part in re.split(f"({ESCAPE.pattern}|\r|\n)", shown):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            at = 0
        elif part.startswith("\x1b["):
            if part.endswith("A"):
                row = max(0, row - int(part[2:-1] or 1))
            elif part == "\x1b[2K":
                lines[row] = ""
        elif part:
            lines[row] = lines[row][:at].ljust(at) + part + lines[row][at + len(part) :]
            at += len(part)
    return [line.rstrip() for line in lines if line.strip()]
