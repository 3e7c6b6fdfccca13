"""Profiles and ``--set``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

BASE = """
[clocks.house]
kind = "system"
[sources.rec]
kind = "net"
link-offset = "3ms"
leg-b = {group = "g", port = 1}
[sinks.out]
kind = "card"
input = "rec"
device = "hw:0"
compensator = "align"
[compensators.align]
kind = "steady"
[profiles.late.sources.rec]
link-offset = "9ms"
leg-b.port = 2
[profiles.disk.sinks.out]
kind = "writer"
input = "rec"
path = "out.wav"
[profiles.more.sources.take]
kind = "reader"
path = "take.wav"
[profiles.more.sinks.copy]
kind = "writer"
input = "take"
path = "copy.wav"
"""


def test_a_profile_merges_into_a_table(examine: Any) -> None:
    config = examine(BASE, profile="late").graph.nodes["rec"].config
    assert (config.link_offset, config.leg_b.group, config.leg_b.port) == (9_000_000, "g", 2)
    assert examine(BASE).graph.nodes["rec"].config.link_offset == 3_000_000


def test_a_profile_of_another_kind_replaces_the_table(examine: Any) -> None:
    graph = examine(BASE, profile="disk").graph
    assert graph.nodes["out"].kind.kind == "writer"
    assert graph.nodes["out"].config.compensator is None
    assert graph.profile == "disk"


def test_a_profile_may_add_nodes(examine: Any) -> None:
    assert {"take", "copy"} <= set(examine(BASE, profile="more").graph.nodes)


@pytest.mark.parametrize(
    ("profile", "text", "path", "message", "hint"),
    [
        ("lat", "", "profiles", "there is no profile 'lat'", "did you mean 'late'?"),
        ("zzz", "", "profiles", "there is no profile 'zzz'", "profiles are late, disk and more"),
        (None, "[profiles.x.sink.out]", "profiles.x.sink", "unknown role", "did you mean 'sinks'?"),
        (None, "[profiles.x]\nsinks = 3", "profiles.x.sinks", "expected tables of nodes, got 3", ""),
        (None, "[profiles.x.sinks]\nout = 3", "profiles.x.sinks.out", "expected a table, got 3", ""),
        (None, "[profiles]\nx = 3", "profiles.x", "expected tables of roles, got 3", ""),
        ("x", "[profiles.x.sinks.oot]\ndevice = 3", "profiles.x.sinks.oot", 'there is no sink "oot"', "'out'?"),
    ],
)
def test_wrong_profiles(examine: Any, profile: str | None, text: str, path: str, message: str, hint: str) -> None:
    base = "" if text.startswith("[profiles]\n") else BASE
    (problem,) = [p for p in examine(base + text, profile=profile).problems if p.path == path]
    assert message in problem.message
    assert hint in problem.hint


def test_a_graph_without_profiles_is_named(examine: Any) -> None:
    (problem,) = examine('[clocks.a]\nkind = "system"', profile="x").problems
    assert problem.hint == "the graph has none"


def test_profiles_that_are_no_tables(examine: Any) -> None:
    (problem,) = examine('profiles = 3\n[clocks.a]\nkind = "system"').problems
    assert problem.message == "expected tables such as [profiles.NAME.sources.ID], got 3"


@pytest.mark.parametrize(
    ("override", "node", "option", "value"),
    [
        ("sources.rec.link-offset=6ms", "rec", "link_offset", 6_000_000),
        ('sources.rec.link-offset="6ms"', "rec", "link_offset", 6_000_000),
        ("sources.rec.taps=['1ms', '2ms']", "rec", "taps", (1_000_000, 2_000_000)),
        ("sources.rec.labels={a = 1}", "rec", "labels", {"a": 1}),
        ("sources.rec.labels.a=1", "rec", "labels", {"a": 1}),
        ("sources.rec.verbose=true", "rec", "verbose", True),
        ("sources.rec.name=true", "rec", "name", "true"),
        ("sources.rec.name=a=b", "rec", "name", "a=b"),
        ("sources.rec.name=2024-01-01", "rec", "name", "2024-01-01"),
        ("sinks.out.device=3", "out", "device", 3),
        ("sinks.out.device=hw:1,0", "out", "device", "hw:1,0"),
        ("clocks.house.domain=7", "house", "domain", 7),
    ],
)
def test_set_takes_toml_or_text(examine: Any, override: str, node: str, option: str, value: object) -> None:
    examination = examine(BASE, overrides=[override])
    assert examination.problems == []
    assert getattr(examination.graph.nodes[node].config, option) == value


def test_set_reaches_into_tables_and_the_last_wins(examine: Any) -> None:
    graph = examine(BASE, overrides=["sources.rec.leg-b.port=7", "sources.rec.leg-b.port=8"]).graph
    assert (graph.nodes["rec"].config.leg_b.group, graph.nodes["rec"].config.leg_b.port) == ("g", 8)


def test_set_of_another_kind_replaces_the_table_in_whatever_order(examine: Any) -> None:
    overrides = ["sinks.out.path=o.wav", "sinks.out.kind=writer", "sinks.out.input=rec"]
    for order in (overrides, overrides[::-1]):
        graph = examine(BASE, overrides=order).graph
        assert graph.nodes["out"].kind.kind == "writer"


def test_set_comes_after_the_profile(examine: Any) -> None:
    graph = examine(BASE, profile="late", overrides=["sources.rec.link-offset=5ms"]).graph
    assert graph.nodes["rec"].config.link_offset == 5_000_000


def test_paths_of_set_start_at_the_current_directory(examine: Any, folder: Path, tmp_path_factory: Any) -> None:
    here = tmp_path_factory.mktemp("here")
    (here / "take.wav").touch()
    source = '[sources.take]\nkind = "reader"\npath = "take.wav"\n'
    sink = '[sinks.o]\nkind = "writer"\ninput = "take"\npath = "o.wav"\n'
    nodes = examine(source + sink, overrides=["sources.take.path=take.wav"], cwd=here).graph.nodes
    assert nodes["take"].config.path == str((here / "take.wav").resolve())
    assert nodes["o"].config.path == str((folder / "o.wav").resolve())


@pytest.mark.parametrize(
    ("override", "path", "message", "hint"),
    [
        ("nonsense", "--set", "expected ROLE.ID.OPTION=VALUE", ""),
        ("sources.rec=3", "--set", "expected ROLE.ID.OPTION=VALUE", ""),
        ("sources..x=3", "--set", "expected ROLE.ID.OPTION=VALUE", ""),
        ("=", "--set", "expected ROLE.ID.OPTION=VALUE", ""),
        ("source.rec.rate=3", "--set", 'unknown role "source"', "did you mean 'sources'?"),
        ("schema.x.y=3", "--set", 'unknown role "schema"', ""),
        ("sources.rek.rate=3", "--set sources.rek", 'there is no source "rek"', "did you mean 'rec'?"),
        ("sources.rec.rat=3", "sources.rec.rat", "unknown option", "did you mean 'rate'?"),
        ("sources.rec.rate=3", "sources.rec.rate", "got 3", ""),
        ("sources.rec.kind=nett", "sources.rec.kind", 'unknown kind "nett"', "did you mean 'net'?"),
        ("sources.rec.kind=3", "sources.rec.kind", 'unknown kind "3"', ""),
        ("sources.rec.leg-b=3", "sources.rec.leg-b", "expected a table", ""),
        ("clocks.house.domain=1\ny=2", "clocks.house.domain", 'got "1\\ny=2"', ""),
    ],
)
def test_wrong_overrides(examine: Any, override: str, path: str, message: str, hint: str) -> None:
    (problem,) = examine(BASE, overrides=[override]).problems
    assert (problem.path, message in problem.message, hint in problem.hint) == (path, True, True), str(problem)
