"""The clock ``ptp4l`` beside a real ptp4l, on hosts that all share CLOCK_REALTIME: so the truth is known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from tests.support import netns
from tests.support.process import START_S
from tests.support.ptp4l import IDENTITY, MASTER, SLAVE, ptp4l

from phasegraph import ClockEstimate, ClockState, SystemLocalClock
from phasegraph.testing import GraphRun, running_graph

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("linuxptp")]
LOCAL = SystemLocalClock()
GRANDMASTER = IDENTITY.replace(".", "").upper()
SETTINGS = (
    "clockClass 248 clockAccuracy 0xfe offsetScaledLogVariance 0xffff currentUtcOffset 37 leap61 0 leap59 0 "
    "currentUtcOffsetValid 1 ptpTimescale {ptp} timeTraceable 1 frequencyTraceable 0 timeSource 0xa0"
)


@asynccontextmanager
async def following(socket: Path) -> AsyncIterator[GraphRun]:
    graph = f'schema = 1\n[clocks.it]\nkind = "ptp4l"\nsocket = "{socket}"\npoll = "500ms"\nlock-within = "200us"\n'
    async with running_graph(graph, local=LOCAL) as run:
        yield run


async def until(run: GraphRun, *states: ClockState) -> ClockEstimate:
    with trio.fail_after(START_S):
        while run.nodes["it"].estimate().state not in states:
            await trio.sleep(0.1)
    return estimate(run)


def estimate(run: GraphRun) -> ClockEstimate:
    newest: ClockEstimate = run.nodes["it"].estimate()
    return newest


def error_ns(now: ClockEstimate) -> int:
    """The grandmasters here tell CLOCK_REALTIME, whichever timescale they call it."""
    local_ns = LOCAL.now_ns()
    return now.reference_at(local_ns) - local_ns - LOCAL.realtime_offset_ns()


@pytest.mark.trio
@pytest.mark.parametrize(("ptp", "timescale"), [(0, "arb"), (1, "ptp")])
async def test_follows_a_ptp4l_that_follows(hosts: netns.Network, tmp_path: Path, ptp: int, timescale: str) -> None:
    with ptp4l(hosts.near, tmp_path, MASTER) as master, ptp4l(hosts.far, tmp_path, SLAVE) as slave:
        master.wait_until((tmp_path / "master.uds").exists, "its socket")
        settings = f"SET GRANDMASTER_SETTINGS_NP {SETTINGS.format(ptp=ptp)}"
        hosts.near.run("pmc", "-u", "-b", 0, "-i", tmp_path / "pmc", "-s", tmp_path / "master.uds", settings)
        slave.wait_until(lambda: "to UNCALIBRATED" in slave.stdout, "a master")
        async with following(tmp_path / "slave.uds") as run:
            for _ in range(20):
                locked = await until(run, ClockState.LOCKED)
                assert abs(error_ns(locked)) <= locked.bound_ns
                await trio.sleep(0.1)
            assert (locked.timescale, locked.grandmaster.replace("-", "")) == (timescale, GRANDMASTER)
            assert locked.path_delay_ns is not None
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.trio
async def test_follows_a_ptp4l_that_is_the_grandmaster(hosts: netns.Network, tmp_path: Path) -> None:
    with ptp4l(hosts.near, tmp_path, MASTER) as master:
        master.wait_until(lambda: "to MASTER" in master.stdout, "being a master")
        async with following(tmp_path / "master.uds") as run:
            locked = await until(run, ClockState.LOCKED)
            assert abs(error_ns(locked)) <= locked.bound_ns
            assert locked.grandmaster.replace("-", "") == GRANDMASTER


@pytest.mark.trio
async def test_ptp4l_is_restarted(hosts: netns.Network, tmp_path: Path) -> None:
    with ptp4l(hosts.near, tmp_path, MASTER), ExitStack() as first:
        slave = first.enter_context(ptp4l(hosts.far, tmp_path, SLAVE))
        slave.wait_until(lambda: "to UNCALIBRATED" in slave.stdout, "a master")
        async with following(tmp_path / "slave.uds") as run:
            await until(run, ClockState.LOCKED)
            first.close()
            await until(run, ClockState.HOLDOVER)
            with ptp4l(hosts.far, tmp_path, SLAVE):
                locked = await until(run, ClockState.LOCKED)
                assert abs(error_ns(locked)) <= locked.bound_ns
                assert locked.discontinuities == 0
    assert len(run.events("ptp4l_lost")) == len(run.events("ptp4l_back")) == 1
