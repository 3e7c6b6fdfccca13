"""What a run remembers of its nodes: a graph is read as without it, and an unchanged node is the same object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phasegraph._graph_file.graph_tables import apply_settings, graph_tables
from phasegraph._graph_file.node_memo import NodeMemo
from phasegraph._graph_file.validate import Validation, validate_tables
from phasegraph._option_types import Diagnostics
from phasegraph._plugins.loader import Registry

TABLES: dict[str, Any] = {
    "schema": 1,
    "clocks": {"house": {"kind": "system"}},
    "sources": {"rec": {"kind": "net"}, "other": {"kind": "net", "sdp": "take.wav"}},
    "sinks": {"out": {"kind": "writer", "input": "rec", "path": "out.wav"}},
}


@pytest.fixture
def read(registry: Registry, folder: Path) -> Any:
    def read(tables: dict[str, Any], memo: NodeMemo | None = None, at: Path = folder) -> Validation:
        return validate_tables(tables, registry, Diagnostics(at, at), memo=memo)

    return read


def edited(path: str, value: Any) -> dict[str, Any]:
    return apply_settings(TABLES, {path: value}, Diagnostics(Path("/"), Path("/")))


def test_nodes_that_do_not_differ_are_the_same_objects(read: Any) -> None:
    memo = NodeMemo()
    before = read(TABLES, memo).graph
    after = read(edited("source.rec.verbose", True), memo).graph
    assert after.nodes["rec"].config.verbose
    for id in ("house", "other", "out"):
        assert after.nodes[id].config is before.nodes[id].config


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", 2**70])
@pytest.mark.parametrize("option", ["verbose", "gain", "name"])
def test_equal_values_of_other_types_are_told_apart(read: Any, option: str, value: Any) -> None:
    memo = NodeMemo()
    for other in (True, 1, 1.0, "1"):
        read(edited(f"source.rec.{option}", other), memo)
    path = f"source.rec.{option}"
    assert read(edited(path, value), memo).problems == read(edited(path, value)).problems


def test_a_node_with_a_problem_is_reported_each_time(read: Any) -> None:
    memo = NodeMemo()
    for _ in range(2):
        assert [problem.path for problem in read(edited("source.rec.gain", 0), memo).problems] == ["sources.rec.gain"]


def test_another_folder_is_another_file(read: Any, folder: Path) -> None:
    memo = NodeMemo()
    assert read(TABLES, memo).graph.nodes["other"].config.sdp == str(folder / "take.wav")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "take.wav").touch()
    assert read(TABLES, memo, elsewhere).graph.nodes["other"].config.sdp == str(elsewhere / "take.wav")


def test_what_has_gone_is_forgotten(read: Any) -> None:
    memo = NodeMemo()
    for number in range(50):
        read(edited(f"source.x{number}", {"kind": "net"}), memo)
    assert len(memo.parsed) == 5


def test_tables_are_written_again_where_the_options_differ(read: Any) -> None:
    memo = NodeMemo()
    graph = read(TABLES, memo).graph
    first = graph_tables(graph, memo)
    assert first == graph_tables(graph)
    other = read(edited("source.rec.verbose", True), memo).graph
    second = graph_tables(other, memo)
    assert second == graph_tables(other)
    assert second["sources"]["rec"]["verbose"] is True
    assert second["sources"]["other"] is first["sources"]["other"]
