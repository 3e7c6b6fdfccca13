"""Configuration of nodes: frozen structs, one described and ranged field per option.

A plugin derives its own struct from the base of its role. Names are written in kebab-case in a graph
(``link_offset`` is ``link-offset``). The markers below give a text its meaning, so that the kernel can resolve
references and paths, and explain them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .role import Role
from .units import Duration


class Ref(msgspec.Struct, frozen=True):
    """Marks a field that names another node of the graph."""

    role: Role


class FilePath(msgspec.Struct, frozen=True):
    """Marks a field that names a file, relative to the graph's folder; decoded to an absolute path."""

    mode: Literal["read", "write"]
    """``read`` files must exist, or be written by another node of the same graph."""


class Live(msgspec.Struct, frozen=True):
    """Marks an option that can change while the node runs; others need a new node in its place.

    A node with such options of its own has `LiveNode.change_options`.
    """

    effect: str = ""
    """What a change does, where that is not obvious. A sentence without its first words: ``from its next read on``."""


class FormerName(msgspec.Struct, frozen=True):
    """Marks an option that was renamed: graphs with its former name are read for another MINOR version, with a note."""

    name: str
    """As graphs wrote it, in kebab-case."""


ClockRef = Annotated[str, Ref(Role.CLOCK)]
"""Id of a clock."""
CompensatorRef = Annotated[str, Ref(Role.COMPENSATOR)]
"""Id of a compensator."""
InputFile = Annotated[str, FilePath("read")]
"""A file that the node reads."""
OutputFile = Annotated[str, FilePath("write")]
"""A file that the node writes."""


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Options that every node has."""

    on_failure: Annotated[
        Literal["stop", "restart", "isolate"],
        Meta(
            description="What the run does when this node fails: end, start the node again with growing pauses, "
            "or go on without it."
        ),
        Live(),
    ] = "stop"
    label: Annotated[
        str,
        Meta(
            max_length=200, description="Name of the node for people, in controllers and on pages; its id by default."
        ),
        Live(),
    ] = ""
    description: Annotated[
        str, Meta(max_length=1000, description="What the node is for, for people who see it in a controller."), Live()
    ] = ""


class ClockConfig(NodeConfig, frozen=True, kw_only=True):
    """Base of a clock's options."""

    fallback: Annotated[
        ClockRef | None, Meta(description="Another clock, which replaces this one while it is without lock.")
    ] = None
    fallback_after: Annotated[
        Duration, Meta(description="How long it may be without lock before the fallback replaces it.", ge=0), Live()
    ] = 5_000_000_000


class SourceConfig(NodeConfig, frozen=True, kw_only=True):
    """Base of a source's options."""


class RecorderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The table ``[recorder]`` of a graph: the flight recorder."""

    last: Annotated[
        Duration,
        Meta(description="How much of the past is kept in memory.", ge=1_000_000_000, le=3_600_000_000_000),
    ] = 60_000_000_000
    memory_mib: Annotated[
        int, Meta(description="Most memory for packets, in MiB: beyond it they are cut, headers last.", ge=8, le=65_536)
    ] = 512
    folder: Annotated[OutputFile, Meta(description="Where captures are written; it is made.")] = "captures"
    every: Annotated[
        Duration, Meta(description="Least time between two captures that nothing but trouble asked for.", ge=0)
    ] = 60_000_000_000
    most: Annotated[int, Meta(description="Most captures of a run that trouble asked for.", ge=0)] = 20


DEFAULT_RESAMPLER = "sinc"
"""Kind of the resampler behind a compensator that names none."""


class CompensatorConfig(NodeConfig, frozen=True, kw_only=True):
    """Base of a compensator's options."""

    resampler: Annotated[
        str, Ref(Role.RESAMPLER), Meta(description="Kind of the resampler that the compensator steers.")
    ] = DEFAULT_RESAMPLER


class InputChannels(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One entry of a sink's ``input`` list."""

    source: Annotated[str, Ref(Role.SOURCE)]
    channels: Annotated[
        tuple[Annotated[int, Meta(ge=0)], ...] | None,
        Meta(description="Channels of the source, in order, counted from 1; 0 is silence; all of them if left out."),
    ] = None


class SinkConfig(NodeConfig, frozen=True, kw_only=True):
    """Base of a sink's options."""

    input: Annotated[
        str | tuple[str | InputChannels, ...],
        Ref(Role.SOURCE),
        Meta(
            description="The source that this sink plays, or a list of sources whose channels are put side by side: "
            '`["a", {source = "b", channels = [2, 1]}]`.'
        ),
        Live("at a frame, once the new source delivers; another rate or number of channels needs a restart"),
    ]
    compensator: Annotated[
        CompensatorRef | None,
        Meta(description="Compensator of the edge; needed where the source and the sink run on different clocks."),
        Live("at a frame, as `input`"),
    ] = None

    @property
    def inputs(self) -> tuple[InputChannels, ...]:
        """The input as a list, whichever way it was written."""
        return as_inputs(self.input)


def as_inputs(input: str | tuple[str | InputChannels, ...]) -> tuple[InputChannels, ...]:
    """A sink's ``input`` option as a list, whichever way it was written."""
    entries = (input,) if isinstance(input, str) else input
    return tuple(InputChannels(entry) if isinstance(entry, str) else entry for entry in entries)
