"""The clock ``ptp4l`` beside a ptp4l to which things happen, in virtual time."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph import ClockEstimate, ClockState, StampKind
from phasegraph.testing import (
    REALTIME_EPOCH_NS,
    GraphRun,
    SimLocalClock,
    run_graph,
    running_graph,
    true_now_ns,
)
from phasegraph_ptp.protocol.data_sets import PortState, TimeProperties
from phasegraph_ptp.ptp4l import ptp4l_clock, stamp_clocks
from phasegraph_ptp.ptp4l.ingress_times import ClockComparison

S = 1_000_000_000


def graph(ptp4l: Any, options: str = "") -> str:
    return f'schema = 1\n[clocks.it]\nkind = "ptp4l"\nsocket = "{ptp4l.path}"\n{options}'


@asynccontextmanager
async def following(ptp4l: Any, options: str = "") -> AsyncIterator[GraphRun]:
    async with running_graph(graph(ptp4l, options), local=ptp4l.local) as run:
        await until(run, ClockState.LOCKED)
        yield run


async def until(run: GraphRun, state: ClockState, within_s: float = 15.0) -> ClockEstimate:
    with trio.fail_after(within_s):
        while run.nodes["it"].estimate().state is not state:
            await trio.sleep(0.05)
    estimate: ClockEstimate = run.nodes["it"].estimate()
    return estimate


def error_ns(run: GraphRun, ptp4l: Any) -> int:
    reading: int = run.nodes["it"].estimate().reference_at(run.local.now_ns())
    return reading - int(ptp4l.true_reference(true_now_ns()))


async def trusted(run: GraphRun, ptp4l: Any, seconds: float) -> set[ClockState]:
    """Check for a time that its bound covers the truth; returns the states that were seen."""
    states = set()
    for _ in range(round(seconds * 20)):
        await trio.sleep(0.05)
        estimate = run.nodes["it"].estimate()
        assert abs(error_ns(run, ptp4l)) <= estimate.bound_ns
        states.add(estimate.state)
    return states


@pytest.mark.trio
@pytest.mark.slow
async def test_locks_within_two_seconds_to_a_microsecond(ptp4l: Any, autojump_clock: object) -> None:
    async with running_graph(graph(ptp4l), local=ptp4l.local) as run:
        await until(run, ClockState.LOCKED, within_s=2.0)
        await trio.sleep(40)
        assert abs(error_ns(run, ptp4l)) < 1000
        estimate = run.nodes["it"].estimate()
        assert (estimate.timescale, estimate.grandmaster) == ("ptp", "AC-DE-48-FF-FE-23-45-67")
        assert estimate.path_delay_ns == 15_000
        assert abs(estimate.rate_ppb - 20_000) < 100
        assert await trusted(run, ptp4l, 20) == {ClockState.LOCKED}
    metrics = run.metrics("it")
    assert (metrics["port_state"], metrics["rounds_unanswered"]) == ("slave", 0)


@pytest.mark.trio
async def test_a_ptp4l_that_runs_free_is_followed_too(ptp4l: Any, autojump_clock: object) -> None:
    # It stays uncalibrated for ever, and its clock is days off.
    ptp4l.state = PortState.UNCALIBRATED
    ptp4l.ahead_ns = -3 * 86_400 * S
    async with following(ptp4l) as run:
        assert await trusted(run, ptp4l, 20) == {ClockState.LOCKED}


@pytest.mark.trio
@pytest.mark.parametrize("by_ns", [3600 * S, -20_000_000])
async def test_a_step_of_the_systems_clock_is_no_step_of_ours(ptp4l: Any, autojump_clock: object, by_ns: int) -> None:
    async with following(ptp4l) as run:
        await trio.sleep(10)
        ptp4l.local.step_realtime(by_ns)
        assert await trusted(run, ptp4l, 20) == {ClockState.LOCKED}
        assert run.nodes["it"].estimate().discontinuities == 0
    (event,) = run.events("stamp_clock_stepped")
    assert abs(event["step_ns"] - by_ns) < 100_000


@pytest.mark.trio
@pytest.mark.slow
async def test_syncs_cease(ptp4l: Any, autojump_clock: object) -> None:
    async with following(ptp4l) as run:
        await trio.sleep(30)
        assert "trouble" not in run.nodes["it"].metrics()
        ptp4l.state = PortState.LISTENING
        await until(run, ClockState.HOLDOVER)
        assert "is listening, and follows no grandmaster" in run.nodes["it"].metrics()["trouble"]
        assert await trusted(run, ptp4l, 30) == {ClockState.HOLDOVER}
        ptp4l.state = PortState.SLAVE
        await until(run, ClockState.LOCKED)
        assert run.nodes["it"].estimate().discontinuities == 0
    assert [event["state"] for event in run.events("state_changed")] == ["listening", "slave"]


@pytest.mark.trio
@pytest.mark.slow
async def test_ptp4l_does_not_answer_for_a_while(ptp4l: Any, autojump_clock: object) -> None:
    async with following(ptp4l) as run:
        await trio.sleep(30)
        ptp4l.answering = False
        await until(run, ClockState.HOLDOVER)
        assert run.nodes["it"].metrics()["trouble"] == "ptp4l does not answer (no answer): start it again"
        assert await trusted(run, ptp4l, 30) == {ClockState.HOLDOVER}
        ptp4l.answering = True
        await until(run, ClockState.LOCKED)
        assert await trusted(run, ptp4l, 5) == {ClockState.LOCKED}
        assert run.nodes["it"].estimate().discontinuities == 0
    assert [event["reason"] for event in run.events("ptp4l_lost")] == ["no answer"]
    assert len(run.events("ptp4l_back")) == 1


@pytest.mark.trio
async def test_ptp4l_ends_and_starts_again(ptp4l: Any, nursery: trio.Nursery, autojump_clock: object) -> None:
    async with following(ptp4l) as run:
        await trio.sleep(30)
        ptp4l.stop()
        await until(run, ClockState.HOLDOVER)
        assert not ptp4l.path.exists()
        await trio.sleep(5)
        await nursery.start(ptp4l.run)
        await until(run, ClockState.LOCKED)
    assert len(run.events("ptp4l_lost")) == len(run.events("ptp4l_back")) == 1


@pytest.mark.trio
@pytest.mark.slow
async def test_another_grandmaster(ptp4l: Any, autojump_clock: object) -> None:
    async with following(ptp4l) as run:
        await trio.sleep(30)
        ptp4l.switch(0x0011_2233_4455_6677, by_ns=50_000)
        rates = []
        for _ in range(200):
            await trio.sleep(0.2)
            rates.append(run.nodes["it"].estimate().rate_ppb)
        assert max(rates) - min(rates) < 21_000  # slewed by 20 ppm
        estimate = await until(run, ClockState.LOCKED)
        assert (estimate.grandmaster, estimate.discontinuities) == ("00-11-22-33-44-55-66-77", 0)
        assert abs(error_ns(run, ptp4l)) < 2000
    assert [event["grandmaster"] for event in run.events("grandmaster_changed")] == [
        "AC-DE-48-FF-FE-23-45-67",
        "00-11-22-33-44-55-66-77",
    ]


@pytest.mark.trio
async def test_a_timescale_of_its_own(ptp4l: Any, autojump_clock: object) -> None:
    ptp4l.properties = TimeProperties(ptp_timescale=False)
    ptp4l.ahead_ns = -1_789_999_000 * S  # since it was switched on
    async with following(ptp4l) as run:
        assert run.nodes["it"].estimate().timescale == "arb"
        assert await trusted(run, ptp4l, 10) == {ClockState.LOCKED}


@pytest.mark.trio
async def test_ptp4l_is_the_grandmaster(ptp4l: Any, autojump_clock: object) -> None:
    ptp4l.state, ptp4l.grandmaster = PortState.MASTER, ptp4l.own
    ptp4l.properties = TimeProperties(ptp_timescale=False)
    ptp4l.ahead_ns = 0
    async with following(ptp4l) as run:
        assert abs(error_ns(run, ptp4l)) < 10
        assert run.nodes["it"].estimate().path_delay_ns is None
        ptp4l.local.step_realtime(S)  # its followers step with it, and so do we
        ptp4l.ahead_ns = S
        await trio.sleep(10)
        assert abs(error_ns(run, ptp4l)) < 10
        assert run.nodes["it"].estimate().discontinuities == 1


class Phc:
    """Stands in for the clock of an interface: half a second off, 10 ppm fast."""

    name = "/dev/ptp7"
    utc = False

    def __init__(self, device: Path, local: SimLocalClock) -> None:
        assert str(device) == self.name
        self.local = local

    @staticmethod
    def shows() -> int:
        return REALTIME_EPOCH_NS + 37 * S + S // 2 + true_now_ns() + true_now_ns() // 100_000

    def compare(self) -> ClockComparison:
        now = self.local.now_ns()
        return ClockComparison(now, self.shows() - now)

    def close(self) -> None:
        pass


@pytest.mark.trio
async def test_hardware_stamps(
    ptp4l: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    (tmp_path / "eth0" / "device" / "ptp" / "ptp7").mkdir(parents=True)
    monkeypatch.setattr(stamp_clocks, "_SYSFS", tmp_path)
    monkeypatch.setattr(ptp4l_clock, "HardwareStampClock", Phc)
    ptp4l.stamps, ptp4l.stamp = StampKind.HARDWARE, Phc.shows
    async with following(ptp4l) as run:
        assert await trusted(run, ptp4l, 20) == {ClockState.LOCKED}


async def refused(text: str, local: SimLocalClock) -> str:
    """Why a run with this clock fails at once."""
    run = await run_graph(text, for_s=20, local=local)
    assert run.report["ended"] == "failed"
    return str(run.events("failed")[0]["reason"])


@pytest.mark.trio
async def test_no_ptp4l(local: SimLocalClock, tmp_path: Path, autojump_clock: object) -> None:
    said = await refused('schema = 1\n[clocks.it]\nkind = "ptp4l"\nsocket = "/nowhere/ptp4l"', local)
    assert "there is no socket of ptp4l at /nowhere/ptp4l" in said
    assert "start ptp4l, as by: ptp4l -i eth0 -S -s" in said
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(tmp_path / "dead"))
    said = await refused(f'schema = 1\n[clocks.it]\nkind = "ptp4l"\nsocket = "{tmp_path}/dead"', local)
    assert "Connection refused" in said
    assert [path.name for path in tmp_path.iterdir()] == ["dead"]


@pytest.mark.trio
@pytest.mark.parametrize("option", ["domain = 1", "major-sdo = 1"])
async def test_it_answers_to_its_own_domain_only(ptp4l: Any, option: str, autojump_clock: object) -> None:
    said = await refused(graph(ptp4l, option), ptp4l.local)
    assert "no answer" in said
    assert "its own domain and major-sdo only" in said


@pytest.mark.trio
async def test_hardware_stamps_whose_clock_cannot_be_read(
    ptp4l: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    monkeypatch.setattr(stamp_clocks, "_SYSFS", tmp_path)
    ptp4l.stamps = StampKind.HARDWARE
    assert "name the clock, such as device" in await refused(graph(ptp4l), ptp4l.local)
    assert "No such file" in await refused(graph(ptp4l, f'device = "{tmp_path}/ptp9"'), ptp4l.local)
    (tmp_path / "file").touch()
    assert "is no clock" in await refused(graph(ptp4l, f'device = "{tmp_path}/file"'), ptp4l.local)
