"""The clock ``nqptp``: what a server has written is a clock again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio

from phasegraph import ClockEstimate, ClockState
from phasegraph.testing import (
    ClockSourceSuite,
    GraphRun,
    SimLocalClock,
    SimNetwork,
    run_graph,
    running_graph,
    true_now_ns,
)
from phasegraph_airplay_timing.nqptp.nqptp_record import NqptpRecord
from phasegraph_airplay_timing.nqptp.nqptp_server import NqptpServer
from phasegraph_airplay_timing.nqptp.shared_memory import MemoryWriter
from phasegraph_airplay_timing.server_options import NqptpServerOptions

S = 10**9
CLOCK = 0x0499_B9B7_E0F1_0008


class Writer:
    """Writes eight times a second, as nqptp does; the truth is known."""

    def __init__(self, directory: Path, local: SimLocalClock) -> None:
        self.memory = MemoryWriter("/nqptp", str(directory), now_ns=0)
        self.local = local
        self.epoch_ns = 5_000 * S
        self.clock = CLOCK
        self.since_ns = local.now_ns()

    def time_ns(self, true_ns: int) -> int:
        return self.epoch_ns + true_ns - true_ns * 9 // 1_000_000

    async def run(self) -> None:
        while True:
            now = self.local.now_ns()
            offset = self.time_ns(true_now_ns()) - now
            self.memory.write(NqptpRecord(clock=self.clock, local_ns=now, offset_ns=offset, since_ns=self.since_ns))
            await trio.sleep(0.125)


@pytest.fixture
async def writer(wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path) -> Writer:
    made = Writer(tmp_path, wired.local)
    nursery.start_soon(made.run)
    return made


def options(directory: Path, bound: str = "500us") -> str:
    return f'kind = "nqptp"\ndirectory = "{directory}"\nbound = "{bound}"'


def graph(*arguments: Any) -> str:
    return f"schema = 1\n[clocks.it]\n{options(*arguments)}\n"


class TestNqptpClock(ClockSourceSuite):
    lock_s = 10.0
    seen: ClassVar[Any]

    @pytest.fixture
    def network(self, wired: SimNetwork) -> SimNetwork:
        return wired

    @pytest.fixture
    def options(self, writer: Writer, tmp_path: Path) -> str:
        type(self).seen = writer
        return options(tmp_path)

    def true_reference(self, run: GraphRun, true_ns: int) -> int:
        return int(self.seen.time_ns(true_ns))

    def step(self, run: GraphRun) -> int:
        self.seen.epoch_ns += 700_000_000
        return 700_000_000


async def test_without_a_bound_it_is_not_locked(
    writer: Writer, wired: SimNetwork, tmp_path: Path, autojump_clock: object
) -> None:
    run = await run_graph(graph(tmp_path, "100ms"), network=wired, for_s=20)
    estimate = run.nodes["it"].estimate()
    assert estimate.state is ClockState.ACQUIRING
    assert estimate.grandmaster.replace("-", "") == f"{CLOCK:016X}"
    assert estimate.bound_ns >= 100_000_000
    assert abs(estimate.rate_ppb + 27_000) < 1_000  # the reference is 9 ppm slow, local time 18 ppm fast


async def test_another_leader_is_met_with_holdover(
    writer: Writer, wired: SimNetwork, tmp_path: Path, autojump_clock: object
) -> None:
    async with running_graph(graph(tmp_path), network=wired) as run:
        it = run.nodes["it"]
        await trio.sleep(10)
        assert it.estimate().state is ClockState.LOCKED
        writer.clock, writer.epoch_ns, writer.since_ns = CLOCK + 1, 90_000 * S, wired.local.now_ns()
        await trio.sleep(1)
        assert it.estimate().state is ClockState.HOLDOVER
        await trio.sleep(5)
        estimate: ClockEstimate = it.estimate()
        assert (estimate.state, estimate.discontinuities) == (ClockState.LOCKED, 1)
        assert abs(estimate.reference_at(wired.local.now_ns()) - writer.time_ns(true_now_ns())) < estimate.bound_ns


async def test_a_server_that_is_not_there_is_waited_for(
    wired: SimNetwork, tmp_path: Path, nursery: trio.Nursery, autojump_clock: object
) -> None:
    async with running_graph(graph(tmp_path), network=wired) as run:
        await trio.sleep(3)
        assert run.nodes["it"].estimate().state is ClockState.UNLOCKED
        assert run.nodes["it"].metrics()["served"] == 0
        nursery.start_soon(Writer(tmp_path, wired.local).run)
        await trio.sleep(5)
        assert run.nodes["it"].estimate().state is ClockState.LOCKED
    assert "No such file" in run.events("unserved")[0]["reason"]
    assert len(run.events("served")) == 1


async def test_a_leader_is_not_believed_before_others_believe_it(
    wired: SimNetwork, tmp_path: Path, autojump_clock: object
) -> None:
    memory = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    async with running_graph(graph(tmp_path), network=wired) as run:
        for _ in range(40):
            now = wired.local.now_ns()
            memory.write(NqptpRecord(clock=CLOCK, local_ns=now, offset_ns=7, since_ns=now - 390_000_000))
            await trio.sleep(0.125)
        assert run.nodes["it"].estimate().grandmaster == ""
    memory.close()


async def test_what_was_written_long_ago_is_no_time(wired: SimNetwork, tmp_path: Path, autojump_clock: object) -> None:
    memory = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    async with running_graph(graph(tmp_path), network=wired) as run:
        for far_ns in range(20 * S, 26 * S, S // 4):
            at = wired.local.now_ns() + far_ns
            memory.write(NqptpRecord(clock=CLOCK, local_ns=at, offset_ns=7, since_ns=at - S))
            await trio.sleep(0.25)
        assert run.nodes["it"].estimate().state is not ClockState.LOCKED
        assert run.nodes["it"].metrics()["records_elsewhen"] > 20
    memory.close()


@pytest.mark.parametrize("server", ["airptp", "cliairplay"])
async def test_the_time_of_the_other_programs_is_a_clock_too(
    wired: SimNetwork, tmp_path: Path, nursery: trio.Nursery, autojump_clock: object, server: str
) -> None:
    served = NqptpServer(
        NqptpServerOptions(interface="eth0", directory=str(tmp_path), serve_airptp=True, serve_cliairplay=True),
        wired,
        wired.local,
        lambda name, **fields: None,
    )
    await nursery.start(served.run)
    async with running_graph(graph(tmp_path) + f'server = "{server}"\n', network=wired) as run:
        await trio.sleep(8)
        now = wired.local.now_ns()
        estimate = run.nodes["it"].estimate()
        assert estimate.state is ClockState.LOCKED
        assert abs(estimate.reference_at(now) - now) < 1_000, "both lead CLOCK_MONOTONIC, which is local time here"
        assert estimate.grandmaster
    assert len(run.events("following")) == 1
