"""Options that a plugin declares wrongly make that plugin broken, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from phasegraph import ClockConfig, ClockKind, Duration, hookimpl


class TextForDuration(ClockConfig, frozen=True, kw_only=True):
    pause: Duration = "3ms"  # type: ignore[assignment]  # the mistake


class UnknownName(ClockConfig, frozen=True, kw_only=True):
    pause: "Pause" = 3  # type: ignore[name-defined] # noqa: F821, UP037


@pytest.mark.parametrize("config", [TextForDuration, UnknownName, int])
def test_a_config_that_cannot_be_described(registry: Any, config: Any) -> None:
    def offer() -> list[ClockKind[Any]]:
        return [ClockKind(kind="odd", summary="Odd.", config=config, factory=lambda *_: None)]  # type: ignore[arg-type]

    offer.__name__ = "register_clocks"
    registry.add("odd", "1", SimpleNamespace(register_clocks=hookimpl(offer)))
    assert [(info.name, info.status) for info in registry.plugins] == [("fake", "ok"), ("odd", "broken")]
    assert "odd" not in registry.clocks
