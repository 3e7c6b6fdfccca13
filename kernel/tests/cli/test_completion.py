"""What a shell completes, asked as the scripts of click ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from phasegraph import control
from phasegraph._cli.app import cli
from phasegraph._cli.completion import SHELLS, VARIABLE

GRAPH = """
schema = 1
[sources.stage]
kind = "tone"
level = "-20dBFS"
[profiles.quiet.sources.stage]
level = "-60dBFS"
"""


def completed(*words: str) -> list[str]:
    *before, incomplete = words
    found = ShellComplete(cli, {}, "kernel", VARIABLE).get_completions(before, incomplete)
    return [item.value for item in found]


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        def graph(self) -> dict[str, Any]:
            return {"schema": 1, "sources": {"stage": {"kind": "tone"}}, "sinks": {"speakers": {"kind": "null"}}}

    @contextmanager
    def connect(run: str | None, *, timeout_s: float) -> Iterator[Connection]:
        if run not in (None, "hall"):
            raise control.ControlError("no such run")
        yield Connection()

    monkeypatch.setattr(control, "list_runs", lambda: {"hall": Path("hall.sock"), "foyer": Path("foyer.sock")})
    monkeypatch.setattr(control, "connect", connect)


@pytest.mark.usefixtures("running")
def test_commands_runs_nodes_and_options() -> None:
    assert completed("sta") == ["status"]
    assert "plugins" in completed("")
    assert completed("status", "") == ["hall", "foyer"]
    assert completed("stop", "h") == ["hall"]
    assert completed("status", "hall", "--node", "s") == ["stage", "speakers"]
    assert completed("set", "--run", "hall", "source") == ["sources.stage.kind="]
    assert completed("set", "--run", "gone", "") == []
    assert completed("set", "--run", "f") == ["foyer"]
    assert completed("run", "graph.toml", "--status", "p") == ["plain"]


def test_options_and_profiles_of_a_graph_file(tmp_path: Path) -> None:
    graph = tmp_path / "graph.toml"
    assert completed("run", str(graph), "--set", "") == []
    graph.write_text(GRAPH)
    assert completed("run", str(graph), "--set", "sources.") == ["sources.stage.kind=", "sources.stage.level="]
    assert completed("check", str(graph), "--profile", "q") == ["quiet"]
    graph.write_text("nonsense")
    assert completed("run", str(graph), "--profile", "") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell(shell: str) -> None:
    script = CliRunner().invoke(cli, ["completion", shell]).stdout
    assert f"{VARIABLE}={shell}_complete" in script
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True)
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash_gets_the_words() -> None:
    asked = {**os.environ, "_KERNEL_COMPLETE": "bash_complete", "COMP_WORDS": "kernel exp", "COMP_CWORD": "1"}
    said = subprocess.run([sys.executable, "-m", "phasegraph"], env=asked, capture_output=True, text=True)
    assert said.stdout == "plain,explain\n"
