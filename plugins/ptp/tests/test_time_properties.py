"""What a grandmaster tells beside the time, in whole graphs in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph import GraphError
from phasegraph.testing import Impairment, SimLocalClock, SimNetwork, SimWire, make_session, running_graph

S = 1_000_000_000
FOLLOWER = """
schema = 1
[clocks.me]
kind = "ptp"
interface = "eth0"
"""


@pytest.mark.slow
async def test_a_leap_second_of_a_list_is_announced_and_goes_by(autojump_clock: Any, tmp_path: Path) -> None:
    # 50 s before midnight of UTC, with a second more than usual to go.
    midnight_s = 1_798_761_600  # 2027-01-01
    known = tmp_path / "leap-seconds.list"
    known.write_text(f"3692217600 37\n{midnight_s + 2_208_988_800} 38\n")
    wire = SimWire(impairment=Impairment(delay_ns=20_000))
    options = f'role = "grandmaster"\nprofile = "st2059-2"\ndomain = 0\nleap-seconds = "{known}"\n'
    options += 'time-zone = "Europe/Berlin"\nframe-rate = "30000/1001"\n'
    clock = {"realtime_ns": (midnight_s - 50) * S}
    near, far = (SimNetwork(SimLocalClock(**clock), wire) for _ in range(2))
    async with running_graph(FOLLOWER + options, network=near) as gm, running_graph(FOLLOWER, network=far) as me:
        await trio.sleep(30)
        before = me.nodes["me"].estimate()
        for run in (gm, me):
            told = run.nodes["me"].metrics()
            assert (told["utc_offset_s"], told["leap_s"]) == (37, 1)
        assert told["smpte_frame_rate"] == "30000/1001"
        assert told["smpte_local_offset_s"] == 3600 - 37
        await trio.sleep(40)
        for run in (gm, me):
            told = run.nodes["me"].metrics()
            assert (told["utc_offset_s"], told["leap_s"]) == (38, 0)
        assert told["smpte_local_offset_s"] == 3600 - 38
        now = me.local.now_ns()
        assert abs(me.nodes["me"].estimate().reference_at(now) - before.reference_at(now)) < 10_000  # TAI does not leap


@pytest.mark.slow
async def test_who_takes_over_goes_on_with_the_utc_offset_that_was_announced(autojump_clock: Any) -> None:
    wire = SimWire(impairment=Impairment(delay_ns=20_000))
    hosts = [SimNetwork(SimLocalClock(), wire) for _ in range(2)]
    spare = FOLLOWER + 'role = "ordinary"\npriority1 = 200\n'
    async with running_graph(spare, network=hosts[1]) as me:
        async with running_graph(FOLLOWER + 'role = "grandmaster"\nutc-offset = 41\n', network=hosts[0]):
            await trio.sleep(20)
        await trio.sleep(15)
        metrics = me.nodes["me"].metrics()
        assert metrics["port_state"] == "master"
        assert metrics["utc_offset_s"] == 41


async def test_an_old_list_of_leap_seconds_is_said_and_one_that_is_none_refused(
    autojump_clock: Any, tmp_path: Path
) -> None:
    known = tmp_path / "leap-seconds.list"
    known.write_text("#@ 3692217700\n3692217600 37\n")
    graph = FOLLOWER + f'role = "grandmaster"\nleap-seconds = "{known}"\n'
    async with running_graph(graph, network=SimNetwork(SimLocalClock())) as gm:
        await trio.sleep(20)
    assert gm.events("leap_seconds_expired")
    known.write_text("37 seconds\n")
    with pytest.raises(GraphError, match="leap"):
        make_session(graph)
