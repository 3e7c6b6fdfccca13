"""The state decision of the best master clock algorithm (IEEE 1588-2019, 9.3.3), for a clock with one port.

The comparison itself is `phasegraph.ieee1588.compare_data_sets`.
"""

from __future__ import annotations

import enum

from phasegraph.ieee1588 import ComparedDataSet, compare_data_sets


class Recommended(enum.Enum):
    """What the state decision algorithm recommends to the port (9.3.3)."""

    MASTER = enum.auto()
    """M1 or M2: no better clock announces itself."""
    SLAVE = enum.auto()
    """S1: follow the best that announces itself."""
    PASSIVE = enum.auto()
    """P1: a better one announces itself, but a clock of class 1 to 127 does not follow."""


def recommend(own: ComparedDataSet, best: ComparedDataSet | None) -> Recommended:
    """The state decision (9.3.3, figure 33) for a clock with one port: ``own`` is D0, ``best`` is Ebest."""
    if best is None or compare_data_sets(own, best) > 0:
        return Recommended.MASTER
    return Recommended.PASSIVE if 1 <= own.clock_class <= 127 else Recommended.SLAVE
