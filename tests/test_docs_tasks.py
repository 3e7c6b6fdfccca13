"""Every command of the pages for tasks runs: on the page's first graph, and in virtual time."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from phasegraph._cli.app import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("gallery", "receive", "send", "rooms", "strategies", "soundcard")
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
NEEDS_A_NETWORK = ("discover", "devices", "doctor", "status", "stop", "runs")
"""Commands that look at the machine or at runs; that they and their options exist is tested in `test_docs.py`."""


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    return [block for found, block in BLOCK.findall(text) if found == language]


def commands() -> Iterator[object]:
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", "").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["kernel"] and words[1] not in NEEDS_A_NETWORK:
                    marks = [pytest.mark.slow] if "2min" in words else []
                    yield pytest.param(page, words[1:], id=f"{page}: {' '.join(words)}", marks=marks)


@pytest.mark.parametrize(("page", "words"), list(commands()))
def test_a_command_of_a_page_runs(page: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("out"))
    for name in ("programme.wav", "SOME.wav"):
        soundfile.write(tmp_path / name, np.zeros((480, 2)), 48_000)
    graphs = blocks(page, "toml")
    if graphs and words[0] != "init":
        (tmp_path / "graph.toml").write_text(re.sub(r"^    ", "", graphs[0], flags=re.MULTILINE))
    monkeypatch.chdir(tmp_path)
    if words[0] == "run":  # takes real time and a network: what can be wrong without them is
        kept = ("--profile", "--set")
        values = [word for at, word in enumerate(words[1:], 1) if word in kept or words[at - 1] in kept]
        words = ["check", next(word for word in words[1:] if word.endswith(".toml")), *values]
    elif words[0] in ("simulate", "compare") and words[1].endswith(".toml"):
        words = [*words, "--for", "4s" if words[0] == "simulate" else "21s"]
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code, result.exception) == (0, None), result.output


@pytest.mark.parametrize("page", ["receive", "send"])
def test_init_writes_the_graph_of_its_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write(tmp_path / "programme.wav", np.zeros((480, 2)), 48_000)
    (line,) = (line for block in blocks(page, "sh") for line in block.splitlines() if "kernel init" in line)
    result = CliRunner().invoke(cli, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    written = tomllib.loads((tmp_path / "graph.toml").read_text("utf-8"))
    assert written == tomllib.loads(blocks(page, "toml")[0])


@pytest.mark.slow
def test_two_rooms_are_as_far_apart_as_the_pages_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (line,) = (line for block in blocks("rooms", "sh") for line in block.splitlines() if "kernel simulate" in line)
    report = tmp_path / "report.json"
    result = CliRunner().invoke(cli, [*shlex.split(line)[1:], "--report", str(report)])
    assert result.exit_code == 0, result.output
    apart = json.loads(report.read_text("utf-8"))["simulation"]
    rms, most = (f"{apart[f'true_apart_{figure}_ns'] / 1000:.1f}" for figure in ("rms", "max"))
    assert f"`Time between the sound cards` says how far apart both rooms play: {rms} µs rms and {most} µs at most" in (
        " ".join((ROOT / "docs" / "rooms.md").read_text("utf-8").split())
    )
    assert f"| {most} µs apart at most |" in (ROOT / "docs" / "gallery.md").read_text("utf-8")
