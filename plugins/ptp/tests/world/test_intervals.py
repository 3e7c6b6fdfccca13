"""Intervals are the sender's: three errors that other implementations made with them, and what else could go wrong."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from phasegraph.ieee1588 import Announce, Message, MessageType, Sync, Tlv
from phasegraph_ptp.measurements import SyncSample
from phasegraph_ptp.protocol import PortRole, PortState, Settings, TimeProperties

from .node import S
from .world import World


@pytest.mark.parametrize(("announce", "sync"), [(1, -3), (4, -4), (0, 1), (-2, -7), (3, 0)])
@pytest.mark.slow
def test_the_announce_interval_is_not_that_of_sync(announce: int, sync: int) -> None:
    # An AES67 grandmaster announces itself every other second and syncs eight times a second.
    world = World()
    world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=announce, log_sync_interval=sync))
    follower = world.add(Settings())
    world.run((3 + 1 + 4) * max(2.0**announce, 2.0**sync, 1.0))
    assert follower.state is PortState.SLAVE
    assert follower.told_names().count("state_changed") == 3  # never lost since
    world.run(20 * 2.0**announce)
    assert follower.told_names().count("state_changed") == 3
    last = [sample for sample in follower.samples if isinstance(sample, SyncSample)][-1]
    assert last.interval_ns == round(2.0**sync * S)


@pytest.mark.parametrize("log_interval", [0x7F, -128, 100])
@pytest.mark.parametrize(("announce", "sync"), [(1, -3), (3, 1)])
def test_intervals_that_say_nothing_are_learned(log_interval: int, announce: int, sync: int) -> None:
    world = World()
    gm = world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=announce, log_sync_interval=sync))
    gm.alters = lambda message: replace(message, log_interval=log_interval)
    follower = world.add(Settings(log_announce_interval=-2, log_sync_interval=-3))
    world.run(4 * 2.0**announce + 4 * 2.0**announce + 10)
    assert follower.state is PortState.SLAVE
    names = follower.told_names().copy()
    world.run(100)
    assert follower.told_names() == names
    last = [sample for sample in follower.samples if isinstance(sample, SyncSample)][-1]
    assert last.interval_ns == pytest.approx(2.0**sync * S, rel=1e-3)
    gm.switch_off()
    world.run(3 * 2.0**announce)
    assert follower.state is PortState.LISTENING


@pytest.mark.parametrize("minor", [0, 1, 15])
def test_minor_versions_of_the_grandmaster(minor: int) -> None:
    world = World()
    gm = world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0))
    gm.alters = lambda message: replace(message, minor_version=minor)
    follower = world.add(Settings())
    world.run(10)
    assert follower.state is PortState.SLAVE


@pytest.mark.parametrize("minor", [0, 1])
def test_our_own_minor_version(minor: int) -> None:
    world = World()
    gm = world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0, minor_version=minor))
    seen: set[tuple[MessageType, int]] = set()

    def note(message: Message) -> bool:
        seen.add((message.type, message.minor_version))
        return True

    gm.passes = note
    world.add(Settings())
    world.run(10)
    kinds = (MessageType.ANNOUNCE, MessageType.SYNC, MessageType.FOLLOW_UP, MessageType.DELAY_RESP)
    assert seen == {(kind, minor) for kind in kinds}


def test_unknown_tlvs_and_flags_are_tolerated() -> None:
    world = World()
    gm = world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0))
    gm.alters = lambda message: replace(
        message, tlvs=(Tlv(0x7ABC, b"whatever"), Tlv(0x0008, b"four")), control=99, flags=0xF208
    )
    follower = world.add(Settings())
    world.run(10)
    assert follower.state is PortState.SLAVE


def test_two_domains_on_one_wire_do_not_meet() -> None:
    world = World()
    nodes = [world.add(Settings(role=PortRole.ORDINARY, domain=domain, log_announce_interval=0)) for domain in (0, 127)]
    followers = [world.add(Settings(domain=domain)) for domain in (0, 127)]
    world.run(15)
    assert world.masters() == nodes
    assert [node.parent for node in followers] == [node.identity for node in nodes]


def test_leap_seconds_and_utc_offset_are_passed_on() -> None:
    world = World()
    gm = world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0))
    follower = world.add(Settings())
    world.run(10)
    before = TimeProperties(utc_offset_s=37, utc_offset_valid=True, leap61=True)
    gm.serve(properties=before)
    world.run(2)
    assert follower.clock.data.time_properties == before
    assert follower.notice("time_properties_changed").fields == {
        "utc_offset_s": 37,
        "leap_s": 1,
        "traceable": 0,
        "timescale": "ptp",
    }
    followed = len(follower.followed)
    gm.serve(properties=TimeProperties(utc_offset_s=38, utc_offset_valid=True))
    world.run(2)
    assert follower.notice("time_properties_changed").fields["utc_offset_s"] == 38
    # TAI does not jump: nothing changes for its followers.
    assert len(follower.followed) == followed


@pytest.mark.parametrize("epoch_ns", [0, 488_882 * S, 2**47 * S])
def test_any_epoch_is_followed(epoch_ns: int) -> None:
    world = World()
    gm = world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0))
    gm.serve(reference_ns=epoch_ns, properties=TimeProperties(ptp_timescale=False))
    follower = world.add(Settings())
    world.run(10)
    syncs = [sample for sample in follower.samples if isinstance(sample, SyncSample)]
    assert len(syncs) > 20
    assert {sync.reference_ns - epoch_ns - follower.true_at(sync.local_ns) + 20_000 for sync in syncs} <= {-1, 0, 1}
    assert follower.clock.data.time_properties.ptp_timescale is False


def test_syncs_and_announces_keep_coming_as_the_settings_say() -> None:
    world = World()
    gm = world.add(Settings(role=PortRole.GRANDMASTER, log_announce_interval=1, log_sync_interval=-3))
    times: dict[type[Message], list[int]] = {Announce: [], Sync: []}

    def note(message: Message) -> bool:
        if type(message) in times:
            times[type(message)].append(world.now_ns)
        return True

    gm.passes = note
    world.run(60)
    for kind, interval_ns in ((Announce, 2 * S), (Sync, S // 8)):
        began, ended = times[kind][0], times[kind][-1]
        assert (ended - began) / (len(times[kind]) - 1) == pytest.approx(interval_ns, rel=1e-6)
