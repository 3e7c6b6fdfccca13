"""The examples of docs/simulate.md run, for some seconds each."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from phasegraph._cli.app import cli
from phasegraph.simulation.compare.recommend import RULES
from phasegraph.simulation.scenario import shipped

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "simulate.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
GRAPH, SCENARIO = (text for language, text in BLOCKS if language == "toml")
LINES = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("kernel ")]
SCRIPTS = [line for line in LINES if line not in COMMANDS]
ALL_STRATEGIES = [line for line in COMMANDS if "compare" in line and "--strategies" not in line]


@pytest.mark.parametrize(
    "command",
    [pytest.param(it, marks=pytest.mark.slow) if it in ALL_STRATEGIES else it for it in COMMANDS],
)
def test_an_example_runs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "graph.toml").write_text(GRAPH)
    (tmp_path / "foyer.toml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    if "--plot" in words:
        pytest.importorskip("matplotlib", reason="phasegraph[plot] is not installed")
    written = {words[at + 1] for at, word in enumerate(words) if word in ("--report", "--trace", "--plot", "--results")}
    if words[0] == "sweep":
        pytest.importorskip("pyarrow", reason="phasegraph[sweep] is not installed")
        if "--cluster" in words:  # tests/system/test_sweep.py has one
            del words[words.index("--cluster") :]
        if "--results" not in words:
            written.add("sweep-graph.arrows")
        words += ["--seeds", "1", "--processes", "1"]
    result = CliRunner().invoke(cli, [*words, "--for", "2s"])
    assert (result.exit_code, result.exception) == (0, None), result.output
    assert {path.name for path in tmp_path.iterdir()} == {"graph.toml", "foyer.toml", *written}


@pytest.mark.parametrize("command", SCRIPTS)
@pytest.mark.slow
def test_a_script_runs(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    python, script, *words = shlex.split(command)
    assert python == "python"
    monkeypatch.setattr(sys, "argv", [script, *words, "--nodes", "15", "--minutes", "1"])  # the last one holds
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / script), run_name="__main__")
    assert re.search(r"^outside_bound +0$", capsys.readouterr().out, re.MULTILINE)
    assert ended.value.code == 0


def test_every_scenario_and_rule_has_its_line() -> None:
    table = PAGE.split("| scenario | is |\n|---|---|\n")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == set(shipped())
    table = PAGE.split("| rule | equal below |\n|---|---|\n")[1].split("\n\n")[0]
    assert len(table.splitlines()) == len(RULES)


def test_the_world_of_the_page_says_something_of_every_table() -> None:
    tables = set(re.findall(r"^\[([a-z]+)", SCENARIO, re.MULTILINE))
    assert tables == {"grandmaster", "clock", "network", "card", "cards"}


def test_every_truth_that_is_named_is_reported(tmp_path: Path) -> None:
    graph, report = tmp_path / "graph.toml", tmp_path / "report.json"
    graph.write_text(GRAPH)
    arguments = ["simulate", str(graph), "--for", "12s", "--audio", "1s", "--report", str(report)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    text = report.read_text()
    named = set(re.findall(r"`(true_[a-z_0-9]+[a-z])`", PAGE))
    assert {name for name in named if f'"{name}"' not in text} == {
        *(f"true_{name}_{figure}_ns" for name in ("apart", "clocks_apart") for figure in ("rms", "p99", "max")),
        "true_recovery_s",
    }
