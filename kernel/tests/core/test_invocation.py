"""Commands that messages tell people to run work where they are shown."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from phasegraph._core import invocation
from phasegraph._core.invocation import install_command, kernel_command


def test_the_kernel_is_called_by_a_name_that_finds_this_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    assert kernel_command("run", "my graph.toml") == "kernel run 'my graph.toml'"
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", ["-m"])
    command = kernel_command("--version")
    assert subprocess.run(shlex.split(command), capture_output=True, check=True).stdout.startswith(b"kernel, version")


@pytest.mark.parametrize(
    ("pip", "uv", "words"),
    [
        (True, False, [sys.executable, "-m", "pip", "install", "phasegraph-aes67[mdns]"]),
        (False, True, ["uv", "pip", "install", "--python", sys.executable, "phasegraph-aes67[mdns]"]),
        (False, False, ["python3", "-m", "pip", "--python", sys.executable, "install", "phasegraph-aes67[mdns]"]),
    ],
)
def test_what_installs_depends_on_what_is_there(
    monkeypatch: pytest.MonkeyPatch, pip: bool, uv: bool, words: list[str]
) -> None:
    monkeypatch.setattr(invocation, "_source_tree", lambda: None)
    monkeypatch.setattr(invocation, "find_spec", lambda name: object() if pip else None)
    monkeypatch.setattr(invocation.shutil, "which", lambda name: "/bin/uv" if uv else None)
    assert shlex.split(install_command("phasegraph-aes67[mdns]")) == words


def test_in_a_source_tree_the_tree_itself_installs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "plugins" / "airplay_timing").mkdir(parents=True)
    monkeypatch.setattr(invocation, "_source_tree", lambda: tmp_path)
    script = str(tmp_path / "tools" / "dev.py")
    for requirement, target in (
        ("phasegraph-airplay-timing[mdns]", f"{tmp_path}/plugins/airplay_timing[mdns]"),
        ("other", "other"),
    ):
        assert shlex.split(install_command(requirement)) == ["python3", script, "add", target]
