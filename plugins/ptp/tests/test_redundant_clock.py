"""One clock on both interfaces of a redundant pair, in virtual time: a path that is lost, and one that is lopsided."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from phasegraph import ClockState
from phasegraph.testing import (
    GraphRun,
    Impairment,
    SimLocalClock,
    SimNetwork,
    SimWire,
    Stamping,
    running_graph,
    true_now_ns,
)

FRAME_TENTH_NS = 2_083
GRANDMASTERS = """
schema = 1
[clocks.truth]
kind = "sim-clock"
[clocks.a]
kind = "ptp"
role = "grandmaster"
interface = "eth0"
reference = "truth"
[clocks.b]
kind = "ptp"
role = "grandmaster"
interface = "eth1"
reference = "truth"
"""
FOLLOWER = """
schema = 1
[clocks.me]
kind = "ptp"
interface = ["eth0", "eth1"]
"""


class Pair:
    """A host that serves both networks, one that follows on both, and what lies between."""

    def __init__(self, master: GraphRun, me: GraphRun, near: SimNetwork, far: SimNetwork, wire: SimWire) -> None:
        self.master, self.me, self.near, self.far, self._wire = master, me, near, far, wire

    @property
    def metrics(self) -> dict[str, Any]:
        return dict(self.me.nodes["me"].metrics())

    def change_path(self, interface: str, *, there: Impairment | None = None, cut: bool | None = None) -> None:
        ways = [self._wire.link(self.near, self.far, interface), self._wire.link(self.far, self.near, interface)]
        if there is not None:
            ways[0].impairment = there
        if cut is not None:
            for way in ways:
                way.impairment = msgspec.structs.replace(way.impairment, loss=1.0 if cut else 0.0)

    async def watch(self, seconds: float) -> tuple[float, int, set[ClockState]]:
        """The largest error, how often it was beyond the bound, and the states, until then."""
        worst, outside, states = 0.0, 0, set()
        for _ in range(round(seconds * 10)):
            await trio.sleep(0.1)
            estimate = self.me.nodes["me"].estimate()
            error_ns = abs(
                estimate.reference_at(self.me.local.now_ns()) - self.master.nodes["truth"].true_reference(true_now_ns())
            )
            worst, outside = max(worst, error_ns), outside + (error_ns > estimate.bound_ns)
            states.add(estimate.state)
        return worst, outside, states


@asynccontextmanager
async def pair(follower: str = "", *, jitter_ns: int = 500) -> AsyncIterator[Pair]:
    wire = SimWire(impairment=Impairment(delay_ns=8_000, jitter_ns=jitter_ns), separate=("eth0", "eth1"))
    stamping = Stamping()
    near = SimNetwork(SimLocalClock(ppm=-20), wire, stamping=stamping)
    far = SimNetwork(SimLocalClock(ppm=30, epoch_ns=7), wire, stamping=stamping)
    async with (
        running_graph(GRANDMASTERS, network=near) as master,
        running_graph(FOLLOWER + follower, network=far) as me,
    ):
        yield Pair(master, me, near, far, wire)


@pytest.mark.slow
async def test_it_locks_on_both_and_a_lost_path_is_not_heard(autojump_clock: Any) -> None:
    async with pair() as both:
        await trio.sleep(25)
        assert both.metrics["paths_used"] == 2
        assert "trouble" not in both.metrics
        for interface, used in (("eth0", 1), ("eth1", 1)):
            both.change_path(interface, cut=True)
            worst, outside, states = await both.watch(15)
            assert (worst < FRAME_TENTH_NS, outside, states) == (True, 0, {ClockState.LOCKED}), worst
            assert both.metrics["paths_used"] == used
            assert both.metrics["trouble"].startswith(f"{interface}: ")
            both.change_path(interface, cut=False)
            worst, outside, states = await both.watch(15)
            assert (worst < FRAME_TENTH_NS, outside, states) == (True, 0, {ClockState.LOCKED}), worst
            assert both.metrics["paths_used"] == 2
            assert "trouble" not in both.metrics


@pytest.mark.slow
async def test_without_both_it_holds_over_and_comes_back_within_its_bound(autojump_clock: Any) -> None:
    async with pair() as both:
        await trio.sleep(20)
        for interface in ("eth0", "eth1"):
            both.change_path(interface, cut=True)
        _, outside, states = await both.watch(20)
        assert outside == 0
        assert ClockState.HOLDOVER in states
        for interface in ("eth0", "eth1"):
            both.change_path(interface, cut=False)
        _, outside, _ = await both.watch(20)
        assert outside == 0
        assert both.me.nodes["me"].estimate().state is ClockState.LOCKED


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["eth0", "eth1"])
async def test_a_path_that_becomes_lopsided_by_5_us_is_named_within_a_minute(
    autojump_clock: Any, interface: str
) -> None:
    async with pair() as both:
        await trio.sleep(25)
        both.change_path(interface, there=Impairment(delay_ns=13_000, jitter_ns=500))
        worst, outside, states = await both.watch(60)
        assert (outside, states) == (0, {ClockState.LOCKED})
        assert worst < 3_000
        assert f"the path of {interface} became lopsided by" in both.metrics["trouble"], both.metrics
        named_us = float(both.metrics["trouble"].partition("lopsided by ")[2].split()[0])
        assert 4 < named_us < 6
        both.change_path(interface, there=Impairment(delay_ns=8_000, jitter_ns=500))
        await trio.sleep(50)
        assert "trouble" not in both.metrics


@pytest.mark.slow
async def test_a_path_that_was_always_lopsided_is_seen(autojump_clock: Any) -> None:
    async with pair() as both:
        both.change_path("eth1", there=Impairment(delay_ns=13_000, jitter_ns=500))
        await trio.sleep(60)
        assert "a path is lopsided by" in both.metrics["trouble"]
        assert "rather the longer one, eth1" in both.metrics["trouble"]


@pytest.mark.slow
async def test_an_unplugged_interface_is_a_lost_path(autojump_clock: Any) -> None:
    async with pair() as both:
        await trio.sleep(20)
        both.far.unplug("eth1")
        worst, outside, states = await both.watch(15)
        assert (worst < FRAME_TENTH_NS, outside, states) == (True, 0, {ClockState.LOCKED})
        assert "eth1" in both.metrics["trouble"]
        both.far.plug("eth1")
        await trio.sleep(30)
        assert both.metrics["paths_used"] == 2


@pytest.mark.slow
async def test_loss_on_both_paths_is_within_the_bound(autojump_clock: Any) -> None:
    async with pair(jitter_ns=5_000) as both:
        for interface in ("eth0", "eth1"):
            both.change_path(interface, there=Impairment(delay_ns=8_000, jitter_ns=5_000, loss=0.2, loss_burst=3))
        await trio.sleep(20)
        worst, outside, states = await both.watch(40)
        assert (outside, states) == (0, {ClockState.LOCKED})
        assert worst < 5_000
