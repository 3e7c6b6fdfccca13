"""Slices of work are begun where the data plane rests, and all the same where it never does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import trio

from phasegraph._control.rest_slices import PATIENCE_NS, RestSlices

US = 1_000
PERIOD_NS = 1_000 * US


@dataclass
class PeriodicSteps:
    """A data plane with a step each millisecond, which takes ``busy_ns``. Time passes in trio, in waits and in work."""

    busy_ns: int
    spent_ns: int = 0
    """In waits and in work."""
    met: list[int] = field(default_factory=list)
    """Slices that were not over when a step began."""

    @property
    def now_ns(self) -> int:
        return round(trio.current_time() * 1e9) + self.spent_ns

    def rest_ns(self) -> int:
        into = self.now_ns % PERIOD_NS
        return PERIOD_NS - into if into >= self.busy_ns else 0

    def wait_for_rest(self, least_ns: int, patience_s: float) -> int:
        ends_ns = self.now_ns + round(patience_s * 1e9)
        while self.rest_ns() < least_ns and self.now_ns < ends_ns:
            self.spent_ns += 10 * US
        return self.rest_ns() if self.rest_ns() >= least_ns else 0

    def working(self, took_ns: int) -> Callable[[], int]:
        """A slice of work."""

        def work() -> int:
            if self.rest_ns() < took_ns:
                self.met.append(self.now_ns)
            self.spent_ns += took_ns
            return took_ns

        return work


async def test_slices_fit_into_the_rests(autojump_clock) -> None:
    steps = PeriodicSteps(busy_ns=400 * US)
    slices = RestSlices(steps, lambda: steps.now_ns)
    began_ns, deadline_ns = steps.now_ns, slices.deadline_ns()
    for _ in range(50):
        assert await slices.do("nodes", steps.working(200 * US), deadline_ns) == 200 * US
    assert len(steps.met) <= 1, "the first may be longer than expected"
    assert steps.now_ns - began_ns < 30 * PERIOD_NS, "two in each rest"


async def test_what_a_kind_of_slice_takes_is_learned(autojump_clock) -> None:
    steps = PeriodicSteps(busy_ns=200 * US)
    slices = RestSlices(steps, lambda: steps.now_ns)
    for _ in range(20):
        await slices.do("long", steps.working(600 * US), slices.deadline_ns())
        await slices.do("short", steps.working(20 * US), slices.deadline_ns())
    learned = len(steps.met)
    for _ in range(100):
        await slices.do("long", steps.working(600 * US), slices.deadline_ns())
        await slices.do("short", steps.working(20 * US), slices.deadline_ns())
    assert len(steps.met) == learned < 10


async def test_one_slice_that_is_held_up_does_not_become_the_measure(autojump_clock) -> None:
    steps = PeriodicSteps(busy_ns=400 * US)
    slices = RestSlices(steps, lambda: steps.now_ns)
    for took_ns in [100 * US] * 10 + [50_000 * US] + [100 * US] * 10:
        began_ns = steps.now_ns
        await slices.do("nodes", steps.working(took_ns), slices.deadline_ns())
        assert steps.now_ns - began_ns - took_ns < 2 * PERIOD_NS


@pytest.mark.parametrize("busy_us", [1_000, 950])
async def test_a_job_is_done_where_there_is_no_rest(autojump_clock, busy_us: int) -> None:
    steps = PeriodicSteps(busy_ns=busy_us * US)
    slices = RestSlices(steps, lambda: steps.now_ns)
    began_ns, deadline_ns = steps.now_ns, slices.deadline_ns()
    for _ in range(100):
        await slices.do("nodes", steps.working(100 * US), deadline_ns)
    took_ns = steps.now_ns - began_ns
    assert PATIENCE_NS <= took_ns < PATIENCE_NS + 100 * 100 * US + 15 * PERIOD_NS
    assert steps.spent_ns < 100 * 100 * US + PATIENCE_NS // 5, "it leaves the data plane alone"


async def test_many_jobs_do_not_wait_more_than_one(autojump_clock) -> None:
    steps = PeriodicSteps(busy_ns=1_000 * US)
    slices = RestSlices(steps, lambda: steps.now_ns)
    began_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(slices.do, f"job {number}", steps.working(US), slices.deadline_ns())
    asleep_ns = (trio.current_time() - began_s) * 1e9
    assert steps.spent_ns < 0.3 * asleep_ns, "the control plane is held up for 2 ms of 12"


async def test_others_have_a_turn_while_it_waits(autojump_clock) -> None:
    steps, turns = PeriodicSteps(busy_ns=PERIOD_NS), []
    slices = RestSlices(steps, lambda: steps.now_ns)

    async def other() -> None:
        while True:
            turns.append(steps.now_ns)
            await trio.sleep(0.001)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await slices.do("nodes", steps.working(100 * US), slices.deadline_ns())
        nursery.cancel_scope.cancel()
    assert max(after - before for before, after in pairwise(turns)) <= 4 * PERIOD_NS
    assert len(turns) > 100
