"""``kernel init``: every graph that it writes is valid, and nothing is replaced."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from phasegraph._cli import init as module
from phasegraph._cli.app import cli
from phasegraph._cli.starter_graphs import TASKS, Choices, graph_text
from phasegraph._graph_file import validate_text
from phasegraph._plugins import loader

REAL_LOAD = loader.load
SDP = "v=0\r\ns=Stage box\r\na=ts-refclk:ptp=IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:37\r\n"


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two interfaces, a card and a session; and the installed plugins."""
    monkeypatch.setattr(loader, "load", REAL_LOAD)
    monkeypatch.setattr(module, "_interfaces", lambda: {"eth0": "192.0.2.2", "lo": "127.0.0.1"})
    heard = [
        {"check": "PTP on eth0", "severity": "ok", "text": "domain 3: grandmaster 00-1D-C1-FF-FE-51-D7-EB"},
        {"check": "PTP on eth0", "severity": "ok", "text": "gPTP, domain 0: grandmaster 00-1D-C1-FF-FE-51-D7-EC"},
        {"check": "PTP on lo", "severity": "ok", "text": "domain 9: grandmaster 00-1D-C1-FF-FE-51-D7-ED"},
    ]
    answers: dict[str, Any] = {"doctor": heard}
    answers |= {"devices": {"devices": [{"name": "USB Audio"}]}, "discover": [{"name": "Stage box", "sdp": SDP}]}
    monkeypatch.setattr(module, "_ask_command", lambda name, *rest: answers[name])


def call(folder: Path, *words: str, typed: str = "") -> tuple[Result, str]:
    output = folder / "graph.toml"
    result = CliRunner().invoke(cli, ["init", *words, "--output", str(output)], input=typed)
    return result, output.read_text() if output.exists() else ""


@pytest.mark.parametrize("clock", ["system", "ptp"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("stream", [{"session": 'Stage "box" \\1'}, {"group": "239.69.1.10"}])
def test_every_graph_is_valid(tmp_path: Path, task: str, clock: str, stream: dict[str, str]) -> None:
    registry = loader.load()
    if (
        not {"soundcard", "file"} <= set(registry.sinks)
        or "ptp" not in registry.clocks
        or "aes67" not in registry.sinks
    ):
        pytest.skip("the plugins of the graph are not installed")
    (tmp_path / "a.wav").touch()
    file = "a.wav" if task == "send" else "take.wav"
    choices = Choices(
        task, "lo", clock, 3, stream.get("session", ""), stream.get("group", "239.1.1.1"), file, "USB", "Foyer"
    )
    text = graph_text(choices)
    assert validate_text(text, registry, tmp_path).problems == []
    assert text.startswith(f"# This graph will {TASKS[task]}.\n")


def test_flags_are_enough(tmp_path: Path) -> None:
    pytest.importorskip("phasegraph_aes67", reason="phasegraph-aes67 is not installed")
    pytest.importorskip("phasegraph_sinks", reason="phasegraph-sinks is not installed")
    result, text = call(tmp_path, "record", "--session", "Stage box", "--file", "a.wav")
    assert result.exit_code == 0, result.output
    assert 'interface = "eth0"' in text
    assert 'session = "Stage box"' in text
    assert 'media-clock = "relative"' in text
    assert "Next: " in result.stdout
    assert f"check {tmp_path / 'graph.toml'}" in result.stdout


def test_it_asks_and_takes_the_clock_of_the_announced_session(tmp_path: Path) -> None:
    for package in ("phasegraph_aes67", "phasegraph_sinks", "phasegraph_ptp"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    # play; eth0; the first session; the clock that it names; the first card
    result, text = call(tmp_path, "--ask", typed="play\n1\n1\n\n1\n")
    assert result.exit_code == 0, result.output
    assert "1  eth0  192.0.2.2" in result.stdout
    assert 'kind = "ptp"\ninterface = "eth0"\ndomain = 37' in text
    assert 'session = "Stage box"' in text
    assert 'kind = "combined"' in text
    assert 'device = "USB Audio"' in text
    assert "media-clock" not in text


def test_it_proposes_the_domain_in_which_a_grandmaster_is_heard(tmp_path: Path) -> None:
    for package in ("phasegraph_aes67", "phasegraph_sinks", "phasegraph_ptp"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    # eth0; PTP, which is proposed; its domain
    (tmp_path / "a.wav").touch()
    result, text = call(tmp_path, "send", "--file", str(tmp_path / "a.wav"), "--ask", typed="1\n\n\n")
    assert result.exit_code == 0, result.output
    assert "1  3  grandmaster 00-1D-C1-FF-FE-51-D7-EB" in result.stdout
    assert "  2  9" not in result.stdout
    assert 'kind = "ptp"\ninterface = "eth0"\ndomain = 3' in text


def test_the_doctor_names_grandmasters_as_they_are_understood() -> None:
    checks = pytest.importorskip("phasegraph_console.doctor.ptp_checks")
    traffic = pytest.importorskip("phasegraph_console.doctor.ptp_traffic")
    clock = traffic.AnnouncedClock(3, "00-1D-C1-FF-FE-51-D7-EB", 6, 128, "192.0.2.9", gptp=False)
    heard = traffic.PtpTraffic(interface="eth0", listened_s=3.0, clocks=(clock,))
    (finding,) = checks.check_traffic(heard)
    assert finding.check == "PTP on eth0"
    found = module._GRANDMASTER.match(finding.text)
    assert found is not None
    assert found[1] == "3"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "no task given: one of record, send, play, capture"),
        (("record",), "no stream given: --session NAME or --group ADDRESS"),
        (("send",), "no file given: --file PATH"),
    ],
)
def test_without_a_person_to_ask_what_is_missing_is_named(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    result, text = call(tmp_path, *words, "--no-ask")
    assert (result.exit_code, text) == (2, "")
    assert sentence in result.stderr


def test_a_file_that_exists_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "graph.toml").write_text("mine")
    result, text = call(tmp_path, "send", "--file", "a.wav")
    assert (result.exit_code, text) == (2, "mine")
    assert "exists: give another name with --output" in result.stderr


def test_a_graph_with_problems_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "load", loader.Registry)
    result, text = call(tmp_path, "record", "--group", "239.1.1.1")
    assert (result.exit_code, text) == (2, "")
    assert 'sources.stream.kind: unknown kind "aes67"' in result.stderr


def test_a_command_that_is_missing_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: Any, **options: Any) -> None:
        raise subprocess.CalledProcessError(2, words)

    monkeypatch.undo()
    monkeypatch.setattr(subprocess, "run", run)
    assert module._ask_command("devices") is None
    assert isinstance(cli.get_command(click.Context(cli), "init"), click.Command)
