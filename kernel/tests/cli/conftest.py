"""The command line with plugins of our own in place of those that are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from click.testing import CliRunner, Result
from msgspec import Meta

from phasegraph import (
    ClockConfig,
    ClockKind,
    CompensatorConfig,
    CompensatorKind,
    Duration,
    InputFile,
    OutputFile,
    ResamplerKind,
    SinkConfig,
    SinkKind,
    SourceConfig,
    SourceKind,
    hookimpl,
)
from phasegraph._cli.app import cli
from phasegraph._plugins import loader


class Clock(ClockConfig, frozen=True, kw_only=True):
    pass


class Live(SourceConfig, frozen=True, kw_only=True):
    clock: str | None = None
    pause: Annotated[Duration, Meta(ge=10_000_000, description="How long to rest.")]
    notes: InputFile | None = None
    size: Annotated[int, Meta(ge=1, le=8, description="How large.")] = 2


class Card(SinkConfig, frozen=True, kw_only=True):
    log: OutputFile | None = None


def _make(*_: object) -> Any:
    raise AssertionError("not made in these tests")


@hookimpl
def register_clocks() -> list[ClockKind[Any]]:
    return [ClockKind(kind="system", summary="A clock.", config=Clock, factory=_make, example='[clocks.x]\nkind = "s"')]


@hookimpl
def register_sources() -> list[SourceKind[Any]]:
    return [SourceKind(kind="live", summary="Comes in.", config=Live, factory=_make)]


@hookimpl
def register_sinks() -> list[SinkKind[Any]]:
    return [
        SinkKind(kind="live", summary="Goes out.", config=Card, factory=_make, domain="none"),
        SinkKind(kind="card", summary="Sounds.", config=Card, factory=_make, domain="device"),
    ]


@hookimpl
def register_compensators() -> list[CompensatorKind[Any]]:
    return [CompensatorKind(kind="steady", summary="Steers.", config=CompensatorConfig, factory=_make)]


@hookimpl
def register_resamplers() -> list[ResamplerKind]:
    return [ResamplerKind(kind="sinc", summary="Resamples.", factory=_make)]


PLUGIN = SimpleNamespace(
    register_clocks=register_clocks,
    register_sources=register_sources,
    register_sinks=register_sinks,
    register_compensators=register_compensators,
    register_resamplers=register_resamplers,
)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> loader.Registry:
    registry = loader.Registry()
    registry.add("fake", "1.0", PLUGIN)
    registry.plugins.append(loader.PluginInfo("lost", "0.3", (), "broken", "import: ModuleNotFoundError: x\ny"))
    monkeypatch.setattr(loader, "load", lambda **_: registry)
    return registry


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph whose only edge crosses clock domains."""
    path = tmp_path / "graph.toml"
    path.write_text(
        """
schema = 1
[clocks.house]
kind = "system"
[sources.stage]
kind = "live"
pause = "20ms"
[compensators.align]
kind = "steady"
[sinks.speakers]
kind = "card"
input = {INPUT}
compensator = "align"
[profiles.plain.sinks.speakers]
kind = "live"
input = "stage"
""".replace("{INPUT}", '[{source = "stage", channels = [2, 1]}]')
    )
    return path


Kernel = Callable[..., Result]


@pytest.fixture
def kernel() -> Kernel:
    """Call ``kernel`` with arguments."""

    def kernel(*arguments: object) -> Result:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="kernel")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return kernel
