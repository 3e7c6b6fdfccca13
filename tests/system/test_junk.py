"""Any bytes, any text, any table as a graph: ``kernel check`` says something and ends with 0 or 2, whatever it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.graphs import table, value
from tests.support.kernel import EXAMPLE

from phasegraph._cli.app import cli

pytestmark = pytest.mark.slow
ROLES = ("clocks", "sources", "compensators", "sinks")
KINDS = ("system", "aes67", "file", "tone", "null", "none", "combined", "ptp", "")
OPTIONS = (
    *(
        "kind",
        "input",
        "clock",
        "path",
        "sdp",
        "sdp-out",
        "group",
        "port",
        "encoding",
        "rate",
        "channels",
        "compensator",
    ),
    *("packet-time", "link-offset", "interface", "lead", "frequency", "level", "on-failure", "duration", "format"),
)
IDS = ("a", "b", "c", "d")
QUANTITIES = ("3ms", "-3ms", "48kHz", "1e400s", "nan ms", "0ms", "-20dBFS", "997Hz", "50ppm", "99999999999999999999h")
WORDS = ("", ".", "/", "a.wav", "x.sdp", "239.1.1.1", "127.0.0.1", "L24", "L16", "restart", "lo", "\x00", "é", "../..")

scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-2, 200),
    st.floats(),
    st.sampled_from((*IDS, *QUANTITIES, *WORDS)),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\t", min_codepoint=32), max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("source", "channels", "interface", "x")), inner, max_size=3)
    ),
    max_leaves=4,
)
nodes = st.dictionaries(st.sampled_from(OPTIONS), values, max_size=6)
kinds = st.fixed_dictionaries({"kind": st.sampled_from(KINDS)})
graphs = st.lists(
    st.tuples(st.sampled_from(ROLES), st.sampled_from(IDS), st.builds(lambda a, b: {**b, **a}, kinds, nodes)),
    max_size=5,
    unique_by=lambda node: node[:2],
)

fuzzed = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(folder: Path, content: bytes) -> dict[str, Any]:
    """``kernel check`` of a file with this content, in words and as JSON; returns the latter."""
    (folder / "graph.toml").write_bytes(content)
    told = CliRunner().invoke(cli, ["check", "graph.toml"])
    assert told.exception is None or isinstance(told.exception, SystemExit), repr(told.exception)
    as_json = CliRunner().invoke(cli, ["check", "graph.toml", "--format", "json"])
    assert as_json.exit_code == told.exit_code
    found: dict[str, Any] = json.loads(as_json.stdout)
    assert told.exit_code == (0 if found["ok"] else 2)
    assert found["ok"] == (not found["problems"])
    assert "Traceback" not in told.output
    assert "fault of the plugin" not in told.output
    if not found["ok"]:
        assert told.stderr.count("\n") == min(len(found["problems"]), 200) + 1
    return found


@fuzzed
@given(st.binary(max_size=300))
def test_any_bytes(folder: Path, content: bytes) -> None:
    check(folder, content)


@fuzzed
@given(st.text(max_size=300))
def test_any_text(folder: Path, content: str) -> None:
    check(folder, content.encode("utf-8", "surrogatepass"))


@fuzzed
@given(graphs)
def test_any_tables(folder: Path, graph: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Nodes of every role with options that mean something to one kind or another."""
    found = check(
        folder, ("schema = 1\n" + "".join(table(role, id, **options) for role, id, options in graph)).encode()
    )
    assert found["ok"] or all(problem["message"] for problem in found["problems"])


@fuzzed
@given(st.data())
def test_the_example_with_a_piece_changed(folder: Path, data: st.DataObject) -> None:
    """A piece of the example taken out, doubled, or replaced by something else."""
    text = EXAMPLE.read_text()
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 60)))
    piece = data.draw(st.sampled_from(["", text[start:stop] * 2, "\n", '"', "=", "[", ".", "\\", "#", "'''", "\x00"]))
    check(folder, (text[:start] + piece + text[stop:]).encode())


@fuzzed
@given(st.text(max_size=20) | st.sampled_from(["sinks.copy.path", "sinks.copy", "sinks", "profiles.a"]), values)
def test_anything_that_the_command_line_sets(folder: Path, path: str, option: object) -> None:
    """``--set`` with any path and any value."""
    for word in (f"{path}={value(option)}", f"{path}={option}", path):
        told = CliRunner().invoke(cli, ["check", str(EXAMPLE), "--set", word])
        assert told.exception is None or isinstance(told.exception, SystemExit), repr(told.exception)
        assert told.exit_code in (0, 2)
