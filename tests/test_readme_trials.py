"""`tools/readme_trials.py`: what it takes from README, and when a trial has passed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support.modules import load_module


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The module, for a repository whose commands say what a test wants."""
    monkeypatch.syspath_prepend("tools")
    module = load_module("tools/readme_trials.py")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "first"], cwd=tmp_path, check=True)
    return module


def readme(folder: Path, command: str) -> None:
    (folder / "README.md").write_text(f"# It\n\n## Run it\n\n```sh\n{command}\n```\n\n```sh\nfalse\n```\n", "utf-8")


@pytest.mark.parametrize(
    ("command", "failed"),
    [("echo both are equal", False), ("echo both differ", True), ("echo both are equal; exit 1", True)],
)
def test_a_run_passes_if_it_ends_well_with_equal_files(trials: Any, tmp_path: Path, command: str, failed: bool) -> None:
    readme(tmp_path, command)
    assert trials.attempt("Run it", "quiet", {}) == ("0 FAILED" if failed else "0", "-")


def test_a_command_has_a_clone_and_a_home_of_its_own(trials: Any, tmp_path: Path) -> None:
    readme(
        tmp_path, "test -d .git && test -z $(ls $HOME) && echo are equal in $PWD, 7 passed in 3 s && touch $HOME/left"
    )
    for _ in range(2):
        assert trials.attempt("Run it", "quiet", {}) == ("0", "7 passed in 3 s")
    assert not any(path.name == "left" for path in tmp_path.iterdir())


def test_what_takes_too_long_has_failed(trials: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme(tmp_path, "sleep 0.1; echo are equal")
    monkeypatch.setattr(trials, "LIMITS_S", {"Run it": 0.09})
    assert "FAILED" in trials.attempt("Run it", "quiet", {})[0]
