"""Invalid graphs: each problem is reported in words, at its place, with a remedy."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phasegraph import GraphNode, Problem, hookimpl
from phasegraph._core.invocation import install_command
from phasegraph._graph_file import parse_graph
from phasegraph._plugins.loader import PluginInfo

HOUSE = '[clocks.house]\nkind = "system"\n'
TWO = HOUSE + '[clocks.b]\nkind = "system"\n'
REC = '[sources.rec]\nkind = "net"\n'
TAKE = '[sources.take]\nkind = "reader"\npath = "take.wav"\n'
OUT = '[sinks.out]\nkind = "writer"\npath = "out.wav"\n'
SEND = '[sinks.send]\nkind = "net"\ninput = "rec"\n'

# text, place, words of the message, words of the hint
INVALID: dict[str, tuple[str, str, str, str]] = {
    "an unknown key": ("shema = 1", "shema", "unknown key", "did you mean 'schema'?"),
    "an unknown role": ("[clock.house]", "clock", "unknown role", "did you mean 'clocks'?"),
    "programs that are no table": ("control = 3", "control", "expected tables such as [control.KIND], got 3", ""),
    "an unknown program": ("[control.panel]", "control.panel", 'unknown program "panel" beside a run', "no installed"),
    "a program that is not installed": (
        "[control.nmos]",
        "control.nmos",
        'unknown program "nmos"',
        install_command("phasegraph-nmos"),
    ),
    "a role that is no table": ("sinks = 3", "sinks", "expected tables such as [sinks.NAME], got 3", ""),
    "a node that is no table": ('[sinks]\nkind = "card"', "sinks.kind", "expected a table", "[sinks.NAME]"),
    "an array of tables": ("[[sources]]", "sources", "expected tables such as [sources.NAME]", ""),
    "an odd id": ('[clocks."a b"]\nkind = "system"', 'clocks."a b"', "letters, digits", ""),
    "an empty id": ('[clocks.""]\nkind = "system"', 'clocks.""', "letters, digits", ""),
    "an id of two roles": (
        HOUSE + '[sources.house]\nkind = "net"\n',
        "sources.house",
        "is used by clocks.house too",
        "rename",
    ),
    "no kind": ("[clocks.house]", "clocks.house.kind", "missing: expected the kind of this clock", "system"),
    "a kind that is no text": ("[clocks.house]\nkind = 3", "clocks.house.kind", "as text, got 3", ""),
    "an unknown kind": ('[sinks.x]\nkind = "crad"', "sinks.x.kind", 'unknown kind "crad"', "did you mean 'card'?"),
    "a kind of another role": (
        '[sinks.x]\nkind = "reader"',
        "sinks.x.kind",
        'kind "reader" is a source, not a sink',
        "[sources.NAME]",
    ),
    "a kind that is not installed": (
        '[clocks.x]\nkind = "ptp"',
        "clocks.x.kind",
        'unknown kind "ptp"',
        install_command("phasegraph-ptp"),
    ),
    "a kind that is not installed, of another role": (
        '[sources.x]\nkind = "airplay"',
        "sources.x.kind",
        "unknown kind",
        "it is a clock, and comes with phasegraph-air",
    ),
    "a resampler as a compensator": (
        '[compensators.x]\nkind = "sinc"',
        "compensators.x.kind",
        "is a resampler, not a compensator",
        "",
    ),
    "an unknown resampler": (
        HOUSE + '[compensators.x]\nkind = "steady"\nresampler = "snic"',
        "compensators.x.resampler",
        'unknown kind "snic" of resampler',
        "did you mean 'sinc'?",
    ),
    "an unknown option": (HOUSE + "domian = 3", "clocks.house.domian", "unknown option", "did you mean 'domain'?"),
    "an option like none": (HOUSE + "zzz = 3", "clocks.house.zzz", "unknown option", "fallback-after and domain"),
    "a missing option": (TAKE + '[sinks.out]\nkind = "writer"\ninput = "take"', "sinks.out.path", "missing", ""),
    "a sink without input": (OUT, "sinks.out.input", "missing: expected the id of a source", ""),
    "an empty input": (OUT + "input = []", "sinks.out.input", "at least one source", ""),
    "a source that is not there": (
        TAKE + OUT + 'input = "tale"',
        "sinks.out.input",
        'there is no source "tale"',
        "did you mean 'take'?",
    ),
    "a source in a list that is not there": (
        TAKE + OUT + 'input = ["take", {source = "x"}]',
        "sinks.out.input[1].source",
        'there is no source "x"',
        "",
    ),
    "a clock as input": (
        HOUSE + OUT + 'input = "house"',
        "sinks.out.input",
        "expected the id of a source, but 'house' is a clock",
        "",
    ),
    "a clock that is not there": (REC + 'clock = "h"', "sources.rec.clock", "no clock", "add a table [clocks.NAME]"),
    "no clock at all": (REC, "sources.rec.clock", "the graph has none", "add a table [clocks.NAME]"),
    "one of several clocks": (
        TWO + REC,
        "sources.rec.clock",
        "no clock given, and the graph has 2",
        'set clock = "house" or "b"',
    ),
    "channel below zero": (
        TAKE + OUT + 'input = [{source = "take", channels = [-1]}]',
        "sinks.out.input[0].channels[0]",
        "expected a whole number of at least 0, got -1",
        "",
    ),
    "no channels": (
        TAKE + OUT + 'input = [{source = "take", channels = []}]',
        "sinks.out.input[0].channels",
        "at least one channel",
        "omit `channels`",
    ),
    "a missing file": (TAKE.replace("take.w", "tale.w"), "sources.take.path", "No such file or directory", ""),
    "a folder as a file": (TAKE.replace("take.wav", "."), "sources.take.path", "is a folder", ""),
    "a path that is none": (TAKE.replace("take.wav", r"a\u0000b"), "sources.take.path", "is no path", ""),
    "two writers of a file": (
        TAKE + OUT + 'input = "take"\n[sinks.o2]\nkind = "writer"\ninput = "take"\npath = "./out.wav"',
        "sinks.o2.path",
        "sinks.out writes the same file",
        "",
    ),
    "a crossing without a compensator": (
        HOUSE + REC + '[sinks.card]\nkind = "card"\ninput = "rec"',
        "sinks.card.compensator",
        "from 'rec' (clock 'house') to 'card' (the clock of its own device, 'card') crosses clock domains",
        'add compensator = "align" and a table [compensators.align] with kind = "steady"',
    ),
    "a crossing beside a compensator": (
        TWO + REC + 'clock = "b"\n' + SEND + 'clock = "house"\n[compensators.fix]\nkind = "steady"',
        "sinks.send.compensator",
        "(clock 'b') to 'send' (clock 'house')",
        'add compensator = "fix"',
    ),
    "a source without a sink": (TAKE, "sources.take", "no sink reads this source", 'input = "take"'),
    "a cycle of clocks": (
        HOUSE + 'fallback = "b"\n[clocks.b]\nkind = "system"\nfallback = "house"',
        "clocks.b",
        "in a cycle: clocks.b -> clocks.house -> clocks.b",
        "remove one",
    ),
    "a clock that falls back on itself": (HOUSE + 'fallback = "house"', "clocks.house", "this node needs itself", ""),
    "a cycle through a file": (
        HOUSE + REC + 'sdp = "x.sdp"\n' + SEND + 'sdp-out = "x.sdp"',
        "sinks.send",
        "in a cycle: sinks.send -> sources.rec -> sinks.send",
        "",
    ),
    "an empty graph": ("", "", "the graph has no nodes", ""),
    "only a compensator": ('[compensators.x]\nkind = "steady"', "", "the graph has no nodes", ""),
    "options that do not go together": (
        TAKE + '[sinks.s]\nkind = "strict"\ninput = "take"\ntrouble = "value"',
        "sinks.s",
        "do not go together",
        "",
    ),
    "an option that its struct refuses": (
        TAKE + '[sinks.s]\nkind = "strict"\ninput = "take"\ntrouble = "node"',
        "sinks.s.trouble",
        "it is too loud",
        "turn it down",
    ),
    "a struct with a bug": (
        TAKE + '[sinks.s]\nkind = "strict"\ninput = "take"\ntrouble = "bug"',
        "sinks.s",
        "KeyError",
        "",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_the_problem_is_reported_once_at_its_place(examine: Any, name: str) -> None:
    text, path, message, hint = INVALID[name]
    examination = examine(text)
    assert examination.graph is None
    found = [problem for problem in examination.problems if problem.path == path and message in problem.message]
    assert len(found) == 1, [str(problem) for problem in examination.problems]
    assert hint in found[0].hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing: expected schema = 1"),
        ("schema = 2", "expected schema 1, got 2"),
        ("schema = true", "expected schema 1, got true"),
        ('schema = "1"', 'got "1"'),
    ],
)
def test_the_schema_must_be_one(registry: Any, folder: Any, text: str, words: str) -> None:
    from phasegraph._graph_file import validate_text

    problems = validate_text(f"{text}\n{HOUSE}", registry, folder).problems
    assert [problem.path for problem in problems] == ["schema"]
    assert words in problems[0].message


def test_all_problems_are_reported_at_once_without_consequences_of_each_other(examine: Any) -> None:
    problems = examine(
        TWO
        + REC
        + 'clock = "b"\nrate = 48000\nlink-offset = "3parsecs"\n'
        + SEND
        + 'clock = "house"\nlevel = "loud"\n[sinks.card]\nkind = "crad"\ninput = "rec"\n'
    ).problems
    assert [problem.path for problem in problems] == [
        "sources.rec.link-offset",
        "sources.rec.rate",
        "sinks.send.level",
        "sinks.card.kind",
        "sinks.send.compensator",  # seen although other options of both ends are wrong
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    "text",
    [
        HOUSE + REC + 'sdp = "pipe"\n' + SEND,
        TAKE.replace("take.wav", "pipe") + OUT + 'input = "take"\n',
        TAKE + OUT.replace("out.wav", "pipe") + 'input = "take"\n',
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_refused(examine: Any, folder: Path, text: str) -> None:
    os.mkfifo(folder / "pipe")
    (problem,) = examine(text).problems
    assert problem.message == f"expected a regular file, {folder / 'pipe'} is a named pipe"


def test_a_broken_plugin_is_named_where_its_kind_is_missed(registry: Any, examine: Any) -> None:
    registry.plugins.append(PluginInfo("ptp", "9", (), "broken", "import: no module x"))
    (problem,) = examine('[clocks.x]\nkind = "ptp"').problems
    assert problem.hint == "plugin 'ptp' is installed, but broken: import: no module x"


def test_a_resampler_must_be_there_for_a_crossing_only(examine: Any, registry: Any) -> None:
    del registry.resamplers["sinc"]
    align = '[compensators.align]\nkind = "steady"\n'
    assert examine(HOUSE + align).problems == []
    crossing = '[sinks.card]\nkind = "card"\ninput = "rec"\ncompensator = "align"\n'
    (problem,) = examine(HOUSE + align + REC + crossing).problems
    assert problem.path == "compensators.align.resampler"
    assert install_command("phasegraph-compensation") in problem.hint


def test_edges_are_determined_although_the_graph_is_invalid(examine: Any) -> None:
    examination = examine(HOUSE + REC + '[sinks.card]\nkind = "card"\ninput = "rec"')
    assert [(edge.name, edge.crossing, edge.compensator) for edge in examination.edges] == [("rec->card", True, None)]


def plugin(check: Any) -> Any:
    check.__name__ = "validate_graph"
    return SimpleNamespace(validate_graph=hookimpl(check))


def test_every_plugin_checks_a_valid_graph(examine: Any, registry: Any) -> None:
    seen: list[GraphNode] = []

    def look(graph: Any) -> list[Problem]:
        seen.extend(graph.nodes.values())
        return [Problem("clocks.house", "I do not like it")]

    def fail(graph: Any) -> list[Problem]:
        raise RuntimeError("boom")

    def nonsense() -> list[Any]:
        return ["text"]

    def fine(graph: Any) -> None:
        return None

    for name, check in {"look": look, "fail": fail, "nonsense": nonsense, "fine": fine}.items():
        registry.add(name, "1", plugin(check))
    problems = examine(HOUSE).problems
    assert [node.id for node in seen] == ["house"]
    assert {(problem.path, problem.message) for problem in problems} == {
        ("clocks.house", "I do not like it"),
        ("", "plugin 'fail' failed to check the graph: RuntimeError: boom"),
        (
            "",
            "plugin 'nonsense' failed to check the graph: TypeError: validate_graph returned 'text', expected Problem",
        ),
    }
    seen.clear()
    assert examine(HOUSE + "domain = 200").graph is None
    assert not seen  # not asked about a graph that is wrong already


def test_parse_graph_reports_the_plugins_problems(registry: Any, folder: Any) -> None:
    from phasegraph import GraphError

    registry.add("p", "1", plugin(lambda graph: [Problem("x", "no")]))
    with pytest.raises(GraphError, match="x: no"):
        parse_graph(f"schema = 1\n{HOUSE}", registry, folder)
