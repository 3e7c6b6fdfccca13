"""The clock in ``kernel simulate``: its own protocol, against a grandmaster that the test knows the truth of."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from phasegraph import Build, ClockState, NodeContext
from phasegraph.testing import SimLocalClock, true_now_ns
from phasegraph_airplay_timing.node import KIND
from phasegraph_airplay_timing.options import AirplayConfig

S = 10**9


class Truth:
    """A `SimulatedReference`."""

    def __init__(self) -> None:
        self.grandmaster = "02-00-00-FF-FE-00-00-00"
        self.silent = False
        self.epoch_ns = 1_790_000_000 * S
        self.answers = True
        self.told: list[str] = []

    def shows_ns(self) -> int:
        return self.epoch_ns + true_now_ns()

    def way_here_ns(self) -> int | None:
        return None if self.silent else 700_000

    def way_there_ns(self) -> int | None:
        return 700_000 if self.answers and not self.silent else None


@pytest.fixture
async def world(nursery: trio.Nursery) -> tuple[Any, Truth, Callable[[], int]]:
    """The clock, the truth, and by how much the one misses the other."""
    local, truth = SimLocalClock(ppm=30), Truth()

    async def sleep(duration_ns: int) -> None:
        await trio.sleep(duration_ns / 1e9)

    build = cast(Build, SimpleNamespace(id="it", local=local))
    ctx = SimpleNamespace(id="it", local=local, sleep=sleep, event=lambda name, **fields: truth.told.append(name))
    assert KIND.simulated is not None
    clock: Any = KIND.simulated(AirplayConfig(interface="eth0"), build, truth)
    await nursery.start(clock.run, cast(NodeContext, ctx))
    return clock, truth, lambda: abs(clock.estimate().reference_at(local.now_ns()) - truth.shows_ns())


async def test_it_finds_the_time_by_its_own_messages(world: Any, autojump_clock: object) -> None:
    clock, truth, error_ns = world
    for _ in range(40):
        assert clock.estimate().bound_ns >= error_ns()
        await trio.sleep(0.1)
    estimate = clock.estimate()
    assert (estimate.state, estimate.grandmaster) == (ClockState.LOCKED, truth.grandmaster)
    assert error_ns() < 1_000
    assert 690_000 < estimate.path_delay_ns < 710_000
    assert clock.metrics()["exchanges"] > 20
    assert truth.told == ["following", "ready"]


async def test_silence_another_grandmaster_and_no_answers(world: Any, autojump_clock: object) -> None:
    clock, truth, error_ns = world
    await trio.sleep(10)
    truth.silent = True
    await trio.sleep(5)
    assert clock.estimate().state is ClockState.HOLDOVER
    truth.silent, truth.grandmaster, truth.epoch_ns = False, "02-00-00-FF-FE-00-00-01", 5 * S
    await trio.sleep(10)
    estimate = clock.estimate()
    assert (estimate.state, estimate.grandmaster) == (ClockState.LOCKED, truth.grandmaster)
    assert estimate.discontinuities == 1
    assert error_ns() < 1_000
    truth.answers = False
    await trio.sleep(20)
    assert clock.metrics()["one_way"] == 1
