"""Options that a plugin declares wrongly make that plugin broken, and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phasegraph import ClockConfig, ClockKind, Duration, hookimpl
from phasegraph._graph_file import validate_text
from phasegraph._plugins.loader import Registry


class TextForDuration(ClockConfig, frozen=True, kw_only=True):
    pause: Duration = "3ms"  # type: ignore[assignment]  # the mistake


class UnknownName(ClockConfig, frozen=True, kw_only=True):
    pause: "Pause" = 3  # type: ignore[name-defined] # noqa: F821, UP037


def odd_plugin(config: Any) -> SimpleNamespace:
    def offer() -> list[ClockKind[Any]]:
        return [ClockKind(kind="odd", summary="Odd.", config=config, factory=lambda *_: None)]  # type: ignore[arg-type]

    offer.__name__ = "register_clocks"
    return SimpleNamespace(register_clocks=hookimpl(offer))


@pytest.mark.parametrize("config", [TextForDuration, UnknownName, int])
def test_a_config_that_cannot_be_described(registry: Any, config: Any) -> None:
    registry.add("odd", "1", odd_plugin(config))
    assert [(info.name, info.status) for info in registry.plugins] == [("fake", "ok"), ("odd", "broken")]
    assert "odd" not in registry.clocks


@pytest.mark.parametrize("config", [TextForDuration, UnknownName, int])
def test_a_graph_finds_what_was_not_checked_at_load(config: Any) -> None:
    registry = Registry(check_options=False)
    registry.add("odd", "1", odd_plugin(config))
    assert [info.status for info in registry.plugins] == ["ok"]
    problems = validate_text('schema = 1\n[clocks.house]\nkind = "odd"\n', registry, Path()).problems
    assert [problem.path for problem in problems] == ["clocks.house"]
    assert problems[0].message.startswith("the options of 'odd' cannot be described: ")
