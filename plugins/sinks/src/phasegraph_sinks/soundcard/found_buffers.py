"""What ``latency = "lowest"`` has found for the sinks of this user, in a small file that outlives the run."""

from __future__ import annotations

import msgspec

from phasegraph import StateFile, state_path


class FoundBuffer(msgspec.Struct, frozen=True):
    """What a run of a sink has found."""

    cover_ns: int
    """See `LowestBuffer.cover_ns`."""
    setting: str
    """The same for ever, as lines of a graph."""


def found_buffers() -> StateFile[FoundBuffer]:
    """What the last run of each sink has found, by its name and device."""
    return StateFile(state_path("card-buffers.json"), FoundBuffer)
