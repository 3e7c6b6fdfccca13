"""Graphs whose buffers do not fit into memory are refused before they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegraph import GraphError
from phasegraph._graph_file import parse_graph
from phasegraph._run import memory
from phasegraph._run.build import build_graph
from phasegraph.testing import sim_registry

GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.a]
kind = "sim-source"
channels = 8
[sources.b]
kind = "sim-source"
[sinks.out]
kind = "sim-recorder"
input = ["a", "b"]
"""


def test_rings_may_take_half_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_bytes", lambda: 8_000_000_000)
    assert memory.ring_problem({"sources.a": 2_000_000_000, "sources.b": 2_000_000_000}) is None
    problem = memory.ring_problem({"sources.a": 19_000_000_000, "sources.b": 700_000_000})
    assert problem is not None
    assert problem.path == "sources.a"
    assert problem.message == (
        "the buffers of 2 sources need 19.7 GB of memory, and this machine has 8.0 GB (this source needs 19.0 GB)"
    )
    assert "shorter link-offset" in problem.hint


def test_a_system_that_does_not_tell_its_memory_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_bytes", lambda: None)
    assert memory.ring_problem({"sources.a": 1 << 50}) is None


def test_a_graph_that_does_not_fit_is_a_problem_of_its_largest_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = sim_registry()
    graph = parse_graph(GRAPH, registry, tmp_path)
    sizes = build_graph(graph, registry).ring_bytes()
    assert sizes["sources.a"] > sizes["sources.b"] > 0
    monkeypatch.setattr(memory, "memory_bytes", lambda: sum(sizes.values()))
    with pytest.raises(GraphError, match=r"^sources\.a: the buffers of 2 sources need"):
        build_graph(graph, registry)


def test_a_source_without_memory_is_a_problem_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    registry = sim_registry()
    graph = parse_graph(GRAPH, registry, tmp_path)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("phasegraph._core.stream.MediaRing", fail)
    with pytest.raises(GraphError, match=r"sources\.a: there is not enough memory for its buffers"):
        build_graph(graph, registry)
