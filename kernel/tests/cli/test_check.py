"""``kernel check``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phasegraph import GraphError, Problem
from phasegraph._run import build


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The graphs that were built; building itself is tested with it."""
    graphs: list[Any] = []
    monkeypatch.setattr(build, "build_graph", lambda graph, registry: graphs.append(graph))
    return graphs


def test_a_right_graph_in_words(kernel: Any, graph: Path, built: list[Any]) -> None:
    result = kernel("check", graph)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "The graph is right: 1 clock, 1 source, 1 compensator and 1 sink.",
        "",
        "What would run:",
        "  house     clock        system",
        "  stage     source       live    on clock 'house'",
        "  align     compensator  steady",
        "  speakers  sink         card    on the clock of its own device, 'speakers'",
        "",
        "Edges:",
        "  stage -> speakers: crosses clock domains, from clock 'house' to the clock of its own device, 'speakers'; "
        "compensated by 'align' (steady); channels 2, 1",
    ]
    assert len(built) == 1


def test_an_edge_that_does_not_cross(kernel: Any, graph: Path) -> None:
    result = kernel("check", graph, "--profile", "plain")
    assert "stage -> speakers: does not cross: both on clock 'house'; samples are copied\n" in result.stdout


def test_a_right_graph_in_json(kernel: Any, graph: Path) -> None:
    result = kernel("check", graph, "--format", "json")
    edge = {"from": "stage", "to": "speakers", "crossing": True, "compensator": "align", "channels": [2, 1]}
    assert json.loads(result.stdout) == {"ok": True, "problems": [], "edges": [edge]}


def test_a_wrong_graph_in_words(kernel: Any, graph: Path, built: list[Any]) -> None:
    result = kernel("check", graph, "--set", "sources.stage.paus=3ms", "--set", "sources.stage.pause=1ms")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "sources.stage.paus: unknown option (did you mean 'pause'?)",
        'sources.stage.pause: expected a duration of at least 10ms, such as "10ms", got "1ms"',
        "2 problems",
    ]
    assert not built


def test_a_wrong_graph_in_json_still_tells_its_edges(kernel: Any, graph: Path) -> None:
    result = kernel("check", graph, "--format", "json", "--set", "sinks.speakers.lgo=x")
    assert result.exit_code == 2
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert answer["problems"] == [
        {"path": "sinks.speakers.lgo", "message": "unknown option", "hint": "did you mean 'log'?"}
    ]
    assert [edge["crossing"] for edge in answer["edges"]] == [True]


def test_what_only_building_finds_is_told(kernel: Any, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
