"""Keys, accept and master-only in whole graphs: who may be the grandmaster, and who may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph import ClockState, GraphError
from phasegraph.testing import Impairment, SimLocalClock, SimNetwork, SimWire, make_session, running_graph
from phasegraph_ptp.options import PtpConfig
from phasegraph_ptp.settings_from_config import option_problems

GRANDMASTER = 'schema = 1\n[clocks.gm]\nkind = "ptp"\nrole = "grandmaster"\ninterface = "eth0"\n'
FOLLOWER = 'schema = 1\n[clocks.me]\nkind = "ptp"\ninterface = "eth0"\n'


def hosts(count: int) -> list[SimNetwork]:
    wire = SimWire(impairment=Impairment(delay_ns=20_000))
    return [SimNetwork(SimLocalClock(ppm=10 * number), wire) for number in range(count)]


@pytest.fixture
def keys(tmp_path: Path) -> str:
    path = tmp_path / "keys"
    path.write_text("[security_association]\nspp 1\n1 SHA256-128 ASCII:studio\n2 SHA256-128 HEX:0011\n")
    return f'sa-file = "{path}"\n'


@pytest.mark.parametrize("more", ["", pytest.param('delay-mechanism = "p2p"\n', marks=pytest.mark.slow)])
async def test_two_of_ours_with_the_same_keys(autojump_clock: Any, keys: str, more: str) -> None:
    near, far = hosts(2)
    async with (
        running_graph(GRANDMASTER + keys + "active-key-id = 2\n" + more, network=near),
        running_graph(FOLLOWER + keys + more, network=far) as me,
    ):
        await trio.sleep(15)
        assert me.nodes["me"].estimate().state is ClockState.LOCKED
    assert [name for name in me.metrics("me") if name.startswith("dropped_auth")] == []


@pytest.mark.slow
async def test_a_rogue_without_the_keys_is_neither_followed_nor_deferred_to(autojump_clock: Any, keys: str) -> None:
    near, far, other = hosts(3)
    async with running_graph(GRANDMASTER + keys, network=near) as gm, running_graph(FOLLOWER + keys, network=far) as me:
        await trio.sleep(30)
        async with running_graph(GRANDMASTER + "priority1 = 1\n", network=other):
            await trio.sleep(30)
            assert gm.nodes["gm"].metrics()["port_state"] == "master"
            estimate = me.nodes["me"].estimate()
            assert (estimate.state, estimate.grandmaster) == (ClockState.LOCKED, gm.nodes["gm"].estimate().grandmaster)
    assert me.metrics("me")["dropped_auth_missing"] > 100
    assert len(me.events("not_authentic")) == 1


async def test_a_follower_with_other_keys_reports_it(autojump_clock: Any, keys: str) -> None:
    near, far = hosts(2)
    async with running_graph(GRANDMASTER, network=near), running_graph(FOLLOWER + keys, network=far) as me:
        await trio.sleep(12)
        assert me.nodes["me"].estimate().state is ClockState.UNLOCKED
        trouble = str(me.nodes["me"].metrics()["trouble"])
    assert "are dropped (not signed): give both clocks the same keys (sa-file)" in trouble


async def test_a_file_that_has_no_such_key(keys: str) -> None:
    with pytest.raises(GraphError, match="no key for spp 4") as caught:
        make_session(FOLLOWER + keys + "spp = 4\n", network=hosts(1)[0])
    assert "studio" not in str(caught.value)


@pytest.mark.parametrize(("more", "state"), [("", "passive"), ("master-only = true\n", "master")])
@pytest.mark.slow
async def test_a_grandmaster_that_is_master_only_defers_to_no_other(autojump_clock: Any, more: str, state: str) -> None:
    near, far = hosts(2)
    async with running_graph(GRANDMASTER + more, network=near) as gm:
        await trio.sleep(20)
        async with running_graph(GRANDMASTER + "priority1 = 1\n", network=far) as rogue:
            await trio.sleep(30)
            metrics = gm.nodes["gm"].metrics()
            assert metrics["port_state"] == state
            name = rogue.nodes["gm"].estimate().grandmaster
    if more:
        (event,) = gm.events("other_master")
        assert event["grandmaster"] == name
    else:
        assert name in metrics["trouble"]


@pytest.mark.slow
async def test_a_grandmaster_defers_only_to_those_that_it_accepts(autojump_clock: Any) -> None:
    near, far = hosts(2)
    accept = 'accept = ["00-1D-C1-FF-FE-12-34-56"]\n'
    async with running_graph(GRANDMASTER + accept, network=near) as gm:
        await trio.sleep(12)
        async with running_graph(GRANDMASTER + "priority1 = 1\n", network=far):
            await trio.sleep(15)
            assert gm.nodes["gm"].metrics()["port_state"] == "master"
    assert gm.metrics("gm")["dropped_not_accepted"] > 5


def test_options_that_do_not_go_together() -> None:
    assert [option for option, *_ in option_problems(PtpConfig(master_only=True))] == ["master-only"]
    assert [option for option, *_ in option_problems(PtpConfig(role="grandmaster", master_only=True))] == []
    assert [option for option, *_ in option_problems(PtpConfig(spp=1))] == ["spp"]
