"""``kernel init --plugin`` writes a package that is installed, described, typed and tested as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from phasegraph._cli.app import cli
from phasegraph._cli.plugin_package import ROLES, package_files

KERNEL = [sys.executable, "-m", "phasegraph"]


def written(folder: Path, role: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(cli, ["init", "--plugin", f"my-{role}", "--role", role])
    assert result.exit_code == 0, result.output
    assert f"pip install -e './phasegraph-my-{role}[test]'" in result.stdout
    return folder / f"phasegraph-my-{role}"


def call(folder: Path, *command: str | Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.skipif(find_spec("hatchling") is None, reason="building the wheel needs hatchling")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.slow
def test_the_package_passes_as_it_is(role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path, role, monkeypatch)
    call(folder, sys.executable, "-m", "hatchling", "build", "-t", "wheel")
    (wheel,) = (folder / "dist").glob("*.whl")
    call(folder, sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", "site", wheel)
    assert f"my-{role}" in call(folder, *KERNEL, "explain", f"my-{role}")
    output = call(folder, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "tests")
    assert " passed" in output


@pytest.mark.slow
def test_the_packages_are_typed_and_in_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [str(written(tmp_path, role, monkeypatch) / "src") for role in ROLES]
    call(tmp_path, sys.executable, "-m", "mypy", "--strict", *sources)
    call(tmp_path, sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length", "120", ".")


@pytest.mark.parametrize("name", ["Meter", "1st", "a--b", "class", "", "../up"])
def test_a_name_that_cannot_be_a_plugin_s_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no name for a plugin"):
        package_files(name, "sink")


def test_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path, "sink", monkeypatch)
    (folder / "README.md").write_text("mine")
    result = CliRunner().invoke(cli, ["init", "--plugin", "my-sink", "--role", "sink"])
    assert result.exit_code == 2
    assert "exists: give another name with --plugin" in result.stderr
    assert (folder / "README.md").read_text() == "mine"
