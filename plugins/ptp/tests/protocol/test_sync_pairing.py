"""Sync and Follow_Up come together, whatever the network does to their order."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import StampKind
from phasegraph.ieee1588 import Flag, FollowUp, Sync
from phasegraph_ptp.measurements import SyncSample
from phasegraph_ptp.protocol.sync_pairing import WINDOW, ReceivedSync, SyncPairing, TimedSync

from .bench import GM, OTHER, Bench, S

NS = 1 << 16


def sync(sequence: int, **fields: object) -> ReceivedSync:
    values = {"flags": Flag.TWO_STEP, "correction": 3 * NS} | fields
    return ReceivedSync(Sync(source=GM, sequence=sequence & 0xFFFF, **values), 1000 + sequence, StampKind.KERNEL)


def follow_up(sequence: int, **fields: object) -> FollowUp:
    values = {"precise_origin_ns": 500 + sequence, "correction": 4 * NS} | fields
    return FollowUp(source=GM, sequence=sequence & 0xFFFF, **values)


class Pairing(SyncPairing):
    """Counts what it drops, and takes either message."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        super().__init__(lambda reason: self.dropped.update([reason]))

    def take(self, message: ReceivedSync | FollowUp) -> TimedSync | None:
        return self.follow_up(message) if isinstance(message, FollowUp) else self.sync(message)


@pytest.mark.parametrize("order", [(sync, follow_up), (follow_up, sync)])
def test_either_order(order: tuple[object, object]) -> None:
    pairing = Pairing()
    first, second = order
    assert pairing.take(first(7)) is None
    timed = pairing.take(second(7))
    assert timed == TimedSync(sync(7), 507, 7 * NS)
    assert len(pairing) == 0


def test_one_step() -> None:
    pairing = Pairing()
    timed = pairing.sync(sync(7, flags=0, origin_ns=123))
    assert timed is not None
    assert (timed.origin_ns, timed.correction) == (123, 3 * NS)
    assert pairing.follow_up(follow_up(7)) is None


@pytest.mark.parametrize(
    "copies", [(sync, sync, follow_up), (sync, follow_up, follow_up), (follow_up, follow_up, sync)]
)
def test_copies_are_dropped(copies: tuple[object, ...]) -> None:
    pairing = Pairing()
    timed = [pairing.take(message(7)) for message in (*copies, sync, follow_up)]
    assert sum(one is not None for one in timed) == 1
    assert pairing.dropped == {"duplicate": 3}


def test_what_lost_its_other_half_does_not_meet_a_namesake() -> None:
    pairing = Pairing()
    pairing.sync(sync(5))  # its Follow_Up is lost
    for sequence in range(6, 0x10000 + 5):
        assert pairing.sync(sync(sequence)) is None
        assert pairing.follow_up(follow_up(sequence)) is not None
    assert pairing.follow_up(follow_up(0x10000 + 5)) is None
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
    timed = [one for one in (pairing.take(message) for _, message in arriving) if one is not None]
    whole = {n // 2 for n in range(2 * count) if not {n & ~1, n | 1} & losses}
    assert sorted(one.received.local_ns - 1000 - first for one in timed) == sorted(whole)
    for one in timed:
        n = one.received.local_ns - 1000
        assert (one.origin_ns, one.correction) == (500 + n, 7 * NS)
    assert len(pairing) <= 2 * (2 * WINDOW + 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 0xFFFF)), max_size=300))
def test_memory_is_bounded(messages: list[tuple[bool, int]]) -> None:
    pairing = Pairing()
    for is_sync, sequence in messages:
        pairing.take(sync(sequence) if is_sync else follow_up(sequence))
        assert len(pairing) <= 2 * (2 * WINDOW + 1)


@pytest.mark.parametrize(
    ("correction", "reason"),
    [
        (-1_000 * NS, None),
        (-1_000 * NS - 1, "correction_negative"),
        (-(2**63), "correction_negative"),
        (10 * S * NS, None),
        (10 * S * NS + 1, "correction_huge"),
        (2**63 - 1, "correction_huge"),
    ],
)
def test_corrections_that_cannot_be_true(correction: int, reason: str | None) -> None:
    bench = Bench()
    bench.now_ns = S
    bench.announced()
    bench.synced(1, correction=correction)
    assert len(bench.samples) == (reason is None)
    if reason is not None:
        assert bench.dropped(reason) == 1


def test_a_sample_of_a_sync() -> None:
    bench = Bench()
    bench.now_ns = S
    bench.announced()
    bench.receive(Sync(source=GM, sequence=9, flags=Flag.TWO_STEP, correction=5, log_interval=-2), at_ns=S + 77)
    bench.receive(FollowUp(source=GM, sequence=9, precise_origin_ns=42, correction=-2), at_ns=S + 99)
    assert bench.samples == [
        SyncSample(reference_ns=42, local_ns=S + 77, correction=3, stamp=StampKind.KERNEL, interval_ns=S // 4)
    ]


@pytest.mark.parametrize("fields", [{"source": OTHER}, {"source": GM, "domain": 1}, {"source": GM, "major_sdo": 1}])
def test_the_syncs_of_others_are_nothing_to_us(fields: dict[str, object]) -> None:
    bench = Bench()
    bench.now_ns = S
    bench.announced()
    bench.receive(Sync(sequence=1, **fields))
    assert bench.samples == []
