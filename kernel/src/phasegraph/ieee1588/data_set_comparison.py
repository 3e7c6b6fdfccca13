"""Data set comparison (IEEE 1588-2019, 9.3.4): which of several clocks is the best. Pure functions, for any follower.

Where every grandmaster is described by one set of attributes the comparison is a total order. While a change of them
travels, two ports may describe one grandmaster differently, and pairs can then form a circle; `best_data_set` decides
within each grandmaster first, so its choice never depends on the order in which Announces arrive.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from .identity import PortIdentity
from .messages import Announce


class ComparedDataSet(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One data set of the comparison (9.3.4, table 30): our own (D0), or that of an Announce.

    The fields are in the order of comparison.
    """

    priority1: int
    clock_class: int
    clock_accuracy: int
    clock_variance: int
    priority2: int
    grandmaster: int
    steps_removed: int
    sender: PortIdentity
    receiver: PortIdentity

    @classmethod
    def from_announce(cls, announce: Announce, receiver: PortIdentity) -> ComparedDataSet:
        """The data set of an Announce that a port has received."""
        announced = {name: getattr(announce, name) for name in _ANNOUNCED}
        return cls(**announced, sender=announce.source, receiver=receiver)

    @property
    def quality(self) -> tuple[int, ...]:
        """The attributes that part 1 compares; the lesser is the better."""
        return msgspec.structs.astuple(self)[:_IN_PART_1]


_ANNOUNCED = ComparedDataSet.__struct_fields__[: ComparedDataSet.__struct_fields__.index("sender")]
_IN_PART_1 = ComparedDataSet.__struct_fields__.index("steps_removed")


class DataSetRelation(enum.IntEnum):
    """How the first of two data sets compares with the second. Positive is better."""

    BETTER = 2
    BETTER_BY_TOPOLOGY = 1
    """The same grandmaster, nearer or by the port with the lesser identity."""
    SAME = 0
    WORSE_BY_TOPOLOGY = -1
    WORSE = -2


def compare_data_sets(a: ComparedDataSet, b: ComparedDataSet) -> DataSetRelation:
    """Data set comparison (9.3.4): part 1 between grandmasters, part 2 between ways to the same one."""
    if a.grandmaster != b.grandmaster:
        return DataSetRelation.BETTER if a.quality < b.quality else DataSetRelation.WORSE
    if a.steps_removed != b.steps_removed:
        nearer, farther = (a, b) if a.steps_removed < b.steps_removed else (b, a)
        # One step apart, the identities of the farther one's receiver and sender say why (figure 35).
        by_topology = (
            farther.steps_removed - nearer.steps_removed == 1 and farther.receiver.clock > farther.sender.clock
        )
        result = DataSetRelation.BETTER_BY_TOPOLOGY if by_topology else DataSetRelation.BETTER
        return result if nearer is a else DataSetRelation(-result)
    key_a, key_b = (a.sender.clock, a.sender.port, a.receiver.port), (b.sender.clock, b.sender.port, b.receiver.port)
    if key_a == key_b:
        return DataSetRelation.SAME
    return DataSetRelation.BETTER_BY_TOPOLOGY if key_a < key_b else DataSetRelation.WORSE_BY_TOPOLOGY


def best_data_set(candidates: Iterable[ComparedDataSet]) -> ComparedDataSet | None:
    """The best of them (Erbest, which with one port is Ebest too); None where there are none."""
    ways: dict[int, ComparedDataSet] = {}
    for candidate in candidates:
        rival = ways.get(candidate.grandmaster)
        if rival is None or compare_data_sets(candidate, rival) > 0:
            ways[candidate.grandmaster] = candidate
    return min(ways.values(), key=lambda candidate: candidate.quality, default=None)
