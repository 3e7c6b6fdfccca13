"""What docs/versions.md promises of options that are renamed, and of what has a number of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from click.testing import CliRunner
from msgspec import Meta

from phasegraph import Duration, FormerName, SinkConfig, SinkKind
from phasegraph._cli.app import cli
from phasegraph._graph_file import validate_text
from phasegraph.testing import run_graph_now, sim_registry
from phasegraph.testing import sim_plugin as sim


class RenamedConfig(SinkConfig, frozen=True, kw_only=True):
    pause: Annotated[Duration, Meta(description="A pause."), FormerName("gap")] = 1_000_000


GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.stage]
kind = "sim-source"
duration = "1s"
[sinks.end]
kind = "renamed"
input = "stage"
{line}
"""
PLACE = "sinks.end.gap"
NOTE = "this option is called 'pause' now; its former name works until the next MINOR version"


def registry() -> Any:
    from types import SimpleNamespace

    from phasegraph import hookimpl

    (recorder,) = (kind for kind in sim.register_sinks() if kind.kind == "sim-recorder")
    kind = SinkKind(
        kind="renamed",
        summary="Records.",
        config=RenamedConfig,
        factory=lambda config, *given: recorder.factory(recorder.config(input=config.input), *given),
        domain="none",
    )
    known = sim_registry()
    known.add("renaming", "1", SimpleNamespace(register_sinks=hookimpl(lambda: [kind])))
    return known


def test_the_former_name_of_an_option_works_and_is_noted(tmp_path: Path) -> None:
    validation = validate_text(GRAPH.format(line='gap = "3ms"'), registry(), tmp_path)
    assert validation.graph is not None, validation.problems
    assert validation.graph.nodes["end"].config.pause == 3_000_000  # type: ignore[attr-defined]
    assert validation.graph.notes == ((PLACE, NOTE),)


def test_the_present_name_is_noted_nowhere(tmp_path: Path) -> None:
    validation = validate_text(GRAPH.format(line='pause = "3ms"'), registry(), tmp_path)
    assert validation.graph is not None
    assert validation.graph.notes == ()


def test_both_names_are_a_problem(tmp_path: Path) -> None:
    validation = validate_text(GRAPH.format(line='gap = "3ms"\npause = "3ms"'), registry(), tmp_path)
    assert [(each.path, each.hint) for each in validation.problems] == [(PLACE, "remove it")]


def test_a_run_warns_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    from phasegraph._run.logging import make_log
    from phasegraph._run.session import Session

    graph = validate_text(GRAPH.format(line='gap = "3ms"'), registry(), Path.cwd()).graph
    assert graph is not None
    session = Session(graph, registry(), log=make_log(level="warning"))
    assert session.built.notes == [(PLACE, NOTE)]
    assert "is called 'pause' now" in capsys.readouterr().err
    assert run_graph_now(GRAPH.format(line='gap = "3ms"'), registry=registry()).report["ended"] == "completed"


def test_check_shows_the_notes_of_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phasegraph._plugins import loader

    monkeypatch.setattr(loader, "load", lambda **_: registry())
    (tmp_path / "graph.toml").write_text(GRAPH.format(line='gap = "3ms"'))
    result = CliRunner().invoke(cli, ["check", str(tmp_path / "graph.toml")])
    assert result.exit_code == 0, result.output
    assert f"  {PLACE}: {NOTE}" in result.stdout
    found = CliRunner().invoke(cli, ["check", str(tmp_path / "graph.toml"), "--format", "json"])
    assert json.loads(found.stdout)["notes"] == [{"path": PLACE, "message": NOTE}]
