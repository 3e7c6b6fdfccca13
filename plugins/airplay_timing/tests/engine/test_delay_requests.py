"""Delay requests under way: either order, once each, in bounded number."""

from __future__ import annotations

from collections import Counter

import pytest

from phasegraph_airplay_timing.engine.delay_requests import PATIENCE, DelayRequests
from phasegraph_airplay_timing.filters import DelayExchange, LeaderSync

S, MS = 10**9, 10**6
SYNC = LeaderSync(origin_ns=100 * S, arrived_ns=MS, told_ns=MS)


def questions() -> tuple[DelayRequests, Counter[str]]:
    dropped: Counter[str] = Counter()
    return DelayRequests(lambda reason: dropped.update([reason])), dropped


@pytest.mark.parametrize("answer_first", [False, True])
def test_departure_and_answer_in_either_order(answer_first: bool) -> None:
    asked, dropped = questions()
    asked.ask(5, 2 * MS, SYNC)
    steps = [lambda: asked.departed(5, 2 * MS), lambda: asked.answered(5, 100 * S + 3 * MS)]
    first, second = (step() for step in (reversed(steps) if answer_first else steps))
    assert first is None
    assert second == DelayExchange(sync=SYNC, asked_ns=2 * MS, reached_ns=100 * S + 3 * MS)
    assert second.round_trip_ns == 2 * MS
    assert not dropped


def test_the_first_answer_counts() -> None:
    asked, dropped = questions()
    asked.ask(5, 2 * MS, SYNC)
    assert asked.answered(5, 100 * S + 3 * MS) is None
    assert asked.answered(5, 100 * S + 50 * MS) is None
    found = asked.departed(5, 2 * MS)
    assert found is not None
    assert found.reached_ns == 100 * S + 3 * MS
    assert dropped == {"unasked": 1}


@pytest.mark.parametrize(
    ("round_trip_ns", "used"), [(-100_001, False), (-99_999, True), (0, True), (200 * MS, True), (200 * MS + 1, False)]
)
def test_round_trips_that_cannot_be(round_trip_ns: int, used: bool) -> None:
    asked, dropped = questions()
    asked.ask(5, 2 * MS, SYNC)
    asked.departed(5, 2 * MS)
    found = asked.answered(5, 100 * S + MS + round_trip_ns)
    assert (found is not None) == used
    assert dropped["round_trip"] == (not used)


@pytest.mark.parametrize("stamped_late_ns", [0, 4 * MS])
def test_the_arrival_of_an_answer_counts_if_it_can_be_true(stamped_late_ns: int) -> None:
    """Who stamps our questions later than it answers them says nothing by its answers."""
    asked, _ = questions()
    for number in range(PATIENCE):
        asked.ask(number, 2 * MS, SYNC)
        asked.departed(number, 2 * MS)
        # Each way takes 1 ms, and the answer leaves after 0.5 ms.
        found = asked.answered(number, 100 * S + 2 * MS + stamped_late_ns, answered_ns=4_500_000)
        assert found is not None
        assert found.answered_ns == (None if stamped_late_ns else 4_500_000)


def test_one_exchange_that_can_be_true_is_enough() -> None:
    """A slow Sync makes a round trip look long beside the answer's own."""
    asked, _ = questions()
    found = []
    for number, sync_delay_ns in enumerate((9 * MS, MS, 9 * MS)):
        sync = LeaderSync(origin_ns=100 * S, arrived_ns=sync_delay_ns, told_ns=sync_delay_ns)
        asked.ask(number, 10 * MS, sync)
        asked.departed(number, 10 * MS)
        found.append(asked.answered(number, 100 * S + 11 * MS, answered_ns=12_500_000))
    assert [exchange is not None and exchange.answered_ns for exchange in found] == [None, 12_500_000, 12_500_000]


def test_silence_is_noticed_and_ends_with_an_answer() -> None:
    asked, _ = questions()
    for number in range(PATIENCE + 1):
        assert asked.silent == (number > PATIENCE)
        asked.ask(number, number * 2 * S, SYNC)
    asked.expire(number * 2 * S)
    assert asked.silent
    asked.departed(number, 2 * MS)
    asked.answered(number, 100 * S + 3 * MS)
    assert not asked.silent


def test_a_spare_question_without_an_answer_is_no_silence() -> None:
    asked, _ = questions()
    assert not asked.answers
    for number in range(2 * PATIENCE):
        asked.ask(number, number * 2 * S, SYNC, spare=True)
    assert not asked.silent
    asked.departed(number, 2 * MS)
    assert asked.answered(number, 100 * S + 3 * MS) is not None
    assert asked.answers


def test_a_flood_of_questions_is_bounded() -> None:
    asked, _ = questions()
    for number in range(1000):
        asked.ask(number, number, SYNC)
    assert asked.answered(0, 0) is None
    assert asked.answered(999, 100 * S) is None
    assert asked.departed(999, MS) is not None
