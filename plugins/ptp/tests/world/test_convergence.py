"""Many clocks on one segment come to one master: random clocks, links, losses and deaths, from seeds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph.ieee1588 import best_data_set
from phasegraph_ptp.protocol import DelayMechanism, PortRole, PortState, Settings
from phasegraph_ptp.protocol.data_sets import default_ds, own_data_set

from .links import Link
from .node import Node
from .world import World

CLEAN = Link(jitter_ns=50_000)
LOSSY = Link(jitter_ns=2_000_000, loss=0.2, duplicate=0.1, late=0.05)


def random_settings(random: Random, mechanism: DelayMechanism) -> Settings:
    """Few values, so that clocks are often alike up to their identities."""
    return Settings(
        role=random.choice(
            [PortRole.FOLLOWER, PortRole.ORDINARY, PortRole.ORDINARY, PortRole.ORDINARY, PortRole.GRANDMASTER]
        ),
        priority1=random.choice([127, 128]),
        priority2=random.choice([127, 128]),
        clock_class=random.choice([6, 127, 128, 248]),
        clock_accuracy=random.choice([0x21, 0xFE]),
        log_announce_interval=random.choice([-2, -1]),
        log_sync_interval=0,
        log_min_delay_req_interval=1,
        log_min_pdelay_req_interval=1,
        announce_receipt_timeout=random.choice([2, 3, 5]),
        mastership_delay_ns=random.choice([0, 0, 2_000_000_000]),
        delay_mechanism=mechanism,
    )


def best_of(nodes: list[Node]) -> Node | None:
    """Who ought to win, among those that live and can be master."""
    able = [node for node in nodes if node.alive and node.settings.role is not PortRole.FOLLOWER]
    winner = best_data_set(own_data_set(default_ds(node.settings, node.identity)) for node in able)
    return next((node for node in able if winner is not None and node.identity.clock == winner.grandmaster), None)


def expected_state(node: Node, winner: Node | None) -> PortState:
    if node is winner:
        return PortState.MASTER
    if winner is None:
        return PortState.LISTENING
    stands_by = node.settings.role is PortRole.GRANDMASTER or (
        node.settings.role is PortRole.ORDINARY and node.settings.clock_class < 128
    )
    return PortState.PASSIVE if stands_by else PortState.SLAVE


def check_agreement(world: World, seconds: int) -> None:
    """Until then nothing changes, and every port is what the algorithm decides."""
    winner = best_of(world.nodes)
    for _ in range(4 * seconds):
        world.run(0.25)
        for node in world.nodes:
            if node.alive:
                assert node.state is expected_state(node, winner), (node.address, node.settings)
                if node.state is PortState.SLAVE and winner is not None:
                    assert node.parent == winner.identity


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(DelayMechanism))
@pytest.mark.slow
def test_there_is_one_master_and_it_is_the_best(seed: int, mechanism: DelayMechanism) -> None:
    random = Random(seed)
    world = World(seed, link=random.choice([CLEAN, LOSSY]), through_codec=False)
    for _ in range(random.randint(2, 6)):
        world.run(random.choice([0, 0, 1.0, 5.0]))
        world.add(random_settings(random, mechanism), ppm=random.uniform(-100, 100))
    world.run(10)
    # Whatever went wrong before, and whichever was demoted for it: on a clean network they agree.
    world.link = CLEAN
    world.run(75)
    check_agreement(world, 5)
    winner = best_of(world.nodes)
    if winner is not None:
        winner.switch_off()
        world.run(12)
        check_agreement(world, 5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_forty_clocks_of_one_kind(seed: int) -> None:
    # More than the table of foreign masters holds, all announcing themselves at the same time.
    world = World(seed, link=CLEAN, through_codec=False)
    quick = Settings(role=PortRole.ORDINARY, log_announce_interval=0, log_sync_interval=1, log_min_delay_req_interval=4)
    for _ in range(40):
        world.add(quick)
    world.run(12)
    assert [node.identity.clock for node in world.masters()] == [min(node.identity.clock for node in world.nodes)]
    assert all(node.state is not PortState.MASTER for node in world.nodes[1:])


def test_priority_changes_while_all_run() -> None:
    world = World(link=CLEAN)
    quick = Settings(role=PortRole.ORDINARY, log_announce_interval=-1, log_sync_interval=0)
    nodes = [world.add(quick) for _ in range(3)]
    world.run(10)
    assert world.masters() == [nodes[0]]
    for winner, priority in ((nodes[2], 100), (nodes[1], 90), (nodes[1], 90)):
        winner.settings = Settings(
            role=PortRole.ORDINARY, log_announce_interval=-1, log_sync_interval=0, priority1=priority
        )
        winner.clock.reconfigure(winner.settings, winner.local_ns)
        world.attend(winner)
        world.run(10)
        assert world.masters() == [winner]
        assert {node.parent for node in nodes if node is not winner} == {winner.identity}
