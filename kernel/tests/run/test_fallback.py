"""A clock that stands in for another."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from phasegraph import ClockEstimate, ClockState
from phasegraph._run.fallback import FallbackClock
from phasegraph.testing import run_graph_now

S = 1_000_000_000


class Clock:
    def __init__(self, reference_ns: int, timescale: str = "ptp") -> None:
        self.value = ClockEstimate(
            local_ns=0,
            reference_ns=reference_ns,
            state=ClockState.LOCKED,
            bound_ns=1000.0,
            timescale=timescale,
            grandmaster="gm",
        )

        self.asked: Callable[[], object] = lambda: None

    def set(self, **fields: object) -> None:
        self.value = msgspec.structs.replace(self.value, **fields)

    def estimate(self) -> ClockEstimate:
        self.asked()
        return self.value


def watched(own: Clock, other: Clock, until_s: int, clock: FallbackClock | None = None) -> tuple[FallbackClock, list]:
    clock = clock or FallbackClock(own, other, after_ns=5 * S, began_ns=0)
    said = [(now, change) for now in range(until_s + 1) if (change := clock.update(now * S)) is not None]
    return clock, said


def test_a_locked_clock_is_read_itself() -> None:
    own, other = Clock(100), Clock(900)
    clock, said = watched(own, other, 60)
    assert said == []
    assert clock.estimate() is own.value


def test_without_lock_for_so_long_the_fallback_stands_in_and_the_clock_comes_back() -> None:
    own, other = Clock(100), Clock(900)
    own.set(state=ClockState.HOLDOVER)
    clock, said = watched(own, other, 10)
    assert said == [(5, "fallback_taken")]
    assert clock.active
    assert clock.estimate() == other.value  # 800 ns lie within the bounds: no discontinuity
    own.set(state=ClockState.LOCKED)
    assert clock.update(11 * S) == "fallback_left"
    assert clock.estimate() == own.value


def test_one_timescale_jumps_to_the_other_s_time_and_says_so() -> None:
    own, other = Clock(0), Clock(50_000)
    other.set(discontinuities=7)
    own.set(state=ClockState.UNLOCKED)
    clock, _ = watched(own, other, 6)
    assert clock.estimate().reference_at(6 * S) == other.value.reference_at(6 * S)
    assert clock.estimate().discontinuities == 1  # whatever the other counted before
    own.set(state=ClockState.LOCKED)
    clock.update(7 * S)
    assert clock.estimate().discontinuities == 2


def test_another_timescale_lends_its_rate_only() -> None:
    own, other = Clock(1234, "arb"), Clock(10**18)
    other.set(rate_ppb=2000.0)
    own.set(state=ClockState.HOLDOVER)
    clock, _ = watched(own, other, 5)
    assert clock.active
    assert clock.estimate().reference_at(5 * S) == own.value.reference_at(5 * S)
    assert clock.estimate().reference_at(6 * S) == own.value.reference_at(6 * S) + 2000
    assert clock.estimate().discontinuities == 0


def test_a_clock_that_never_heard_anything_takes_the_fallback_s_time() -> None:
    own, other = Clock(0, "arb"), Clock(10**18)
    own.set(state=ClockState.UNLOCKED, grandmaster="")
    clock, _ = watched(own, other, 5)
    assert clock.estimate().reference_ns == 10**18


def test_a_fallback_without_lock_does_not_stand_in() -> None:
    own, other = Clock(0), Clock(0)
    own.set(state=ClockState.HOLDOVER)
    other.set(state=ClockState.ACQUIRING)
    clock, said = watched(own, other, 20)
    assert said == []
    assert not clock.active


def test_readers_in_between_see_a_jump_and_its_count_together() -> None:
    own, other = Clock(0), Clock(50_000)
    own.set(state=ClockState.UNLOCKED)
    clock = FallbackClock(own, other, after_ns=5 * S, began_ns=0)
    seen = set()

    def read() -> None:
        # As another thread would, at any moment of the decision.
        own.asked = other.asked = lambda: None
        estimate = clock.estimate()
        seen.add((estimate.reference_ns, estimate.discontinuities))
        own.asked = other.asked = read

    own.asked = other.asked = read
    assert clock.update(5 * S) == "fallback_taken"
    own.set(state=ClockState.LOCKED)
    assert clock.update(6 * S) == "fallback_left"
    read()
    assert seen == {(0, 0), (50_000, 1), (0, 2)}


def test_in_a_graph() -> None:
    run = run_graph_now(
        """
        schema = 1
        [clocks.spare]
        kind = "sim-clock"
        [clocks.house]
        kind = "sim-clock"
        holdover-after = "3s"
        fallback = "spare"
        fallback-after = "2s"
        """,
        for_s=10,
    )
    assert [(event["node"], event["fallback"]) for event in run.events("fallback_taken")] == [("house", "spare")]
    assert run.metrics("house")["running_on"] == "spare"
    assert run.metrics("house")["state"] == "locked"
