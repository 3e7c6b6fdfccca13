"""A valid graph: its nodes with their configuration, its edges, and the order in which to build them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from .._core.config import RecorderConfig
from .._core.kinds import AnyKind, ControlProcessKind
from .._core.role import Role


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    """One node."""

    id: str
    role: Role
    """``clocks``, ``sources``, ``compensators`` or ``sinks``."""
    kind: AnyKind
    config: Any
    """An instance of ``kind.config``; paths are absolute, quantities in their base units."""
    domain: str | None = None
    """Whose time paces it: a clock's id, ``device:ID`` for its own hardware, None if it has none."""

    @property
    def path(self) -> str:
        """Place in the graph: ``sinks.speakers``."""
        return f"{self.role}.{self.id}"


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A connection from a source to a sink."""

    source: str
    sink: str
    channels: tuple[int, ...] | None = None
    """Channels of the source, in order, counted from 1, with 0 for silence; None for all of them."""
    crossing: bool = False
    """Whether source and sink run on different clocks."""
    compensator: str | None = None
    """The compensator that bridges a crossing; None if nothing crosses."""

    @property
    def name(self) -> str:
        """Its name in the report: ``stage->speakers``."""
        return f"{self.source}->{self.sink}"


class ControlProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A program that runs beside the graph, in a process of its own."""

    kind: ControlProcessKind
    config: Any
    """An instance of ``kind.config``; paths are absolute."""


class Overlays(msgspec.Struct, frozen=True):
    """What a call lays over a graph file."""

    profile: str | None = None
    overrides: tuple[str, ...] = ()
    """``ROLE.ID.OPTION=VALUE``."""


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A whole graph, checked and resolved."""

    schema: int
    nodes: Mapping[str, GraphNode]
    """By id, roles in the order in which they start: clocks, sources, compensators, sinks."""
    edges: tuple[Edge, ...]
    """By sink, then in the order of its ``input``; a source may occur twice, with different channels."""
    order: tuple[str, ...]
    """Ids, every node after the nodes that it refers to and after the writers of the files that it reads."""
    folder: Path
    """Where relative paths start."""
    path: Path | None = None
    """The file, as it was given."""
    recorder: RecorderConfig | None = None
    """The flight recorder that the file asks for."""
    control: tuple[ControlProcess, ...] = ()
    """The programs beside it."""
    overlays: Overlays = Overlays()
    """What the call laid over the file."""
    notes: tuple[tuple[str, str], ...] = ()
    """What will be wrong in a later version: place, and a sentence."""

    @property
    def profile(self) -> str | None:
        """The profile that was laid over the file."""
        return self.overlays.profile

    def of_role(self, role: str) -> list[GraphNode]:
        """The nodes of a role (a `Role`, or its name such as ``sinks``), in the order of the file."""
        return [node for node in self.nodes.values() if node.role == role]

    def inputs_of(self, sink: str) -> list[Edge]:
        """The edges of a sink, in the order of its ``input``."""
        return [edge for edge in self.edges if edge.sink == sink]
