"""Grandmasters die, return, lie dead and announce themselves all the same."""

from __future__ import annotations

import pytest

from phasegraph.ieee1588 import Announce, FollowUp, Message, MessageType, Sync
from phasegraph_ptp.protocol import PortRole, PortState, Settings, TimeProperties

from .links import Link
from .node import TAI_NS, Node, S
from .world import World

GM = Settings(role=PortRole.GRANDMASTER, log_announce_interval=0, log_sync_interval=-1)
SPARE = Settings(role=PortRole.ORDINARY, log_announce_interval=0, log_sync_interval=-1, priority1=129)
FOLLOWER = Settings()


def trio(seed: int = 1) -> tuple[World, Node, Node, Node]:
    """A grandmaster, an ordinary clock in reserve, and a follower; all agree."""
    world = World(seed, link=Link(jitter_ns=10_000))
    gm = world.add(GM)
    world.run(5)
    nodes = gm, world.add(SPARE, ppm=30), world.add(FOLLOWER, ppm=-40)
    world.run(10)
    assert world.masters() == [nodes[0]]
    assert nodes[2].state is nodes[1].state is PortState.SLAVE
    return world, *nodes


def test_death_and_return() -> None:
    world, gm, spare, follower = trio()
    gm.switch_off()
    world.run(3)  # the third Announce after the last one is due
    assert follower.told_names()[-2:] == ["announce_timeout", "state_changed"]
    world.run(4)
    assert world.masters() == [spare]
    assert follower.parent == spare.identity
    world.run(5)
    assert follower.state is PortState.SLAVE
    gm.switch_on()
    gm.serve()
    world.run(10)
    assert world.masters() == [gm]
    assert follower.parent == gm.identity
    parents = [followed.parent.port if followed.parent else None for followed in follower.followed]
    assert parents == [gm.identity, None, spare.identity, gm.identity]
    # All of them tell TAI: what was known of the time goes on.
    assert [followed.same_timescale for followed in follower.followed] == [False, True, True, True]


def test_no_sample_mixes_two_masters() -> None:
    # The spare tells a time that is a minute off, so a mixed pair would show.
    world, gm, spare, follower = trio()
    spare.serve(reference_ns=TAI_NS + world.now_ns + 60 * S)
    for _ in range(6):
        gm.switch_off()
        world.run(7)
        gm.switch_on()
        gm.serve()
        world.run(6)
    offsets = []
    for sample in follower.samples:
        if hasattr(sample, "reference_ns"):
            true_ns = TAI_NS + follower.true_at(sample.local_ns)
            offsets.append(abs(sample.reference_ns - true_ns))
    near = sum(offset < S // 50 for offset in offsets)
    far = sum(abs(offset - 60 * S) < S // 50 for offset in offsets)
    assert near > 50
    assert far > 50
    assert near + far == len(offsets)


def only(*kinds: type[Message]) -> object:
    return lambda message: isinstance(message, kinds)


@pytest.mark.parametrize(
    "passes",
    [
        pytest.param(only(Announce), id="nothing"),
        pytest.param(only(Announce, Sync), id="Sync", marks=pytest.mark.slow),
        pytest.param(only(Announce, FollowUp), id="Follow_Up", marks=pytest.mark.slow),
    ],
)
def test_a_master_without_syncs_is_left_for_one_that_works(passes: object) -> None:
    world, gm, spare, follower = trio()
    assert callable(passes)
    gm.passes = passes
    world.run(15)
    assert world.masters() == [gm, spare]  # the mute one does not know
    assert follower.parent == spare.identity
    assert follower.state is PortState.SLAVE
    demoted = follower.notice("master_demoted")
    assert demoted.fields["reason"].startswith("it announces itself, but no Sync or Follow_Up arrives: ")
    world.run(300)
    # It was not tried again: none of its Syncs could be timed.
    assert follower.told_names().count("master_demoted") == 1
    gm.passes = lambda message: True
    world.run(10)
    assert world.masters() == [gm]
    assert follower.parent == gm.identity


def test_a_master_without_syncs_from_the_beginning() -> None:
    world = World()
    mute = world.add(GM)
    mute.passes = lambda message: isinstance(message, Announce)
    follower = world.add(FOLLOWER)
    world.run(60)
    assert follower.told_names().count("master_demoted") == 1
    assert follower.state is PortState.LISTENING
    assert follower.samples == []


@pytest.mark.slow
def test_a_master_without_syncs_does_not_keep_a_grandmaster_passive() -> None:
    world = World()
    mute = world.add(GM)
    standby = world.add(
        Settings(role=PortRole.GRANDMASTER, log_announce_interval=0, log_sync_interval=-1, priority1=129)
    )
    follower = world.add(FOLLOWER)
    world.run(15)
    assert standby.state is PortState.PASSIVE
    mute.passes = lambda message: isinstance(message, Announce)
    world.run(20)
    assert standby.state is PortState.MASTER
    assert follower.parent == standby.identity
    assert follower.state is PortState.SLAVE
    world.run(300)
    assert standby.told_names().count("master_demoted") == 1
    mute.passes = lambda message: True
    world.run(10)
    assert world.masters() == [mute]
    assert standby.state is PortState.PASSIVE
    assert follower.parent == mute.identity


@pytest.mark.slow
def test_a_master_that_does_not_answer_is_left_for_longer_and_longer() -> None:
    world, gm, spare, follower = trio()
    gm.passes = lambda message: message.type is not MessageType.DELAY_RESP
    world.run(20)
    assert follower.parent == spare.identity
    world.run(460)
    demotions = [notice.fields["for_s"] for notice in follower.notices if notice.name == "master_demoted"]
    assert demotions == [30, 60, 120, 240]
    gm.passes = lambda message: True
    world.run(240)
    assert follower.parent == gm.identity
    # After a good minute it is as good as any other.
    world.run(100)
    gm.passes = lambda message: message.type is not MessageType.DELAY_RESP
    world.run(20)
    assert follower.notice("master_demoted").fields["for_s"] == 30


@pytest.mark.slow
def test_losses_do_not_demote_a_master() -> None:
    world = World(3, link=Link(jitter_ns=100_000, loss=0.1))
    world.add(GM)
    follower = world.add(FOLLOWER)
    world.run(600)
    assert "master_demoted" not in follower.told_names()
    assert follower.state is PortState.SLAVE


def test_another_timescale_is_said() -> None:
    world = World()
    gm = world.add(GM)
    gm.serve(reference_ns=12 * S, properties=TimeProperties(ptp_timescale=False))
    world.run(5)
    spare = world.add(SPARE)
    follower = world.add(FOLLOWER)
    world.run(10)
    assert follower.clock.data.time_properties.ptp_timescale is False
    gm.switch_off()
    world.run(10)
    gm.switch_on()
    gm.serve(reference_ns=12 * S, properties=TimeProperties(ptp_timescale=False))
    world.run(10)
    scales = [
        (followed.parent and followed.parent.ptp_timescale, followed.same_timescale) for followed in follower.followed
    ]
    assert scales == [(False, False), (None, True), (True, False), (False, False)]
    assert spare.state is PortState.SLAVE
    # The epoch of one and the same grandmaster is one timescale, for all we can tell.
    spare.switch_off()
    follower.followed.clear()
    gm.switch_off()
    world.run(5)
    gm.switch_on()
    gm.serve(reference_ns=12 * S, properties=TimeProperties(ptp_timescale=False))
    world.run(10)
    assert [followed.same_timescale for followed in follower.followed] == [True, True]
