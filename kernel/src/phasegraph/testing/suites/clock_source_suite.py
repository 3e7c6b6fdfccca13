"""Requirements for every clock source: a true bound, an estimate at any time, no unannounced step backwards."""

from __future__ import annotations

from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock

from ..._core.clock import UNKNOWN_NS, ClockEstimate, ClockState
from ...simulation.local_clock import SimLocalClock, true_now_ns
from ..graph_runs import GraphRun, running_graph
from .node_suite import NodeSuite
from .suite_base import World

_EVERY_S = 0.05
_TICK_NS = 2
"""Rounding of a simulated clock and of an estimate."""


class ClockSourceSuite(NodeSuite):
    """Checks of a clock source; those of `NodeSuite` are among them. A subclass gives the fixture ``options``.

    What the reference truly shows only its author can know: override `true_reference` and `step`.
    """

    role = "clocks"
    lock_s: ClassVar[float] = 60.0
    """It must lock within this time, in seconds."""
    watch_s: ClassVar[float] = 20.0
    """How long it is observed after lock, in seconds."""

    def true_reference(self, run: GraphRun, true_ns: int) -> int | None:
        """The reference's time at a true time; None skips the test of the bound."""
        return None

    def step(self, run: GraphRun) -> int | None:
        """Step the reference now; returns the step in nanoseconds. None skips the test of steps."""
        return None

    @pytest.mark.trio
    async def test_estimate_is_there_at_once(self, world: World, autojump_clock: MockClock) -> None:
        """``estimate()`` returns before, during and after the run, and is constant while no time passes."""
        async with running_graph(world.graph(), **world.session_options) as run:
            clock = run.nodes["it"]
            first = clock.estimate()
            assert isinstance(first, ClockEstimate)
            assert clock.estimate() == first
            if first.state is ClockState.UNLOCKED:
                assert first.bound_ns >= UNKNOWN_NS, "who knows nothing promises nothing"
            await trio.sleep(1)
        assert isinstance(clock.estimate(), ClockEstimate)

    @pytest.mark.trio
    async def test_locks(self, world: World, autojump_clock: MockClock) -> None:
        """It is locked within ``lock_s``."""
        async with running_graph(world.graph(), **world.session_options) as run:
            await self._locked(run)

    async def _locked(self, run: GraphRun) -> None:
        deadline = trio.current_time() + self.lock_s
        while run.nodes["it"].estimate().state is not ClockState.LOCKED:
            assert trio.current_time() < deadline, f"not locked within {self.lock_s:g} s"
            await trio.sleep(_EVERY_S)

    @pytest.mark.trio
    async def test_reference_runs_forwards(self, world: World, autojump_clock: MockClock) -> None:
        """The reference time increases between readings unless a discontinuity is counted; anchors never go back."""
        async with running_graph(world.graph(), **world.session_options) as run:
            await self._locked(run)
            before, reading = run.nodes["it"].estimate(), 0
            for _ in range(round(self.watch_s / _EVERY_S)):
                await trio.sleep(_EVERY_S)
                estimate = run.nodes["it"].estimate()
                now = estimate.reference_at(run.local.now_ns())
                assert estimate.local_ns >= before.local_ns
                assert estimate.discontinuities >= before.discontinuities
                if estimate.discontinuities == before.discontinuities:
                    assert now > reading
                before, reading = estimate, now

    @pytest.mark.trio
    async def test_bound_covers_the_truth(self, world: World, autojump_clock: MockClock) -> None:
        """While it is locked, the error never exceeds the published bound, and rarely three sigmas."""
        async with running_graph(world.graph(), **world.session_options) as run:
            await self._locked(run)
            errors = []
            for _ in range(round(self.watch_s / _EVERY_S)):
                await trio.sleep(_EVERY_S)
                truth = self.true_reference(run, true_now_ns())
                if truth is None:
                    pytest.skip("the suite does not know this clock's truth: override true_reference")
                estimate = run.nodes["it"].estimate()
                if estimate.state is ClockState.LOCKED:
                    error = abs(estimate.reference_at(run.local.now_ns()) - truth)
                    assert error <= estimate.bound_ns + _TICK_NS, f"wrong by {error} ns, bound {estimate.bound_ns}"
                    errors.append(error <= 3 * estimate.sigma_ns + _TICK_NS)
        assert errors.count(True) >= 0.95 * len(errors), "sigma is too small"

    @pytest.mark.trio
    async def test_steps_are_counted(self, world: World, autojump_clock: MockClock) -> None:
        """A step of the reference is followed and counted as a discontinuity; nothing else is counted."""
        async with running_graph(world.graph(), **world.session_options) as run:
            await self._locked(run)
            clock, local = run.nodes["it"], run.local
            assert isinstance(local, SimLocalClock)
            await trio.sleep(5)
            before = clock.estimate()
            step_ns = self.step(run)
            if step_ns is None:
                pytest.skip("the suite cannot step this clock's reference: override step")
            await trio.sleep(self.lock_s)
            after = clock.estimate()
            assert after.discontinuities > before.discontinuities
            now = local.now_ns()
            moved = after.reference_at(now) - before.reference_at(now)
            assert abs(moved - step_ns) < max(1_000_000, abs(step_ns) // 1000)
