"""Unicast negotiation end to end: clients and servers that find each other, lose each other, and refuse."""

from __future__ import annotations

import pytest

from phasegraph.ieee1588 import DelayReq, Message, MessageType
from phasegraph_ptp.measurements import DelaySample, SyncSample
from phasegraph_ptp.protocol import PortRole, PortState, Settings, Unicast

from .links import Link
from .node import Node
from .world import World

SERVER = Settings(role=PortRole.GRANDMASTER, unicast=Unicast.NEGOTIATED, log_announce_interval=0)


def build(
    *priorities: int, clients: int = 1, link: Link | None = None, **server: int
) -> tuple[World, list[Node], list[Node]]:
    """Servers of these priorities, which do not hear each other, and clients of all of them."""
    world = World(link=link)
    servers = [
        world.add(
            Settings(
                role=PortRole.GRANDMASTER,
                unicast=Unicast.NEGOTIATED,
                log_announce_interval=0,
                priority1=priority,
                **server,
            )
        )
        for priority in priorities
    ]
    settings = Settings(
        unicast=Unicast.NEGOTIATED,
        servers=tuple(node.address for node in servers),
        log_announce_interval=0,
        request_duration_s=60,
    )
    return world, servers, [world.add(settings, ppm=10 * n) for n in range(clients)]


def heard_in(world: World, seconds: float, node: Node) -> set[MessageType]:
    """Types of messages that a server sends in a while."""
    kinds: set[MessageType] = set()

    def note(message: Message) -> bool:
        kinds.add(message.type)
        return True

    node.passes = note
    world.run(seconds)
    return kinds


@pytest.mark.slow
def test_from_the_first_request_to_a_slave() -> None:
    world, servers, [client] = build(128)
    world.run(20)
    assert client.state is PortState.SLAVE
    assert client.parent == servers[0].identity
    assert {way for _, way in world.sent} == {"unicast"}
    syncs = [sample for sample in client.samples if isinstance(sample, SyncSample)]
    delays = [sample for sample in client.samples if isinstance(sample, DelaySample)]
    assert len(syncs) > 40
    assert len(delays) > 4
    assert syncs[-1].interval_ns == 125_000_000  # granted, not stated in the messages
    # It goes on for as long as it is renewed, and ends soon after that.
    world.run(200)
    assert client.state is PortState.SLAVE
    assert client.told_names().count("state_changed") == 3
    client.switch_off()
    world.run(70)
    assert heard_in(world, 10, servers[0]) == set()


def test_the_best_server_syncs_and_the_next_takes_over() -> None:
    world, [first, second], [client] = build(100, 110)
    world.run(20)
    assert client.parent == first.identity
    assert MessageType.SYNC not in heard_in(world, 5, second)
    first.switch_off()
    world.run(12)
    assert client.parent == second.identity
    assert client.state is PortState.SLAVE
    first.switch_on()
    first.serve()
    world.run(40)
    assert client.parent == first.identity
    # The second was told that it is not needed.
    assert heard_in(world, 5, second) == {MessageType.ANNOUNCE}


def test_a_server_that_announces_but_refuses_to_sync_is_left() -> None:
    world, [first, second], [client] = build(100, 110)
    first.passes = lambda message: message.type not in (MessageType.SYNC, MessageType.FOLLOW_UP)
    world.run(30)
    assert client.parent == second.identity
    assert client.state is PortState.SLAVE
    assert "master_demoted" in client.told_names()
    first.passes = lambda message: True
    world.run(60)
    assert client.parent == first.identity


@pytest.mark.slow
def test_a_full_server_refuses_the_rest() -> None:
    world, [server], clients = build(128, clients=4, grant_clients=2)
    world.run(60)
    assert [client.state for client in clients].count(PortState.SLAVE) == 2
    assert all("unicast_refused" in client.told_names() for client in clients if client.state is not PortState.SLAVE)
    assert server.clock.counters["dropped_unicast_refused"] > 4
    next(client for client in clients if client.state is PortState.SLAVE).switch_off()
    world.run(90)
    assert [client.state for client in clients if client.alive].count(PortState.SLAVE) == 2


@pytest.mark.slow
def test_over_a_bad_network() -> None:
    world, servers, [client] = build(128, link=Link(jitter_ns=3_000_000, loss=0.1, duplicate=0.1, late=0.02))
    world.run(60)
    assert client.state is PortState.SLAVE
    before = len(client.samples)
    world.run(120)
    assert len(client.samples) - before > 120 * 8 * 0.7
    assert client.parent == servers[0].identity


def test_a_multicast_master_serves_a_few_by_unicast_too() -> None:
    world = World()
    gm = world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0))
    listener = world.add(Settings())
    client = world.add(Settings(unicast=Unicast.NEGOTIATED, servers=(gm.address,)))
    world.run(20)
    assert listener.state is client.state is PortState.SLAVE
    assert world.sent["SYNC", "unicast"] > 0
    assert world.sent["SYNC", "multicast"] > 0


def test_hybrid_answers_go_to_the_asker_alone() -> None:
    world = World()
    world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0))
    followers = [world.add(Settings(unicast=Unicast.HYBRID)) for _ in range(3)]
    others: list[Message] = []

    def note(message: Message) -> bool:
        if isinstance(message, DelayReq):
            others.append(message)
        return True

    followers[0].passes = note
    world.run(30)
    assert others
    assert all(follower.state is PortState.SLAVE for follower in followers)
    assert world.sent["DELAY_RESP", "multicast"] == world.sent["DELAY_REQ", "multicast"] == 0
    assert all("dropped_not_for_us" not in follower.clock.counters for follower in followers)
