"""The hooks that a plugin may implement (pluggy).

All are synchronous, cheap, and called before trio starts, except `on_event`. They return descriptors, never nodes. An
implementation may omit arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import pluggy

if TYPE_CHECKING:
    import click

    from .._core.errors import Problem
    from .._core.kinds import (
        ClockKind,
        CompensatorKind,
        ControlProcessKind,
        ResamplerKind,
        SinkKind,
        SourceKind,
        TransportKind,
    )
    from .._core.session_offer import OfferedSession
    from .._graph_file.graph import Graph

PROJECT = "phasegraph"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of its name."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened in a run."""

    at_ns: int
    """Local time."""
    node: str
    name: str
    fields: dict[str, int | float | str]


class Specs:
    """The hook specifications. See ``docs/write-a-plugin.md``."""

    @hookspec
    def register_clocks(self) -> Iterable[ClockKind[Any]]:
        """Kinds of clock source."""
        raise AssertionError("a specification is not called")

    @hookspec
    def register_transports(self) -> Iterable[TransportKind]:
        """Kinds of network transport: a receiver and a sender under one name."""
        raise AssertionError("a specification is not called")

    @hookspec
    def register_sources(self) -> Iterable[SourceKind[Any]]:
        """Kinds of source other than transports' receivers."""
        raise AssertionError("a specification is not called")

    @hookspec
    def register_compensators(self) -> Iterable[CompensatorKind[Any]]:
        """Compensation strategies."""
        raise AssertionError("a specification is not called")

    @hookspec
    def register_resamplers(self) -> Iterable[ResamplerKind]:
        """Variable-ratio resamplers."""
        raise AssertionError("a specification is not called")

    @hookspec
    def register_sinks(self) -> Iterable[SinkKind[Any]]:
        """Kinds of sink other than transports' senders."""
        raise AssertionError("a specification is not called")

    @hookspec
    def register_control_processes(self) -> Iterable[ControlProcessKind]:
        """Programs that a run starts beside it, for tables ``[control.KIND]``."""
        raise AssertionError("a specification is not called")

    @hookspec
    def validate_graph(self, graph: Graph) -> Iterable[Problem]:
        """Checks across nodes, called if the options of every node are valid. Returns the problems."""
        raise AssertionError("a specification is not called")

    @hookspec
    def register_commands(self, cli: click.Group) -> None:
        """Add commands to ``kernel``."""

    @hookspec
    def session_description_parser(self) -> Callable[[str], OfferedSession]:
        """A function that reads a session description; it raises ValueError with the reason."""
        raise AssertionError("a specification is not called")

    @hookspec
    def on_event(self, event: Event) -> None:
        """Observe an event of a run. Must not block."""
