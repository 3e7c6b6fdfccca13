"""``kernel check``."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phasegraph import Encoding, GraphError, Problem
from phasegraph._core.invocation import kernel_command
from phasegraph._run import build


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The graphs that were built; building itself is tested with it."""
    graphs: list[Any] = []
    monkeypatch.setattr(build, "build_graph", lambda graph, registry: graphs.append(graph))
    return graphs


def test_a_valid_graph_as_text(kernel: Any, graph: Path, built: list[Any]) -> None:
    result = kernel("check", graph)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "The graph is valid: 1 clock, 1 source, 1 compensator and 1 sink.",
        "",
        "Nodes:",
        "  house     clock        system",
        "  stage     source       live    on clock 'house'",
        "  align     compensator  steady",
        "  speakers  sink         card    on the clock of its own device, 'speakers'",
        "",
        "Edges:",
        "  stage -> speakers: crosses from clock 'house' to the clock of its own device, 'speakers'; "
        "resampled as 'align' (steady) decides; channels 2, 1",
        "",
        f"Next: {kernel_command('run', str(graph))}",
    ]
    assert len(built) == 1


def test_an_edge_that_does_not_cross(kernel: Any, graph: Path) -> None:
    result = kernel("check", graph, "--profile", "plain")
    assert "stage -> speakers: no crossing, both on clock 'house'; not resampled\n" in result.stdout
    assert result.stdout.endswith(f"Next: {kernel_command('run', str(graph), '--profile', 'plain')}\n")


@pytest.mark.parametrize(
    ("given", "passed_on", "words"),
    [
        (Encoding.L24, "L16", "; L24 samples are converted to L16, rounded"),
        (Encoding.L16, "L24", "; L16 samples are converted to L24"),
        (Encoding.L24, "AM824", "; L24 samples are converted to AM824"),
        (Encoding.FLOAT32, "L24", "; float32 samples are converted to L24, rounded"),
        (Encoding.L24, "L24", "; L24 samples are passed on bit for bit"),
        (Encoding.L24, None, ""),
    ],
)
def test_an_edge_says_how_samples_are_converted(
    kernel: Any, graph: Path, monkeypatch: pytest.MonkeyPatch, given: Encoding, passed_on: str | None, words: str
) -> None:
    stream = SimpleNamespace(format=SimpleNamespace(encoding=given))
    sink = SimpleNamespace(node=None, config=SimpleNamespace(encoding=passed_on))
    built = SimpleNamespace(notes=[], stream=lambda _: stream, nodes={"speakers": sink})
    monkeypatch.setattr(build, "build_graph", lambda graph, registry: built)
    result = kernel("check", graph, "--profile", "plain")
    assert f"no crossing, both on clock 'house'; not resampled{words}\n" in result.stdout


def test_a_valid_graph_as_json(kernel: Any, graph: Path) -> None:
    result = kernel("check", graph, "--format", "json")
    edge = {"from": "stage", "to": "speakers", "crossing": True, "compensator": "align", "channels": [2, 1]}
    assert json.loads(result.stdout) == {"ok": True, "problems": [], "notes": [], "edges": [edge]}


def test_an_invalid_graph_as_text(kernel: Any, graph: Path, built: list[Any]) -> None:
    result = kernel("check", graph, "--set", "sources.stage.paus=3ms", "--set", "sources.stage.pause=1ms")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "sources.stage.paus: unknown option (did you mean 'pause'?)",
        'sources.stage.pause: expected a duration of at least 10ms, such as "10ms", got "1ms"',
        "2 problems",
    ]
    assert not built


def test_an_invalid_graph_as_json_still_has_its_edges(kernel: Any, graph: Path) -> None:
    result = kernel("check", graph, "--format", "json", "--set", "sinks.speakers.lgo=x")
    assert result.exit_code == 2
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert answer["problems"] == [
        {"path": "sinks.speakers.lgo", "message": "unknown option", "hint": "did you mean 'log'?"}
    ]
    assert [edge["crossing"] for edge in answer["edges"]] == [True]


def test_problems_found_by_building_are_reported(kernel: Any, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(graph: Any, registry: Any) -> None:
        raise GraphError([Problem("sources.stage.notes", "cannot be read\nat all")])

    monkeypatch.setattr(build, "build_graph", fail)
    result = kernel("check", graph)
    assert result.exit_code == 2
    assert result.stderr == "sources.stage.notes: cannot be read at all\n1 problem\n"
    assert json.loads(kernel("check", graph, "--format", "json").stdout)["ok"] is False


def test_a_missing_graph(kernel: Any, tmp_path: Path) -> None:
    result = kernel("check", tmp_path / "no.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such file or directory\n1 problem\n" in result.stderr


def test_a_flood_of_problems_is_cut(kernel: Any, tmp_path: Path) -> None:
    path = tmp_path / "graph.toml"
    path.write_text("\n".join(f"x{i} = 1" for i in range(500)))
    lines = kernel("check", path).stderr.splitlines()
    assert lines[-1] == "501 problems, 301 of them not shown"
    assert len(lines) == 201


def test_notes_of_nodes(kernel: Any, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = SimpleNamespace(node=None, config=SimpleNamespace(encoding=None))
    note = ("sinks.speakers", "packets are longer than the MTU")
    stream = SimpleNamespace(format=SimpleNamespace(encoding=Encoding.L24))
    built = SimpleNamespace(notes=[note], stream=lambda _: stream, nodes={"speakers": sink})
    monkeypatch.setattr(build, "build_graph", lambda graph, registry: built)
    result = kernel("check", graph, "--profile", "plain")
    assert "\nNotes:\n  sinks.speakers: packets are longer than the MTU\n" in result.stdout
    result = kernel("check", graph, "--profile", "plain", "--format", "json")
    assert json.loads(result.stdout)["notes"] == [{"path": note[0], "message": note[1]}]
