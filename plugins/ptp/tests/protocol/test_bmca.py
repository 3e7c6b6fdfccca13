"""The best master clock algorithm: tables of the standard's flow charts, and the properties of an order."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from phasegraph.ieee1588 import (
    ComparedDataSet,
    DataSetRelation,
    PortIdentity,
    best_data_set,
    compare_data_sets,
)
from phasegraph_ptp.protocol.bmca import Recommended, recommend

HERE = PortIdentity(0x50, 1)
BASE = ComparedDataSet(
    priority1=128,
    clock_class=248,
    clock_accuracy=0x31,
    clock_variance=0x4000,
    priority2=128,
    grandmaster=0x80,
    steps_removed=0,
    sender=PortIdentity(0x80, 1),
    receiver=HERE,
)


@pytest.mark.parametrize(
    "better",
    [
        {"priority1": 127, "clock_class": 255, "clock_accuracy": 0xFE, "clock_variance": 0xFFFF, "priority2": 255},
        {"clock_class": 247, "clock_accuracy": 0xFE, "clock_variance": 0xFFFF, "priority2": 255},
        {"clock_accuracy": 0x30, "clock_variance": 0xFFFF, "priority2": 255},
        {"clock_variance": 0x3FFF, "priority2": 255},
        {"priority2": 127},
        {},
    ],
    ids=["priority1", "class", "accuracy", "variance", "priority2", "identity"],
)
def test_between_grandmasters_the_first_difference_decides(better: dict[str, int]) -> None:
    identity = 0x7F if not better else 0x81
    # However far away it is: steps do not count between grandmasters.
    a = replace(BASE, **better, grandmaster=identity, sender=PortIdentity(identity, 1), steps_removed=9)
    assert compare_data_sets(a, BASE) is DataSetRelation.BETTER
    assert compare_data_sets(BASE, a) is DataSetRelation.WORSE


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"steps_removed": 1}, {"steps_removed": 3}, DataSetRelation.BETTER),
        ({"steps_removed": 1}, {"steps_removed": 2, "sender": PortIdentity(0x60, 1)}, DataSetRelation.BETTER),
        (
            {"steps_removed": 1},
            {"steps_removed": 2, "sender": PortIdentity(0x40, 1)},
            DataSetRelation.BETTER_BY_TOPOLOGY,
        ),
        ({"sender": PortIdentity(0x70, 2)}, {"sender": PortIdentity(0x71, 1)}, DataSetRelation.BETTER_BY_TOPOLOGY),
        ({"sender": PortIdentity(0x70, 1)}, {"sender": PortIdentity(0x70, 2)}, DataSetRelation.BETTER_BY_TOPOLOGY),
        ({"receiver": PortIdentity(0x50, 1)}, {"receiver": PortIdentity(0x50, 2)}, DataSetRelation.BETTER_BY_TOPOLOGY),
        ({}, {}, DataSetRelation.SAME),
    ],
)
def test_between_ways_to_one_grandmaster(a: dict[str, object], b: dict[str, object], expected: DataSetRelation) -> None:
    first, second = replace(BASE, **a), replace(BASE, **b)
    assert compare_data_sets(first, second) is expected
    assert compare_data_sets(second, first) == -expected


def test_of_one_grandmaster_the_nearer_description_holds() -> None:
    # It has just been given a poor priority; a boundary clock still says the old one.
    direct = replace(BASE, priority1=200)
    stale = replace(BASE, priority1=1, steps_removed=1, sender=PortIdentity(0x90, 1))
    assert compare_data_sets(direct, stale) > 0


small = st.integers(0, 2)
grandmasters = st.lists(
    st.tuples(small, small, small, small, small), min_size=4, max_size=4
)  # of identities 0, 1, 2 and 3


@st.composite
def candidates(draw: st.DrawFn, count: int, *, consistent: bool) -> list[ComparedDataSet]:
    """Close together, so that every rule comes to decide. Consistent: one set of attributes per grandmaster."""
    described = draw(grandmasters)
    result = []
    for _ in range(count):
        identity = draw(st.integers(0, 3))
        attributes = described[identity] if consistent else draw(st.tuples(small, small, small, small, small))
        names = ("priority1", "clock_class", "clock_accuracy", "clock_variance", "priority2")
        result.append(
            ComparedDataSet(
                **dict(zip(names, attributes, strict=True)),
                grandmaster=identity,
                steps_removed=draw(st.integers(0, 3)),
                sender=PortIdentity(draw(st.integers(4, 7)), draw(st.integers(1, 2))),
                receiver=PortIdentity(5, draw(st.integers(1, 2))),
            )
        )
    return result


@given(candidates(3, consistent=True))
def test_it_is_a_total_order(three: list[ComparedDataSet]) -> None:
    a, b, c = three
    assert compare_data_sets(a, b) == -compare_data_sets(b, a)
    if compare_data_sets(a, b) > 0 and compare_data_sets(b, c) > 0:
        assert compare_data_sets(a, c) > 0
    if compare_data_sets(a, b) == 0:
        assert compare_data_sets(a, c) == compare_data_sets(b, c)
        # Only what cannot be told apart is equal.
        assert (a.grandmaster, a.steps_removed, a.sender, a.receiver.port) == (
            b.grandmaster,
            b.steps_removed,
            b.sender,
            b.receiver.port,
        )


@given(candidates(5, consistent=True))
def test_the_best_is_better_than_all_others(five: list[ComparedDataSet]) -> None:
    choice = best_data_set(five)
    assert choice is not None
    assert all(compare_data_sets(choice, other) >= 0 for other in five)


@given(candidates(3, consistent=False))
def test_the_choice_does_not_depend_on_the_order_of_arrival(three: list[ComparedDataSet]) -> None:
    # Even while grandmasters are described in several ways, and pairs form a circle.
    each_its_own = [replace(one, sender=PortIdentity(one.sender.clock, place)) for place, one in enumerate(three)]
    assert len({best_data_set(order) for order in permutations(each_its_own)}) == 1


def test_without_candidates_there_is_no_best() -> None:
    assert best_data_set([]) is None


@pytest.mark.parametrize(
    ("own", "heard", "expected"),
    [
        ({}, None, Recommended.MASTER),
        ({"clock_class": 6}, None, Recommended.MASTER),
        ({"priority1": 1}, {}, Recommended.MASTER),
        ({"priority1": 1, "clock_class": 6}, {}, Recommended.MASTER),
        ({"priority1": 200}, {}, Recommended.SLAVE),
        ({"priority1": 200, "clock_class": 128}, {}, Recommended.SLAVE),
        ({"priority1": 200, "clock_class": 127}, {}, Recommended.PASSIVE),
        ({"priority1": 200, "clock_class": 1}, {}, Recommended.PASSIVE),
    ],
)
def test_state_decision(own: dict[str, int], heard: dict[str, int] | None, expected: Recommended) -> None:
    ourselves = replace(BASE, **own, grandmaster=0x50, sender=HERE)
    assert recommend(ourselves, None if heard is None else replace(BASE, **heard)) is expected
