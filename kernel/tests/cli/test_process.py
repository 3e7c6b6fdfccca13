"""What only a whole process shows: which modules are imported, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"asyncio", "email", "numpy", "trio", "msgspec", "structlog", "rich", "pluggy", "cffi", "soundfile"}


OTHERS = (["--version"], *([name, "--help"] for name in ("check", "simulate", "compare")))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], *(pytest.param(it, marks=pytest.mark.slow) for it in OTHERS)]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "phasegraph", *arguments], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "click" in imported
    assert not imported & HEAVY


def test_help_lists_the_commands_that_plugins_declare_and_imports_no_plugin(tmp_path: Path) -> None:
    declared = tmp_path / "meters-1.0.dist-info"
    declared.mkdir()
    (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: meters\nVersion: 1.0\n")
    (declared / "entry_points.txt").write_text("[phasegraph.commands]\nmeter = meters\nrun = meters\n")
    (tmp_path / "meters.py").write_text("raise SystemExit('imported')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "phasegraph", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    section = text.partition("Commands of plugins:")[2]
    assert "\n  meter " in section
    assert "\n  run " not in section  # the built-in command wins


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="the system does not tell threads")
@pytest.mark.slow
def test_a_command_starts_no_threads_for_products_of_matrices() -> None:
    count = "import atexit, os; atexit.register(lambda: print(len(os.listdir('/proc/self/task'))))"
    code = f"{count}; import sys; sys.argv[1:] = ['plugins']; from phasegraph._cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS")}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.splitlines()[-1] == "1"


@pytest.mark.slow
def test_a_wrong_graph_ends_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "graph.toml"
    path.write_bytes(b"\x00\xff")
    result = subprocess.run([sys.executable, "-m", "phasegraph", "check", path], capture_output=True, text=True)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.endswith("\n1 problem\n")


@pytest.mark.slow
def test_a_reader_that_went_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "phasegraph", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()


def test_output_that_is_left_when_the_reader_went_away_is_no_error() -> None:
    code = "import sys; from phasegraph._cli import discard_unread_output as end; input(); print(1, end=''); end()"
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], env=buffered, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.communicate(b"\n")[1] == b""
    assert process.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk to try it on")
@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "simulate"])
def test_a_report_that_cannot_be_written_is_an_error_in_words(tmp_path: Path, command: str) -> None:
    path = tmp_path / "graph.toml"
    path.write_text('schema = 1\n[clocks.house]\nkind = "system"\n')
    arguments = [sys.executable, "-m", "phasegraph", command, path, "--for", "1ms", "--report", "/dev/full"]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout.startswith("Stopped after --for")
    assert result.stderr.endswith("Error: cannot write the report /dev/full: No space left on device\n")
