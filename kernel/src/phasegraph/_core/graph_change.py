"""Changes of a running graph, as values: what is asked for, what would happen, and what has happened."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Change = Literal["untouched", "live", "switched", "restarted", "added", "removed"]
"""What happens to a node: nothing; options change while it runs; its input changes at a frame; it ends and another
begins in its place; it begins; it ends."""


class GraphEdit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A graph that is asked for. One of the first three is given."""

    graph: dict[str, Any] | None = None
    """A whole graph, with the tables of a graph file. The profile and the ``--set`` of the run are not laid over it."""
    toml: str | None = None
    """The text of a graph file. The profile and the ``--set`` of the run are laid over it."""
    set: dict[str, Any] | None = None
    """Values by path, ``ROLE.ID`` or ``ROLE.ID.OPTION``, laid over the graph as it runs; None removes."""
    folder: str | None = None
    """Where relative paths start; left out: the folder of the run's graph."""


class ChangeTime(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a change happens. One of the times is given, or ``of_media`` alone: as soon as it can be."""

    clock: str = ""
    """With ``time_ns``: the clock whose time it is."""
    time_ns: int | None = None
    """Media time: nanoseconds since the clock's epoch."""
    local_ns: int | None = None
    """Local time."""
    frame: Annotated[int, Meta(ge=0)] | None = None
    """Index of a frame of each sink that changes."""
    of_media: bool = False
    """Whether the time is the media time of the streams' frames, which sound a link offset later: inputs change at one
    frame of their streams, whatever their link offsets. Left out: they change where they sound together."""


class NodeChange(Struct, frozen=True, kw_only=True):
    """What an edit does to one node."""

    role: str
    """``clock``, ``source``, ``compensator`` or ``sink``."""
    node: str
    change: Change
    options: list[str] = []
    """The options that differ, as a graph file writes them."""
    text: str
    """The same as a sentence."""


class ChangePlan(Struct, frozen=True, kw_only=True):
    """What an edit would do."""

    changes: list[NodeChange]
    """Every node of the graph before and after, in the order in which roles start."""
    problems: list[str] = []
    """Sentences, as ``kernel check`` prints them. Where there is one, nothing happens."""

    @property
    def changed(self) -> list[NodeChange]:
        """The nodes that something happens to."""
        return [change for change in self.changes if change.change != "untouched"]


class AppliedFrame(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the change of one sink is."""

    frame: int
    """The sink's first frame of the new graph."""
    time_ns: int | None = None
    """The media time of that frame, where a clock of the graph paces the sink."""
    clock: str = ""


class AppliedChange(Struct, frozen=True, kw_only=True):
    """What an edit has done, or will do."""

    id: int = 0
    """Number of the request, of a client."""
    plan: ChangePlan
    applied: dict[str, AppliedFrame] = {}
    """By sink whose input was switched or ended."""


class EditRefused(Exception):
    """An edit was not applied; nothing has changed."""

    def __init__(self, reason: str, plan: ChangePlan | None = None) -> None:
        super().__init__(reason)
        self.plan = plan or ChangePlan(changes=[], problems=[reason])
