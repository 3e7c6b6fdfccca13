"""No call that never returns, no closed terminal and no cut power costs a run its end, its report or its files."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support import material
from tests.support.graphs import table, write_graph
from tests.support.kernel import KERNEL, LIMIT_S, kernel_running
from tests.support.machine import watched_machine
from tests.support.process import running

STUCK = """
import sys, threading, time
import trio
from phasegraph import SinkConfig, SinkKind, hookimpl
from phasegraph._plugins import loader

class Config(SinkConfig, frozen=True, kw_only=True):
    where: str = "thread"

class Stuck:
    def __init__(self, config):
        self.where = config.where

    def metrics(self):
        return {}

    async def run(self, ctx, *, task_status=trio.TASK_STATUS_IGNORED):
        task_status.started()
        print("stuck now", file=sys.stderr, flush=True)
        if self.where == "full":
            raise OSError(28, "No space left on device")
        if self.where == "abandoned":
            await ctx.in_thread(threading.Event().wait, abandon=True)
        elif self.where == "thread":
            await ctx.in_thread(threading.Event().wait)
        elif self.where == "step":
            ctx.attach(lambda now: threading.Event().wait())
            await trio.sleep_forever()
        else:
            try:
                await trio.sleep_forever()
            finally:
                time.sleep(600)  # a call in the main thread that does not return

class Plugin:
    @hookimpl
    def register_sinks(self):
        make = lambda config, build, input: Stuck(config)
        return [SinkKind(kind="stuck", summary="Hangs.", config=Config, factory=make, domain="none")]

real = loader.load
def load(**options):
    registry = real(**options)
    registry.add("stuck", "0", Plugin())
    return registry
loader.load = load
from phasegraph._cli import main
main()
"""
TONE = table("sources", "line-up", kind="tone", channels=1, level="-6dBFS")
COPY = table("sinks", "copy", kind="file", input="line-up", path="copy.wav", subtype="PCM_24")


@pytest.mark.parametrize("where", ["abandoned", "thread", "step", "main"])
def test_a_second_signal_ends_a_run_whose_node_never_returns(tmp_path: Path, where: str) -> None:
    graph = write_graph(
        tmp_path / "graph.toml", TONE, COPY, table("sinks", "card", kind="stuck", input="line-up", where=where)
    )
    report, copy = tmp_path / "report.json", tmp_path / "copy.wav"
    report.write_text("the last run")
    command = [sys.executable, "-c", STUCK, "run", graph, "--report", report]
    with running(command, tmp_path, name="kernel") as process:
        if where == "step":  # a step that hangs stops the data plane: nothing is recorded
            process.wait_until(lambda: "stuck now" in process.stderr, "the step")
        else:
            process.wait_until(lambda: copy.exists() and copy.stat().st_size > 50_000, "recording")
        assert report.read_text() == "the last run"
        process.signal(signal.SIGTERM)
        time.sleep(0.5)
        began_s = time.monotonic()
        with watched_machine() as machine:
            process.signal(signal.SIGINT)
            process.wait(LIMIT_S)
    assert time.monotonic() - began_s < 2 + machine.lost_s
    assert json.loads(report.read_text())["ended"] == "signal"
    if where in ("abandoned", "thread"):
        assert process.stdout.startswith("Stopped by a signal after ")
        assert len(material.read(copy)) == json.loads(report.read_text())["nodes"]["copy"]["metrics"]["frames_in"]


def test_a_closed_terminal_ends_the_run_with_its_report(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "graph.toml", TONE, COPY)
    report, copy = tmp_path / "report.json", tmp_path / "copy.wav"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "import os, sys; os.setsid(); import fcntl, termios; "
         "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])",
         *KERNEL, "run", graph, "--report", report],
        cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(slave)
    try:
        deadline_s = time.monotonic() + LIMIT_S
        while not (copy.exists() and copy.stat().st_size > 50_000):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        os.close(master)
        process.wait(LIMIT_S)
    finally:
        process.kill()
        process.wait()
    written = json.loads(report.read_text())
    assert written["ended"] == "signal"
    assert len(material.read(copy)) == written["nodes"]["copy"]["metrics"]["frames_in"]


def test_the_report_is_there_while_the_run_goes_on(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "graph.toml", TONE, COPY)
    report = tmp_path / "report.json"
    with kernel_running(["run", graph, "--report", report], tmp_path) as process:
        process.wait_until(report.exists, "the first report", 40)
        written = json.loads(report.read_text())
        assert written["ended"] == "running"
        assert written["nodes"]["copy"]["metrics"]["frames_in"] > 0
        assert "ended_at" not in written
        process.signal(signal.SIGKILL)
        process.wait(LIMIT_S)
    assert json.loads(report.read_text()) == written, "what a power cut leaves"


def test_a_node_that_is_restarting_at_the_end_is_a_failure(tmp_path: Path) -> None:
    options = {"where": "full", "on-failure": "restart"}
    graph = write_graph(tmp_path / "graph.toml", TONE, table("sinks", "copy", kind="stuck", input="line-up", **options))
    report = tmp_path / "report.json"
    command = [sys.executable, "-c", STUCK, "run", graph, "--for", "2s", "--report", report]
    with running(command, tmp_path, name="kernel") as process:
        assert process.wait(LIMIT_S) == 1
    assert "sink copy (stuck): restarting: No space left on device" in process.stdout
    assert json.loads(report.read_text())["nodes"]["copy"]["failure"] == "No space left on device"


def test_strict_makes_silence_a_failure(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "graph.toml", table("sources", "stage", kind="aes67", group="239.69.83.67",
        port=16067, interface="127.0.0.1", encoding="L24", rate="48kHz", channels=1, clock="house"),
        table("sinks", "copy", kind="file", input="stage", path="copy.wav"),
    )  # fmt: skip
    for options, code in (((), 0), (("--strict",), 1)):
        with kernel_running(["run", graph, "--for", "1s", *options], tmp_path) as process:
            assert process.wait(LIMIT_S) == code, process.told()
        assert "Nothing at all passed through stage and copy" in process.stdout
