"""A run that changes while it goes on, as its user has it: by signal, by saving, by command; and a closed terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from pathlib import Path

from tests.support.graphs import table, write_graph
from tests.support.kernel import KERNEL, LIMIT_S, kernel_running
from tests.support.process import Running

TONE = table("sources", "line-up", kind="tone", channels=1)
OUT = table("sinks", "out", kind="null", input="line-up")
COPY = table("sinks", "copy", kind="file", input="line-up", path="copy.wav", overwrite=True)


def kernel(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*KERNEL, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT_S)


def started(process: Running, socket: Path) -> None:
    process.wait_until(lambda: kernel("status", socket).stdout.count(" running ") > 2, "running")


def test_a_signal_has_the_file_read_again(tmp_path: Path) -> None:
    graph, report = write_graph(tmp_path / "graph.toml", TONE, OUT), tmp_path / "report.json"
    control = tmp_path / "run.sock"
    with kernel_running(["run", graph, "--control", control, "--report", report], tmp_path) as process:
        started(process, control)
        write_graph(graph, TONE, OUT, COPY)
        process.signal(signal.SIGHUP)
        process.wait_until(lambda: "graph_reloaded" in process.stderr, "reloaded")
        graph.write_text("nonsense")
        process.signal(signal.SIGHUP)
        process.wait_until(lambda: "graph_refused" in process.stderr, "refused")
        assert kernel("stop", control).returncode == 0
        assert process.wait(LIMIT_S) == 0
    nodes = json.loads(report.read_text())["nodes"]
    assert set(nodes) == {"house", "line-up", "out", "copy"}
    assert nodes["copy"]["metrics"]["frames_in"] > 0


def test_a_saved_file_is_applied(tmp_path: Path) -> None:
    graph, control = write_graph(tmp_path / "graph.toml", TONE, OUT), tmp_path / "run.sock"
    with kernel_running(["run", graph, "--watch", "--control", control], tmp_path) as process:
        started(process, control)
        write_graph(graph, TONE, OUT, COPY)
        process.wait_until(lambda: "graph_reloaded" in process.stderr, "reloaded")
        process.signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0


def test_commands_plan_apply_and_set(tmp_path: Path) -> None:
    graph, control = write_graph(tmp_path / "graph.toml", TONE, OUT), tmp_path / "run.sock"
    hum = table("sources", "hum", kind="tone", channels=1) + table("sinks", "more", kind="null", input="hum")
    other = write_graph(tmp_path / "other.toml", TONE, hum, OUT)
    with kernel_running(["run", graph, "--control", control], tmp_path) as process:
        started(process, control)
        plan = kernel("apply", other, "--run", control, "--plan")
        assert (plan.returncode, "hum" in plan.stdout) == (0, True), plan.stderr
        assert "3 untouched." in plan.stdout
        assert "hum" not in kernel("status", control).stdout
        applied = kernel("apply", other, "--run", control)
        assert (applied.returncode, "hum" in applied.stdout) == (0, True), applied.stderr
        assert kernel("apply", other, "--run", control).stdout == "Nothing has changed.\n"
        swap = ("sink.out.input=hum", "sink.more.input=line-up")
        switched = kernel("set", *swap, "--run", control, "--at", "+1s", "--format", "json")
        assert switched.returncode == 0, switched.stderr
        assert json.loads(switched.stdout)["applied"]["out"]["frame"] > 0
        assert "hum->out" in json.loads(kernel("status", control, "--format", "json").stdout)["edges"]
        wrong = kernel("set", "sink.out.input=nothing", "sink.uot.input=hum", "--run", control)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert '"nothing"' in wrong.stderr
        assert '"uot"' in wrong.stderr
        for word in ("sink.out.input", "out=3"):
            assert "expected ROLE.ID.OPTION=VALUE" in kernel("set", word, "--run", control).stderr
        assert "--at" in kernel("set", "sink.out.input=hum", "--run", control, "--at", "noon").stderr
        process.signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    assert kernel("apply", other, "--run", control).returncode == 1


def test_a_closed_terminal_ends_the_run_with_report_and_whole_files(tmp_path: Path) -> None:
    graph, report = write_graph(tmp_path / "graph.toml", TONE, COPY), tmp_path / "report.json"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*KERNEL, "run", str(graph), "--report", str(report), "--no-control"],
        cwd=tmp_path,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(slave)
    try:
        deadline, shown = time.monotonic() + LIMIT_S, b""
        while re.search(rb"copy.* [1-9]\d* frames/s", shown) is None:
            assert time.monotonic() < deadline, shown
            if select.select([master], [], [], 0.1)[0]:
                shown += os.read(master, 65_536)
        os.close(master)
        master = -1
        assert process.wait(LIMIT_S) == 0
    finally:
        if master >= 0:
            os.close(master)
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
    written = json.loads(report.read_text())
    assert written["ended"] == "signal"
    frames = written["nodes"]["copy"]["metrics"]["frames_in"]
    assert frames > 0
    assert (tmp_path / "copy.wav").stat().st_size > frames * 3
