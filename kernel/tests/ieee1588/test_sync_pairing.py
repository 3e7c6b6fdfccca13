"""Sync and Follow_Up come together, whatever the network does to their order."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph.ieee1588 import Flag, FollowUp, PortIdentity, Sync, SyncPairing, TimedSync
from phasegraph.ieee1588.sync_pairing import WINDOW

NS = 1 << 16
GM = PortIdentity(0x02_00_00_00_00_00_00_AA, 1)


def sync(sequence: int, **fields: object) -> tuple[Sync, int]:
    values = {"flags": Flag.TWO_STEP, "correction": 3 * NS} | fields
    return Sync(source=GM, sequence=sequence & 0xFFFF, **values), 1000 + sequence


def follow_up(sequence: int, **fields: object) -> FollowUp:
    values = {"precise_origin_ns": 500 + sequence, "correction": 4 * NS} | fields
    return FollowUp(source=GM, sequence=sequence & 0xFFFF, **values)


class Pairing(SyncPairing[int]):
    """Counts what it drops, and accepts either message."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        super().__init__(lambda reason: self.dropped.update([reason]))

    def add(self, message: tuple[Sync, int] | FollowUp) -> TimedSync[int] | None:
        return self.add_follow_up(message) if isinstance(message, FollowUp) else self.add_sync(*message)


@pytest.mark.parametrize("order", [(sync, follow_up), (follow_up, sync)])
def test_either_order(order: tuple[object, object]) -> None:
    pairing = Pairing()
    first, second = order
    assert pairing.add(first(7)) is None
    timed = pairing.add(second(7))
    assert timed == TimedSync(7, 1007, 507, 3 * NS, 4 * NS)
    assert len(pairing) == 0


def test_one_step() -> None:
    pairing = Pairing()
    timed = pairing.add(sync(7, flags=0, origin_ns=123))
    assert timed is not None
    assert (timed.origin_ns, timed.correction) == (123, 3 * NS)
    assert pairing.add(follow_up(7)) is None


@pytest.mark.parametrize(
    "copies", [(sync, sync, follow_up), (sync, follow_up, follow_up), (follow_up, follow_up, sync)]
)
def test_copies_are_dropped(copies: tuple[object, ...]) -> None:
    pairing = Pairing()
    timed = [pairing.add(message(7)) for message in (*copies, sync, follow_up)]
    assert sum(one is not None for one in timed) == 1
    assert pairing.dropped == {"duplicate": 3}


@pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_what_lost_its_other_half_does_not_meet_a_namesake(step: int) -> None:
    pairing = Pairing()
    pairing.add(sync(5))  # its Follow_Up is lost
    for sequence in range(6, 0x10000 + 5, step):
        assert pairing.add(sync(sequence)) is None
        assert pairing.add(follow_up(sequence)) is not None
    assert pairing.add(follow_up(0x10000 + 5)) is None
    assert pairing.dropped == {"unpaired": 1}


@given(
    first=st.integers(0, 0xFFFF),
    count=st.integers(1, 60),
    displacement=st.integers(0, 6),
    losses=st.sets(st.integers(0, 119)),
    copies=st.sets(st.integers(0, 119)),
    seed=st.integers(0, 99),
)
def test_disorder(first: int, count: int, displacement: int, losses: set[int], copies: set[int], seed: int) -> None:
    """Every Sync with both halves is timed once, rightly, if neither is displaced by more than the window."""
    messages = [half(first + n) for n in range(count) for half in (sync, follow_up)]
    arriving = [(n, message) for n, message in enumerate(messages) if n not in losses]
    arriving += [(n, message) for n, message in arriving if n in copies]
    random = Random(seed)
    arriving.sort(key=lambda item: item[0] + random.uniform(0, 2 * displacement))
    pairing = Pairing()
    timed = [one for one in (pairing.add(message) for _, message in arriving) if one is not None]
    whole = {n // 2 for n in range(2 * count) if not {n & ~1, n | 1} & losses}
    assert sorted(one.arrival - 1000 - first for one in timed) == sorted(whole)
    for one in timed:
        n = one.arrival - 1000
        assert (one.origin_ns, one.correction) == (500 + n, 7 * NS)
    assert len(pairing) <= 2 * (2 * WINDOW + 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 0xFFFF)), max_size=300))
def test_memory_is_bounded(messages: list[tuple[bool, int]]) -> None:
    pairing = Pairing()
    for is_sync, sequence in messages:
        pairing.add(sync(sequence) if is_sync else follow_up(sequence))
        assert len(pairing) <= 2 * (2 * WINDOW + 1)
