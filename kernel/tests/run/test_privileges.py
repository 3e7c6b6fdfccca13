"""``kernel run --user``: root's privileges are gone once everything has started, in every thread."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasegraph import GraphError, child_process_options
from phasegraph._core import privileges
from phasegraph._core.privileges import find_account

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not tell a thread's user"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the user ``nobody`` (pytest's own folders are closed to others)."""
    path = Path(tempfile.mkdtemp(prefix="phasegraph-user-"))
    shutil.chown(path, "nobody")
    yield path
    shutil.rmtree(path)


def users_of(pid: int) -> set[str]:
    """Real, effective, saved and file-system uid of every thread."""
    users = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        (line,) = [line for line in (task / "status").read_text().splitlines() if line.startswith("Uid:")]
        users |= set(line.split()[1:])
    return users


@needs_root
@pytest.mark.slow
def test_every_thread_becomes_the_user_and_the_report_is_the_users(folder: Path) -> None:
    graph = folder / "graph.toml"
    graph.write_text('schema = 1\n[clocks.house]\nkind = "system"\n')
    options = ["--user", "nobody", "--report", folder / "report.json", "--trace", folder / "trace.jsonl"]
    command = [sys.executable, "-m", "phasegraph", "run", graph, *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    uid = str(find_account("nobody").uid)
    line = next(line for line in process.stderr if "privileges_dropped" in line)
    assert "nobody" in line
    deadline = time.monotonic() + 60
    while users_of(process.pid) != {uid} and time.monotonic() < deadline:
        time.sleep(0.02)
    assert users_of(process.pid) == {uid}
    process.terminate()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors + output
    assert json.loads((folder / "report.json").read_text())["ended"] == "signal"
    assert {(folder / name).owner() for name in ("report.json", "trace.jsonl")} == {"nobody"}


@needs_root
@pytest.mark.slow
def test_a_report_that_the_user_cannot_write_is_refused_before_the_run(folder: Path) -> None:
    graph = folder / "graph.toml"
    graph.write_text('schema = 1\n[clocks.house]\nkind = "system"\n')
    folder.chmod(0o755)
    shutil.chown(folder, "root")
    command = [sys.executable, "-m", "phasegraph", "run", graph, "--user", "nobody", "--report", folder / "report.json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert f"--report: cannot write {folder / 'report.json'}: Permission denied" in result.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-such-user", "there is no user 'no-such-user'"),
        ("root", "user 'root' has all privileges"),
        ("0", "all privileges"),
    ],
)
def test_who_cannot_be_the_user(name: str, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        find_account(name)


def test_only_root_can_become_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(GraphError, match="--user: only root can become another user"):
        find_account("nobody")


@needs_root
def test_child_processes_of_nodes_are_started_as_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "_child_options", {})
    assert child_process_options() == {}
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    for name in ("HOME", "USER", "LOGNAME", *(name for name in os.environ if name.startswith("XDG_"))):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    account = find_account("nobody")
    account.prepare()
    assert (os.environ["HOME"], "XDG_STATE_HOME" in os.environ) == (account.home, False)
    answer = subprocess.run(["id", "-u"], capture_output=True, check=True, **child_process_options())
    assert answer.stdout.decode().strip() == str(account.uid)
