"""``kernel simulate`` and ``kernel compare``: what they write, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phasegraph import SinkConfig, SinkKind, hookimpl
from phasegraph._plugins import loader
from phasegraph.testing import sim_registry

GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.stage]
kind = "sim-source"
link-offset = "40ms"
[compensators.align]
kind = "sim-align"
[sinks.card]
kind = "sim-card"
input = "stage"
compensator = "align"
"""


def broken(config, build, input):
    raise RuntimeError("it is broken")


class Broken:
    @hookimpl
    def register_sinks(self):
        return [SinkKind(kind="broken", summary="Fails.", config=SinkConfig, factory=broken)]


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    registry = sim_registry(only=["kernel"])
    registry.add("broken", "1", Broken())
    monkeypatch.setattr(loader, "load", lambda **_: registry)
    return registry


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.toml"
    path.write_text(GRAPH)
    return path


def test_a_simulation_prints_the_true_errors(kernel, graph, tmp_path):
    report = tmp_path / "report.json"
    result = kernel("simulate", graph, "--for", "8s", "--report", report, "--trace", tmp_path / "trace.jsonl")
    assert result.exit_code == 0
    assert "s of virtual time" in result.stdout
    assert "Scenario 'studio', seed 0. Simulated nodes" in result.stdout
    assert "house, stage and card" in result.stdout
    assert "edge stage->card: aligned after" in result.stdout
    assert "x real time" in result.stderr
    document = json.loads(report.read_text())
    assert document["virtual"] is True
    assert document["simulation"]["scenario"] == "studio"
    assert document["edges"]["stage->card"]["metrics"]["true_alignment_error_rms_frames"] > 0
    records = [json.loads(line)["t"] for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert {"clock", "correction"} <= set(records)


def test_two_runs_of_one_seed_are_the_same_to_the_byte(kernel, graph, tmp_path):
    written = []
    for number, seed in enumerate((3, 3, 4)):
        path = tmp_path / f"{number}.json"
        assert kernel("simulate", graph, "--for", "5s", "--seed", seed, "--report", path).exit_code == 0
        written.append(path.read_bytes())
    assert written[0] == written[1] != written[2]


def test_a_tone_is_measured_where_it_is_asked_for(kernel, graph):
    result = kernel("simulate", graph, "--for", "8s", "--audio", "3s")
    assert "sink card: THD+N of a tone -" in result.stdout


def test_a_scenario_may_be_a_file(kernel, graph, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[card]\nrate-offset = "-3ppm"\n')
    result = kernel("simulate", graph, "--for", "2s", "--scenario", path)
    assert "Scenario 'mine'" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "sudio"], "--scenario: there is no scenario \"sudio\" (did you mean 'studio'?)\n1 problem"),
        (["--for", "10"], "expected a duration with a unit"),
        (["--for", "0s"], "expected a duration above zero"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--set", "sinks.card.inptu=x"], "unknown option"),
        (["--report", "/no/such/folder/report.json"], "--report: cannot write"),
    ],
)
def test_a_wrong_call_ends_with_2_and_a_sentence(kernel, graph, arguments, words):
    result = kernel("simulate", graph, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_scenario_names_its_place(kernel, graph, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[card]\nblocks = 0\n[cards.left]\nblock = 64\n")
    result = kernel("simulate", graph, "--scenario", path)
    assert result.exit_code == 2
    assert "mine.toml: card.blocks: expected a whole number from 1 to 64, got 0" in result.stderr
    path.write_text("[cards.left]\nblock = 64\n")
    assert 'mine: cards.left: the graph has no node "left"' in kernel("simulate", graph, "--scenario", path).stderr


def test_a_node_that_cannot_be_made_is_a_wrong_graph(kernel, graph):
    graph.write_text(GRAPH + '[sinks.other]\nkind = "broken"\ninput = "stage"\n')
    result = kernel("simulate", graph)
    assert result.exit_code == 2
    assert "sinks.other: the plugin could not make it: RuntimeError: it is broken" in result.stderr


def test_a_node_that_fails_ends_with_1(kernel, graph, monkeypatch):
    def fails(self, call):
        raise OSError("the card burns")

    monkeypatch.setattr("phasegraph.simulation.nodes.playback_card.SimulatedCard._play", fails)
    result = kernel("simulate", graph)
    assert result.exit_code == 1
    assert "sink card (sim-card): failed: OSError: the card burns" in result.stdout


def test_a_comparison_in_which_a_node_fails_ends_with_1(kernel, graph, monkeypatch):
    def fails(self, call):
        raise OSError("the card burns")

    monkeypatch.setattr("phasegraph.simulation.nodes.playback_card.SimulatedCard._play", fails)
    result = kernel("compare", graph, "--scenario", "studio")
    assert result.exit_code == 1
    assert "sim-align in studio: card failed: OSError: the card burns" in result.stderr


def test_the_scenarios_are_listed(kernel):
    result = kernel("simulate", "--scenarios")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 9
    assert "studio" in result.stdout
    explained = kernel("explain", "scenario")
    assert explained.exit_code == 0
    assert "[network]" in explained.stdout


@pytest.mark.slow
def test_a_comparison_is_a_table_and_a_recommendation(kernel, graph):
    result = kernel("compare", graph, "--for", "8s", "--scenario", "studio", "--scenario", "lossy", "--processes", "1")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("studio", "lossy"))] == ["studio", "lossy"]
    assert "Recommended: sim-align, because it is the only one." in lines


@pytest.mark.slow
def test_a_comparison_for_scripts(kernel, graph):
    result = kernel(
        "compare", graph, "--for", "8s", "--scenario", "studio", "--format", "json", "--strategies", "align"
    )
    document = json.loads(result.stdout)
    assert document["results"][0]["strategy"] == "align"
    assert set(document) >= {
        "schema",
        "graph",
        "duration_s",
        "seed",
        "tone_hz",
        "notch_hz",
        "results",
        "recommendation",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--strategies", "combned"], '--strategies combned: there is no kind or compensator "combned"'),
        (["--scenario", "nowhere"], "--scenario: there is no scenario"),
        (["--format", "xml"], "'xml' is not one of"),
    ],
)
def test_a_wrong_comparison_ends_with_2_and_a_sentence(kernel, graph, arguments, words):
    result = kernel("compare", graph, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
