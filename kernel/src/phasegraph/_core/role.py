"""The roles that a kind can have. A role's value is the name of its tables in graph.toml and of its plugin hook."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a node does in a graph. Members are in the order in which nodes start."""

    CLOCK = "clocks"
    SOURCE = "sources"
    COMPENSATOR = "compensators"
    RESAMPLER = "resamplers"
    """Resamplers have no tables: a compensator names the kind of its resampler."""
    SINK = "sinks"

    @property
    def singular(self) -> str:
        """One node of this role: ``clock``."""
        return self.value.removesuffix("s")


GRAPH_ROLES: Final = (Role.CLOCK, Role.SOURCE, Role.COMPENSATOR, Role.SINK)
"""The roles that have tables in graph.toml, in the order in which their nodes start."""
