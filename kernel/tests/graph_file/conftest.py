"""A small plugin with one kind of everything, so that graphs can be read without any real plugin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from phasegraph import (
    ClockConfig,
    ClockKind,
    ClockRef,
    CompensatorConfig,
    CompensatorKind,
    Duration,
    Encoding,
    InputFile,
    Level,
    NodeError,
    OutputFile,
    RateOffset,
    ResamplerKind,
    SampleRate,
    SinkConfig,
    SinkKind,
    SourceConfig,
    SourceKind,
    TransportKind,
    hookimpl,
)
from phasegraph._graph_file import Validation, validate_text
from phasegraph._plugins.loader import Registry


class Clock(ClockConfig, frozen=True, kw_only=True):
    domain: Annotated[int, Meta(ge=0, le=127, description="PTP domain number.")] = 0


class Leg(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    group: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 5004


class Receiver(SourceConfig, frozen=True, kw_only=True):
    clock: ClockRef | None = None
    sdp: InputFile | None = None
    link_offset: Annotated[Duration, Meta(ge=125_000, le=10**9, description="How late a frame sounds.")] = 3_000_000
    rate: SampleRate = 48000
    encoding: Encoding = Encoding.L24
    leg_b: Leg | None = None
    gain: Annotated[float, Meta(gt=0)] = 1.0
    taps: Annotated[tuple[Duration, ...], Meta(max_length=3)] = ()
    labels: dict[str, int] = msgspec.field(default_factory=dict)
    verbose: bool = False
    name: Annotated[str, Meta(min_length=1)] = "stream"
    code: Annotated[str, Meta(pattern="^[A-Z]{2}$")] = "EN"


class Sender(SinkConfig, frozen=True, kw_only=True):
    clock: ClockRef | None = None
    sdp_out: OutputFile | None = None
    level: Level = 0.0


class Reader(SourceConfig, frozen=True, kw_only=True):
    path: InputFile


class Writer(SinkConfig, frozen=True, kw_only=True):
    path: OutputFile


class Card(SinkConfig, frozen=True, kw_only=True):
    device: str | int | None = None
    mode: Literal["fast", "safe"] = "safe"


class Strict(SinkConfig, frozen=True, kw_only=True):
    trouble: Literal["none", "value", "node", "bug"] = "none"

    def __post_init__(self) -> None:
        if self.trouble == "value":
            raise ValueError("these options do not go together")
        if self.trouble == "node":
            raise NodeError("it is too loud", "turn it down", option="trouble")
        if self.trouble == "bug":
            raise KeyError("oops")


class Strategy(CompensatorConfig, frozen=True, kw_only=True):
    fastest: Annotated[RateOffset, Meta(gt=0)] = 200e3


def _make(*_: object) -> Any:
    raise AssertionError("reading a graph makes no node")


@hookimpl
def register_clocks() -> list[ClockKind[Any]]:
    return [ClockKind(kind="system", summary="A clock.", config=Clock, factory=_make)]


@hookimpl
def register_transports() -> list[TransportKind]:
    receiver = SourceKind(kind="net", summary="Receives.", config=Receiver, factory=_make)
    sender = SinkKind(kind="net", summary="Sends.", config=Sender, factory=_make)
    return [TransportKind(kind="net", summary="A network.", receiver=receiver, sender=sender)]


@hookimpl
def register_sources() -> list[SourceKind[Any]]:
    return [SourceKind(kind="reader", summary="Reads.", config=Reader, factory=_make, domain="none")]


@hookimpl
def register_sinks() -> list[SinkKind[Any]]:
    return [
        SinkKind(kind="writer", summary="Writes.", config=Writer, factory=_make, domain="none"),
        SinkKind(kind="card", summary="Plays.", config=Card, factory=_make, domain="device"),
        SinkKind(kind="strict", summary="Refuses.", config=Strict, factory=_make, domain="none"),
    ]


@hookimpl
def register_compensators() -> list[CompensatorKind[Any]]:
    return [CompensatorKind(kind="steady", summary="Steers.", config=Strategy, factory=_make)]


@hookimpl
def register_resamplers() -> list[ResamplerKind]:
    return [ResamplerKind(kind="sinc", summary="Resamples.", factory=_make)]


HOOKS = (
    register_clocks,
    register_transports,
    register_sources,
    register_sinks,
    register_compensators,
    register_resamplers,
)


def make_registry() -> Registry:
    registry = Registry()
    registry.add("fake", "1.0", SimpleNamespace(**{hook.__name__: hook for hook in HOOKS}))
    assert registry.plugins[0].status == "ok", registry.plugins[0].reason
    return registry


@pytest.fixture
def registry() -> Registry:
    return make_registry()


@pytest.fixture(scope="session")
def shared_registry() -> Registry:
    """For tests that add no plugin, such as hypothesis's."""
    return make_registry()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A graph's folder with one recording."""
    (tmp_path / "take.wav").touch()
    return tmp_path


Examine = Callable[..., Validation]


@pytest.fixture
def examine(registry: Registry, folder: Path) -> Examine:
    """Examine a text, with ``schema = 1`` put before it."""

    def examine(text: str, **options: Any) -> Validation:
        return validate_text(f"schema = 1\n{text}", registry, folder, **options)

    return examine
