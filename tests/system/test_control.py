"""A run seen and ended from another terminal."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from tests.support.graphs import table, write_graph
from tests.support.kernel import KERNEL, LIMIT_S, kernel_running


def kernel(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*KERNEL, *arguments], capture_output=True, text=True, timeout=LIMIT_S)


def test_a_run_is_listed_shown_and_ended(tmp_path: Path) -> None:
    name = f"hall-{time.time_ns()}"
    tone = table("sources", "line-up", kind="tone", channels=1)
    graph = write_graph(tmp_path / f"{name}.toml", tone, table("sinks", "out", kind="null", input="line-up"))
    report = tmp_path / "report.json"
    with kernel_running(["run", graph, "--report", report], tmp_path) as process:
        process.wait_until(lambda: name in kernel("runs").stdout, "the control socket")
        listed = {run["name"]: run for run in json.loads(kernel("runs", "--format", "json").stdout)["runs"]}
        assert (listed[name]["pid"], listed[name]["graph"]) == (process.process.pid, str(graph))
        shown = kernel("status", name)
        assert shown.stdout.splitlines()[0].startswith(f"  {name}: running for ")
        assert f"(process {process.process.pid})" in shown.stdout.splitlines()[0]
        assert "line-up" in shown.stdout
        details = kernel("status", name, "--node", "out").stdout.splitlines()
        assert details[0] == "  sink out (null): running"
        assert any(line.split()[:1] == ["frames_in"] for line in details)
        assert kernel("status", name, "--node", "nothing").returncode == 1
        status = json.loads(kernel("status", name, "--format", "json").stdout)
        assert status["nodes"]["out"]["state"] == "running"
        assert kernel("stop", name).stdout == f"{name} (process {process.process.pid}) is ending.\n"
        assert process.wait(LIMIT_S) == 0
    assert process.stdout.startswith("Stopped by request after ")
    assert json.loads(report.read_text())["ended"] == "stopped"
    gone = kernel("status", name)
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"Error: no run '{name}': ")


def test_a_socket_that_cannot_be_made_is_an_error_of_the_call(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "graph.toml")
    refused = kernel("run", graph, "--control", tmp_path / "missing" / "run.sock")
    assert refused.returncode == 2
    assert "--control: cannot make " in refused.stderr
