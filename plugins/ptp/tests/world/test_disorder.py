"""What the network does to packets: none of it may become a wrong sample."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from phasegraph import StampKind
from phasegraph.ieee1588 import FollowUp, Message, MessageType, Sync
from phasegraph_ptp.measurements import DelaySample, SyncSample
from phasegraph_ptp.protocol import PortRole, PortState, Settings, Unicast

from .links import Link
from .node import TAI_NS, Node, S
from .world import World

MS = 1_000_000
GM = Settings(role=PortRole.GRANDMASTER, log_announce_interval=0, log_min_delay_req_interval=-3)
FOLLOWER = Settings(log_min_delay_req_interval=-3)


def pair(link: Link | None = None, *, seed: int = 1, follower: Settings = FOLLOWER) -> tuple[World, Node, Node]:
    """A perfect grandmaster and a follower that runs 50 ppm slow."""
    world = World(seed, link=link)
    return world, world.add(GM), world.add(follower, ppm=-50)


def path_times(node: Node, kind: type[SyncSample] | type[DelaySample]) -> list[int]:
    """How long the packets of a node's samples were on their way, in true time."""
    times = []
    for sample in node.samples:
        if isinstance(sample, kind):
            here_ns, there_ns = TAI_NS + node.true_at(sample.local_ns), sample.reference_ns
            times.append(here_ns - there_ns if kind is SyncSample else there_ns - here_ns)
    return times


def drops(node: Node) -> dict[str, int]:
    return {name: count for name, count in node.clock.counters.items() if name.startswith("dropped")}


def check_paths(node: Node, least_ns: int, most_ns: int) -> None:
    for kind in (SyncSample, DelaySample):
        times = path_times(node, kind)
        assert len(times) > 50
        assert least_ns - 5 <= min(times) <= max(times) <= most_ns + 5


@pytest.mark.parametrize(
    ("link", "most_ns"),
    [
        (Link(delay_ns=10 * MS), 10 * MS),
        (Link(delay_ns=MS, jitter_ns=200_000_000), 201 * MS),  # Syncs overtake Syncs, answers answers
        (Link(delay_ns=MS, jitter_ns=MS, duplicate=0.5), 2 * MS),
        (Link(delay_ns=MS, jitter_ns=MS, loss=0.3), 2 * MS),
        (Link(delay_ns=MS, jitter_ns=MS, late=0.2, late_ns=90 * MS, duplicate=0.2, loss=0.1), 92 * MS),
    ],
    ids=["plain", "reordered", "doubled", "lost", "all of it"],
)
def test_every_sample_is_a_true_path_time(link: Link, most_ns: int) -> None:
    world, _, follower = pair(link)
    world.run(60)
    check_paths(follower, link.delay_ns, most_ns)
    stamps = [sample.reference_ns for sample in follower.samples if isinstance(sample, SyncSample)]
    assert len(set(stamps)) == len(stamps)  # a copy is not a measurement


def test_follow_up_before_sync() -> None:
    world, gm, follower = pair()
    overtaken: list[Message] = []

    def swap(message: Message) -> bool:
        if isinstance(message, Sync):
            overtaken.append(message)
            return False
        if isinstance(message, FollowUp) and overtaken:
            late = overtaken.pop()
            world.at(world.now_ns + MS, lambda: world.inject(follower, late, source=gm.address))
        return True

    gm.passes = swap
    world.run(20)
    assert len(path_times(follower, SyncSample)) > 50
    assert follower.state is PortState.SLAVE
    assert "dropped_unpaired" not in follower.clock.counters


def test_the_sequence_comes_around() -> None:
    world, gm, follower = pair()
    world.run(10)
    gm.clock._port._sequences[MessageType.SYNC] = 0xFFF0
    follower.clock._port._sequences[MessageType.DELAY_REQ] = 0xFFF0
    before, dropped = len(follower.samples), drops(follower)
    world.run(10)
    assert len(follower.samples) - before == pytest.approx(160, abs=25)
    check_paths(follower, 20_000, 20_000)
    assert drops(follower) == dropped


def test_transmit_stamps_that_are_of_user_space_or_never_come() -> None:
    world, gm, follower = pair()
    follower.stamp_kind = StampKind.USER
    world.run(10)
    assert {sample.stamp for sample in follower.samples} == {StampKind.KERNEL, StampKind.USER}
    gm.stamps = lambda message: message.sequence % 2 == 0
    follower.stamps = lambda message: False
    world.run(20)
    syncs, asked = len(path_times(follower, SyncSample)), follower.clock.counters["dropped_transmit_stamp_lost"]
    assert asked > 50
    assert "master_demoted" not in follower.told_names()
    world.run(10)
    assert len(path_times(follower, SyncSample)) - syncs == pytest.approx(40, abs=2)
    assert len(gm.clock._port._departing) < 300  # they wait for their turn to be forgotten


def test_late_stamps_of_a_slow_driver() -> None:
    world, gm, follower = pair()
    gm.stamp_delay_ns = 400 * MS  # three Syncs later
    follower.stamp_delay_ns = 50 * MS
    world.run(30)
    check_paths(follower, 20_000, 20_000)


@pytest.mark.parametrize("correction_ns", [-2_000, 11 * S])
def test_corrections_that_cannot_be_true_become_a_fault(correction_ns: int) -> None:
    world, gm, follower = pair()
    world.run(10)
    samples = len(follower.samples)
    gm.alters = lambda message: (
        replace(message, correction=correction_ns << 16) if isinstance(message, FollowUp) else message
    )
    world.run(3)
    syncs = [sample for sample in follower.samples[samples:] if isinstance(sample, SyncSample)]
    assert len(syncs) <= 1
    reason = "dropped_correction_negative" if correction_ns < 0 else "dropped_correction_huge"
    assert follower.clock.counters[reason] >= 20
    world.run(5)
    assert "master_demoted" in follower.told_names()


def test_a_path_that_becomes_long_is_learned() -> None:
    world, _, follower = pair(Link(delay_ns=MS))
    world.run(20)
    world.link = Link(delay_ns=150 * MS)
    world.run(20)
    assert follower.clock.counters["dropped_delay_resp_late"] >= 3
    assert path_times(follower, DelaySample)[-1] == pytest.approx(150 * MS, abs=5)
    assert follower.clock.data.current.mean_delay_ns > 20 * MS


def test_hybrid_where_unicast_answers_vanish() -> None:
    # As when another daemon on the follower's host has bound the ports, and takes what is unicast.
    world, gm, follower = pair(follower=Settings(unicast=Unicast.HYBRID))
    gm.passes = lambda message: not message.flags & 0x0400
    world.run(30)
    assert follower.state is PortState.SLAVE
    assert follower.told_names().count("unicast_fallback") == 1
    assert world.sent["DELAY_REQ", "multicast"] > 10
    gm.passes = lambda message: True
    world.run(60)
    assert follower.told_names().count("unicast_restored") == 1
    before = world.sent["DELAY_REQ", "multicast"]
    world.run(30)
    assert world.sent["DELAY_REQ", "multicast"] == before
    assert world.sent["DELAY_RESP", "unicast"] > 20
    assert "master_demoted" not in follower.told_names()
    check = path_times(follower, DelaySample)
    assert set(check) <= set(range(20_000 - 5, 20_000 + 6))


def test_an_interrupted_link() -> None:
    world, gm, follower = pair()
    world.run(10)
    world.connect(gm, follower, Link(loss=1.0))
    world.run(30)
    assert follower.state is PortState.LISTENING
    world.connect(gm, follower, Link())
    world.run(4)
    assert follower.state is PortState.SLAVE
    assert [followed.same_timescale for followed in follower.followed] == [False, True, True]


def test_a_port_that_fails_and_recovers() -> None:
    world, _, follower = pair()
    world.run(10)
    follower.clock.fault("interface is gone")
    world.attend(follower)
    samples = len(follower.samples)
    world.run(5)
    assert follower.state is PortState.FAULTY
    assert len(follower.samples) == samples
    follower.clock.enable(follower.local_ns)
    world.attend(follower)
    world.run(5)
    assert follower.state is PortState.SLAVE
