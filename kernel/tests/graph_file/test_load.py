"""Files that are not graphs: one clear problem, never a traceback, never a wait."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasegraph import GraphError
from phasegraph._graph_file import Graph, load_graph, parse_graph
from phasegraph._graph_file.toml_file import LARGEST


def only_problem(path: Path, registry: Any) -> str:
    with pytest.raises(GraphError) as raised:
        load_graph(path, registry)
    (problem,) = raised.value.problems
    return str(problem)


def test_a_missing_file(registry: Any, tmp_path: Path) -> None:
    assert "No such file or directory" in only_problem(tmp_path / "no.toml", registry)


def test_a_name_with_a_null_character(registry: Any, tmp_path: Path) -> None:
    assert "null" in only_problem(tmp_path / "a\0b", registry)


def test_a_folder(registry: Any, tmp_path: Path) -> None:
    assert only_problem(tmp_path, registry).endswith("is a folder, not a graph file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(registry: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert only_problem(tmp_path / "pipe", registry).endswith("is not a regular file")


def test_two_gigabytes_are_not_read(registry: Any, tmp_path: Path) -> None:
    path = tmp_path / "graph.toml"
    with path.open("wb") as file:
        file.truncate(2 << 30)  # sparse: takes no room
    assert f"has {2 << 30} bytes, a graph file has at most {LARGEST}" in only_problem(path, registry)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfe", "is not UTF-8 text (byte 0xff in line 1)"),
        (b"schema = 1\n\n\x80", "is not UTF-8 text (byte 0x80 in line 3)"),
        (b"schema = 1\nx == 2", "(at line 2, column 4)"),
        (b"[a]\n[a]", "twice"),
        (b"x = " + b"1" * 5000, "a number has thousands of digits"),
        (b"x = " + b"[" * 200_000, "nested too deep"),
        (b"x = " + b"{a=" * 200_000, "nested too deep"),
        (b"a." * 400_000 + b"a = 1", "a dotted key has more than 32 parts (at line 1)"),
        (b'\n["a" . ' + b"'b'." * 200_000 + b"c]", "a dotted key has more than 32 parts (at line 2)"),
        (b"x = {" + b"a." * 400_000 + b"a = 1}", "a dotted key has more than 32 parts"),
    ],
)
def test_text_that_is_not_toml(registry: Any, tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "graph.toml"
    path.write_bytes(data)
    assert words in only_problem(path, registry)


def test_a_byte_order_mark_is_accepted(registry: Any, tmp_path: Path) -> None:
    path = tmp_path / "graph.toml"
    path.write_text('schema = 1\n[clocks.a]\nkind = "system"\n', encoding="utf-8-sig")
    assert list(load_graph(path, registry).nodes) == ["a"]


UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def graph_or_problems(make: Any) -> None:
    try:
        graph, problems = make(), []
    except GraphError as error:
        graph, problems = None, error.problems
    assert isinstance(graph, Graph) != bool(problems)
    assert all(len(str(problem).splitlines()) == 1 for problem in problems)


@settings(max_examples=200, suppress_health_check=UNCHECKED, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes(shared_registry: Any, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "graph.toml"
    path.write_bytes(data)
    graph_or_problems(lambda: load_graph(path, shared_registry))


WORDS = (
    "schema clocks sources sinks compensators profiles a b p kind input clock sdp-out path sdp rate leg-b port "
    "channels source taps labels fallback compensator"
)
NAMES = st.sampled_from(WORDS.split())
VALUES = st.one_of(
    st.sampled_from(["1", '"a"', '"b"', '"net"', '"system"', '"reader"', '"writer"', '"card"', '"steady"', '"3ms"']),
    st.sampled_from(
        ["[]", "{}", '["a"]', '[{source = "a"}]', "nan", "1.5", "true", "1979-05-27", "0xff", '"a\\u0000"']
    ),
    st.integers().map(str),
)
LINES = st.one_of(
    st.builds("{} = {}".format, st.lists(NAMES, min_size=1, max_size=3).map(".".join), VALUES),
    st.builds("[{}]".format, st.lists(NAMES, min_size=1, max_size=4).map(".".join)),
)


@settings(max_examples=300, suppress_health_check=UNCHECKED, deadline=None)
@given(lines=st.lists(LINES, max_size=20), override=st.text(max_size=30), profile=st.sampled_from([None, "a", "p"]))
def test_any_lines(shared_registry: Any, tmp_path: Path, lines: list[str], override: str, profile: str | None) -> None:
    text = "schema = 1\n" + "\n".join(lines)
    overrides = [override] if override else []
    graph_or_problems(
        lambda: parse_graph(text, shared_registry, tmp_path, profile=profile, overrides=overrides, cwd=tmp_path)
    )


TABLE = st.dictionaries(
    st.sampled_from(["domain", "fallback", "rate", "input", "path", "clock", "x"]), VALUES, max_size=3
)
KINDS = {
    "clocks": ["system"],
    "sources": ["net", "reader"],
    "sinks": ["net", "writer", "card"],
    "compensators": ["steady"],
}


@st.composite
def almost_graphs(draw: st.DrawFn) -> str:
    lines = ["schema = 1"]
    for role, kinds in KINDS.items():
        for id in draw(st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, max_size=3)):
            lines += [f"[{role}.{id}{role[:2]}]", f'kind = "{draw(st.sampled_from(kinds))}"']
            lines += [f"{name} = {value}" for name, value in draw(TABLE).items()]
    return "\n".join(lines)


@settings(max_examples=200, suppress_health_check=UNCHECKED, deadline=None)
@given(text=almost_graphs())
@pytest.mark.slow
def test_almost_graphs(shared_registry: Any, tmp_path: Path, text: str) -> None:
    graph_or_problems(lambda: parse_graph(text, shared_registry, tmp_path, cwd=tmp_path))
