"""The tracker: which samples make the clock, and what the clock claims while the leader's time steps."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from phasegraph import ClockEstimate, ClockState
from phasegraph_airplay_timing.engine import LeaderClock
from phasegraph_airplay_timing.filters import FILTERS, DelayExchange, FilterSolution, LeaderSync, TimingSample

MS, S = 10**6, 10**9
SYNC_NS = 125 * MS
STEP_AT_NS = 10 * S


def stepped(
    tracker: LeaderClock, step_ns: int, seconds: int, seed: int = 1, *, answers: bool = True
) -> Iterator[tuple[int, ClockEstimate, int]]:
    """A leader whose time steps: local time since the step, the estimate, and its error.

    With ``answers`` the arrival of its answers is known.
    """
    chance = random.Random(seed)
    for index in range(seconds * 8):
        now = (index + 1) * SYNC_NS
        offset = 5_000 * S + (step_ns if now > STEP_AT_NS else 0)
        there, back = (round((0.3 + chance.expovariate(5)) * MS) for _ in range(2))
        sync = LeaderSync(origin_ns=now - there + offset, arrived_ns=now, told_ns=now + 100_000)
        tracker.add_sample(sync)
        asked = now + 200_000
        answered = asked + back + 150_000 + there if answers else None
        tracker.add_sample(
            DelayExchange(sync=sync, asked_ns=asked, reached_ns=asked + back + offset, answered_ns=answered)
        )
        estimate = tracker.publish(answered or now + MS)
        yield now - STEP_AT_NS, estimate, estimate.reference_ns - estimate.local_ns - offset


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(
    "step_ms",
    [-20, 5, *(pytest.param(it, marks=pytest.mark.slow) for it in (-500, -99, -50, -5, -2, 2, 20, 50, 99, 150, 500))],
)
@pytest.mark.parametrize("answers", [False, True])
def test_a_step_of_the_leader_is_followed_as_one_discontinuity(name: str, step_ms: int, answers: bool) -> None:
    tracker = LeaderClock(FILTERS[name], silence_ns=2 * S, now_ns=0)
    tracker.set_leader("A", own=False)
    before = None
    for since_ns, estimate, error_ns in stepped(tracker, step_ms * MS, 20, answers=answers):
        if since_ns <= 0:
            before = estimate.discontinuities
        if since_ns > 4 * S:
            assert abs(error_ns) < MS
    assert before is not None
    assert tracker.estimate.discontinuities - before == 1


def test_spare_exchanges_do_not_make_a_clock_usable() -> None:
    tracker = LeaderClock(FILTERS["envelope"], silence_ns=2 * S, now_ns=0)
    tracker.set_leader("A", own=False)
    usable = []
    for spare in (True, False):
        for index in range(5):
            now = S + (5 * (not spare) + index) * SYNC_NS
            sync = LeaderSync(origin_ns=now - MS, arrived_ns=now, told_ns=now)
            tracker.add_sample(sync)
            tracker.add_sample(DelayExchange(sync=sync, asked_ns=now, reached_ns=now + MS, spare=spare))
        usable.append(tracker.publish(now + MS).grandmaster)
    assert usable == ["", "A"]


@pytest.mark.slow
def test_another_leader_is_not_locked_before_its_time_is_known() -> None:
    """The network's noise is known for more than a minute, the other leader's time is not."""
    tracker = LeaderClock(FILTERS["envelope"], silence_ns=2 * S, now_ns=0)
    chance = random.Random(1)
    states = []
    for index in range(8 * 100):
        if index % (8 * 80) == 0:
            tracker.set_leader("AB"[index > 0], own=False)
        now = (index + 1) * SYNC_NS
        offset = (5_000 if index < 8 * 80 else 9_000) * S
        there, back = (round((1 + chance.expovariate(1 / 8)) * MS) for _ in range(2))
        sync = LeaderSync(origin_ns=now - there + offset, arrived_ns=now, told_ns=now)
        tracker.add_sample(sync)
        tracker.add_sample(DelayExchange(sync=sync, asked_ns=now, reached_ns=now + back + offset))
        estimate = tracker.publish(now + MS)
        if estimate.grandmaster == "B":
            states.append(estimate.state)
    assert states[0] is ClockState.ACQUIRING
    assert states[-1] is ClockState.LOCKED


@pytest.mark.parametrize("step_ms", [-20, 5, *(pytest.param(it, marks=pytest.mark.slow) for it in (-99, -5, 20, 99))])
@pytest.mark.parametrize("answers", [False, True])
def test_the_bound_shows_a_step_before_it_is_followed(step_ms: int, answers: bool) -> None:
    tracker = LeaderClock(FILTERS["envelope"], silence_ns=2 * S, now_ns=0)
    tracker.set_leader("A", own=False)
    for since_ns, estimate, error_ns in stepped(tracker, step_ms * MS, 15, answers=answers):
        if since_ns > 500 * MS or since_ns < 0:
            assert abs(error_ns) <= estimate.bound_ns


def test_a_stray_sample_changes_nothing() -> None:
    tracker = LeaderClock(FILTERS["envelope"], silence_ns=2 * S, now_ns=0)
    tracker.set_leader("A", own=False)
    for since_ns, estimate, error_ns in stepped(tracker, 0, 30):
        if since_ns > 0:
            stray = LeaderSync(
                origin_ns=5_000 * S + STEP_AT_NS + since_ns + 50 * MS,
                arrived_ns=STEP_AT_NS + since_ns + 2 * MS,
                told_ns=STEP_AT_NS + since_ns + 2 * MS,
            )
            tracker.add_sample(stray)
            assert abs(error_ns) < MS
            assert estimate.state is ClockState.LOCKED
    assert tracker.misfits == 20 * 8
    assert tracker.estimate.discontinuities == 0


class NoisyFilter:
    """The truth is 0; its offset is another one every second."""

    SIGMA_NS = 1.5 * MS

    def __init__(self) -> None:
        chance = random.Random(1)
        self.offsets = [round(chance.gauss(0, self.SIGMA_NS)) for _ in range(100)]

    def add_sample(self, sample: TimingSample) -> None:
        """It needs none."""

    def solve(self, now_ns: int) -> FilterSolution:
        return FilterSolution(
            local_ns=now_ns,
            offset_ns=self.offsets[now_ns // S],
            rate=0.0,
            sigma_ns=self.SIGMA_NS,
            bound_ns=20.0 * MS,
            two_way=True,
            delay_ns=1.0 * MS,
        )


def test_a_clock_that_is_locked_by_patience_is_the_mean_of_its_fixes() -> None:
    filter = NoisyFilter()
    tracker = LeaderClock(lambda: filter, silence_ns=2 * S, now_ns=0)
    tracker.set_leader("A", own=False)
    squares = []
    for index in range(1, 8 * 95):
        now = index * SYNC_NS
        sync = LeaderSync(origin_ns=now - MS, arrived_ns=now, told_ns=now)
        tracker.add_sample(sync)
        tracker.add_sample(DelayExchange(sync=sync, asked_ns=now, reached_ns=now + MS))
        estimate = tracker.publish(now)
        if now > 65 * S:
            assert estimate.state is ClockState.LOCKED
            squares.append((estimate.reference_ns - now) ** 2)
    fixes = filter.offsets[65:95]
    assert sum(squares) / len(squares) < sum(offset**2 for offset in fixes) / len(fixes) / 4


@pytest.mark.parametrize(("name", "usable"), [("envelope", True), ("median", False)])
def test_only_the_envelope_uses_the_time_of_an_answer(name: str, usable: bool) -> None:
    tracker = LeaderClock(FILTERS[name], silence_ns=2 * S, now_ns=0)
    tracker.set_leader("A", own=False)
    for index in range(5):
        now = S + index * 98 * MS
        sync = LeaderSync(origin_ns=now - MS, arrived_ns=now, told_ns=now)
        tracker.add_sample(sync)
        asked, answered = now + MS, now + 25 * MS
        tracker.add_sample(DelayExchange(sync=sync, asked_ns=asked, reached_ns=asked + 20 * MS, answered_ns=answered))
    assert (tracker.publish(2 * S).grandmaster == "A") is usable
