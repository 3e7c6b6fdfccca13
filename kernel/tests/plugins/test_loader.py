"""Plugins are loaded one by one: a broken one is reported, and the others work."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phasegraph import ClockConfig, ClockKind, SinkConfig, SinkKind, SourceConfig, SourceKind, TransportKind, hookimpl
from phasegraph._plugins import loader
from phasegraph._plugins.entry_points import EntryPoint, entry_points
from phasegraph._plugins.loader import Registry


def _make(*_: object) -> Any:
    raise AssertionError("not made in these tests")


def clock(kind: str, **fields: Any) -> ClockKind[Any]:
    return ClockKind(kind=kind, summary="A clock.", config=ClockConfig, factory=_make, **fields)


def plugin(*clocks: ClockKind[Any], **hooks: Any) -> SimpleNamespace:
    @hookimpl
    def register_clocks() -> list[ClockKind[Any]]:
        return list(clocks)

    return SimpleNamespace(register_clocks=register_clocks, **hooks)


@hookimpl
def validate_graph(graph: object) -> list[Any]:
    return []


def reasons(registry: Registry) -> dict[str, str]:
    return {f"{info.name} {info.version}": info.reason for info in registry.plugins if info.status == "broken"}


def test_another_plugin_api_is_refused() -> None:
    registry = Registry()
    registry.add("new", "9", plugin(clock("atomic", api=2)))
    registry.add("old", "1", plugin(clock("quartz")))
    assert list(registry.clocks) == ["quartz"]
    assert "'atomic' needs plugin API 2, and this Phasegraph has 1" in reasons(registry)["new 9"]


def test_the_first_to_claim_a_kind_has_it() -> None:
    registry = Registry()
    first = clock("quartz")
    registry.add("a", "1", plugin(first))
    registry.add("b", "1", plugin(clock("water"), clock("quartz")))
    assert registry.clocks == {"quartz": first}
    assert "clocks/quartz is already provided by another plugin" in reasons(registry)["b 1"]


def test_a_plugin_that_claims_a_kind_twice_is_broken() -> None:
    @hookimpl
    def register_sources() -> list[SourceKind[Any]]:
        return [SourceKind(kind="wire", summary="In.", config=SourceConfig, factory=_make)]

    @hookimpl
    def register_transports() -> list[TransportKind]:
        sink = SinkKind(kind="wire", summary="Out.", config=SinkConfig, factory=_make)
        return [TransportKind(kind="wire", summary="Both.", receiver=register_sources()[0], sender=sink)]

    registry = Registry()
    hooks = {"register_sources": register_sources, "register_transports": register_transports}
    registry.add("a", "1", SimpleNamespace(**hooks))
    assert registry.sources == {}
    assert "sources/wire is registered twice" in reasons(registry)["a 1"]


def test_a_second_plugin_of_one_name_takes_nothing_from_the_first() -> None:
    registry = Registry()
    registry.add("same", "1", plugin(clock("quartz"), validate_graph=validate_graph))
    registry.add("same", "2", plugin(clock("water")))
    assert list(registry.clocks) == ["quartz"]
    assert list(reasons(registry)) == ["same 2"]
    assert [name for name, _ in registry.implementations("validate_graph", graph=None)] == ["same"]


def test_an_unknown_hook_needs_a_newer_phasegraph() -> None:
    @hookimpl
    def register_planets() -> None: ...

    registry = Registry()
    registry.add("a", "1", plugin(clock("quartz"), register_planets=register_planets))
    assert registry.clocks == {}
    assert "the plugin may need a newer version of Phasegraph" in reasons(registry)["a 1"]


@pytest.mark.parametrize("line", ["1 / 0", "import nowhere", "raise SystemExit('not from here')", "this is no Python"])
def test_a_plugin_whose_import_fails_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    (tmp_path / "broken_plugin.py").write_text(line + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    entries = [
        EntryPoint("broken", "broken_plugin"),
        *(entry for entry in entry_points(loader.GROUP) if entry.name == "kernel"),
    ]
    monkeypatch.setattr(loader, "entry_points", lambda group: entries)
    registry = loader.load()
    assert "system" in registry.clocks
    assert list(reasons(registry)) == ["broken ?"]
    assert reasons(registry)["broken ?"].startswith("import: ")
