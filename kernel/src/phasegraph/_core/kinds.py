"""Descriptors that plugins register. Data only, so that kinds can be listed, checked and explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

import msgspec

from .compensation import Compensator, Resampler
from .config import ClockConfig, CompensatorConfig, SinkConfig, SourceConfig
from .node import Build, ClockSource, Input, Sink, Source

API_VERSION = 1
"""Version of the interface between kernel and plugins; a kind made for another one is refused at load."""

ClockC = TypeVar("ClockC", bound=ClockConfig)
SourceC = TypeVar("SourceC", bound=SourceConfig)
CompensatorC = TypeVar("CompensatorC", bound=CompensatorConfig)
SinkC = TypeVar("SinkC", bound=SinkConfig)

Domain = Literal["clock", "device", "none"]
"""Whose time paces a source or sink: the graph's clock that its ``clock`` option names, its own device's, or
none (files and generators are paced by the other end of the edge)."""


class RegisteredKind(msgspec.Struct, frozen=True, kw_only=True):
    """What every descriptor has."""

    kind: str
    """The name that a graph writes, or the command of a control process."""
    summary: str
    api: int = API_VERSION


class ClockKind(RegisteredKind, Generic[ClockC], frozen=True, kw_only=True):
    """A kind of clock source."""

    config: type[ClockC]
    factory: Callable[[ClockC, Build], ClockSource]
    example: str = ""
    """A table as a graph would write it, for ``kernel explain``."""


class SourceKind(RegisteredKind, Generic[SourceC], frozen=True, kw_only=True):
    """A kind of source."""

    config: type[SourceC]
    factory: Callable[[SourceC, Build], Source]
    domain: Domain = "clock"
    example: str = ""


class CompensatorKind(RegisteredKind, Generic[CompensatorC], frozen=True, kw_only=True):
    """A kind of compensator. The factory also gets the nominal rate in frames per second."""

    config: type[CompensatorC]
    factory: Callable[[CompensatorC, int], Compensator]
    example: str = ""


class ResamplerKind(RegisteredKind, frozen=True, kw_only=True):
    """A kind of variable-ratio resampler."""

    factory: Callable[[], Resampler]


class SinkKind(RegisteredKind, Generic[SinkC], frozen=True, kw_only=True):
    """A kind of sink."""

    config: type[SinkC]
    factory: Callable[[SinkC, Build, Input], Sink]
    domain: Domain = "clock"
    example: str = ""


class TransportKind(RegisteredKind, frozen=True, kw_only=True):
    """A network transport: its receiving side is a source, its sending side a sink, both of one kind."""

    receiver: SourceKind[Any]
    sender: SinkKind[Any]


class ControlProcessKind(RegisteredKind, frozen=True, kw_only=True):
    """A program that offers a run to other systems, from a process of its own: a table ``[control.KIND]`` of a graph.

    It is a command of ``kernel``. A run starts it as ``kernel KIND SOCKET --child`` with its control socket, and writes
    the options to its standard input, as one line of JSON. The end of standard input ends the program. A line of its
    output that is a JSON object with ``level`` and ``event`` is logged as such.
    """

    config: type[msgspec.Struct]
    example: str = ""


AnyKind = ClockKind[Any] | SourceKind[Any] | CompensatorKind[Any] | ResamplerKind | SinkKind[Any]
