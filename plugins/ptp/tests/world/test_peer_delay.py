"""The peer delay mechanism between two nodes, and among more than it can bear."""

from __future__ import annotations

import pytest

from phasegraph.ieee1588 import PDelayReq
from phasegraph_ptp.measurements import DelaySample, PeerDelaySample, SyncSample
from phasegraph_ptp.protocol import DelayMechanism, PortRole, PortState, Settings

from .links import Link
from .node import Node
from .world import World

P2P = DelayMechanism.P2P


def pair(link: Link, ppm: float = 0.0, *more: Settings) -> tuple[World, Node, Node]:
    world = World(link=link)
    gm = world.add(Settings(role=PortRole.GRANDMASTER, delay_mechanism=P2P, log_announce_interval=0))
    follower = world.add(Settings(delay_mechanism=P2P, log_min_pdelay_req_interval=-1), ppm=ppm)
    for settings in more:
        world.add(settings)
    world.run(30)
    return world, gm, follower


@pytest.mark.parametrize("ppm", [-200.0, 0.0, 200.0])
def test_both_ends_measure_the_link(ppm: float) -> None:
    world, gm, follower = pair(Link(delay_ns=40_000), ppm)
    assert follower.state is PortState.SLAVE
    for node in (gm, follower):
        data = node.clock.data
        assert data.port.mean_link_delay_ns == pytest.approx(40_000, abs=20)
        delays = [sample.delay_ns for sample in node.samples if isinstance(sample, PeerDelaySample)]
        assert len(delays) > 20
        assert delays[-1] == pytest.approx(40_000, abs=10)
    assert follower.clock.data.port.neighbor_rate_ratio == pytest.approx(1 - ppm * 1e-6, abs=1e-7)
    assert not any(isinstance(sample, DelaySample) for sample in follower.samples)
    assert any(isinstance(sample, SyncSample) for sample in follower.samples)
    assert world.sent["DELAY_REQ", "multicast"] == 0


def test_disorder() -> None:
    _, _, follower = pair(Link(delay_ns=40_000, jitter_ns=1_000_000, loss=0.2, duplicate=0.2))
    delays = [sample.delay_ns for sample in follower.samples if isinstance(sample, PeerDelaySample)]
    assert len(delays) > 15
    assert all(39_000 <= delay <= 1_041_000 for delay in delays)  # the rate ratio is noisy too
    assert follower.state is PortState.SLAVE


def test_three_on_a_plain_switch_are_an_event() -> None:
    _, _, follower = pair(Link(), 0.0, Settings(delay_mechanism=P2P))
    assert follower.told_names().count("several_peer_responders") == 1
    assert follower.clock.counters["dropped_several_peers"] > 20


def test_a_neighbour_of_the_other_mechanism_measures_nothing() -> None:
    world = World()
    gm = world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0))
    follower = world.add(Settings(delay_mechanism=P2P))
    world.run(30)
    assert follower.state is PortState.SLAVE  # its Syncs are good, and it is not to blame for the rest
    assert not any(isinstance(sample, PeerDelaySample) for sample in follower.samples)
    assert gm.clock.counters["dropped_mechanism"] == gm.clock.counters["received_pdelay_req"] > 20
    assert follower.clock.counters["missed_pdelay_resp"] > 20


def test_questions_stop_when_the_port_is_off() -> None:
    world, _, follower = pair(Link())
    follower.clock.disable()
    world.attend(follower)
    asked: list[object] = []
    follower.passes = lambda message: not isinstance(message, PDelayReq) or bool(asked.append(message))
    world.run(10)
    assert asked == []
