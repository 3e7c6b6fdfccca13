"""The states of the port, and what the caller can do to it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from phasegraph import ClockEstimate, ClockState
from phasegraph.ieee1588 import Announce, Flag, FollowUp, MessageType, Sync, encode
from phasegraph_ptp.protocol import PortRole, PortState, Settings, TimeProperties, Unicast

from .bench import ESTIMATE, GM, GM_ADDRESS, OTHER, US, Bench, S, announce

LATER = 2**62


def states(bench: Bench) -> list[str]:
    return [str(notice.fields["state"]) for notice in bench.told("state_changed")]


def test_a_follower_listens_for_ever() -> None:
    bench = Bench()
    assert bench.clock.deadline_ns > LATER
    assert states(bench) == ["LISTENING"]


def test_a_follower_from_beginning_to_end() -> None:
    bench = Bench()
    bench.answers = lambda send: True
    bench.now_ns = S
    bench.announced()
    bench.carry_on(2)
    assert bench.clock.state is PortState.SLAVE
    bench.at(bench.now_ns + 2 * S)
    assert states(bench) == ["LISTENING", "UNCALIBRATED", "SLAVE", "LISTENING"]
    assert bench.told("announce_timeout")[0].fields["port"] == str(GM)
    assert [followed.parent is None for followed in bench.followed] == [False, True]


@pytest.mark.parametrize("timeout", [2, 3, 10])
def test_the_announce_timeout_counts_the_masters_intervals(timeout: int) -> None:
    bench = Bench(Settings(announce_receipt_timeout=timeout, log_announce_interval=4))
    bench.now_ns = S
    bench.announced(log_interval=-1)
    bench.at(S + timeout * S // 4)
    bench.synced(1)
    bench.at(S + timeout * S // 2 - 1)
    assert bench.clock.state is PortState.UNCALIBRATED
    bench.at(S + timeout * S // 2)
    assert bench.clock.state is PortState.LISTENING


@pytest.mark.parametrize(
    ("role", "clock_class", "better", "state"),
    [
        (PortRole.FOLLOWER, 248, True, PortState.UNCALIBRATED),
        (PortRole.FOLLOWER, 6, True, PortState.UNCALIBRATED),
        (PortRole.FOLLOWER, 248, False, PortState.UNCALIBRATED),
        (PortRole.ORDINARY, 248, True, PortState.UNCALIBRATED),
        (PortRole.ORDINARY, 127, True, PortState.PASSIVE),
        (PortRole.ORDINARY, 248, False, PortState.MASTER),
        (PortRole.ORDINARY, 6, False, PortState.MASTER),
        (PortRole.GRANDMASTER, 248, True, PortState.PASSIVE),
        (PortRole.GRANDMASTER, 248, False, PortState.MASTER),
    ],
)
def test_what_an_announce_makes_of_each_role(role: PortRole, clock_class: int, better: bool, state: PortState) -> None:
    bench = Bench(Settings(role=role, clock_class=clock_class), serving=True)
    bench.now_ns = S
    bench.announced(priority1=1 if better else 255)
    assert bench.clock.state is state


def test_passive_ends_when_the_better_one_falls_silent() -> None:
    bench = Bench(Settings(role=PortRole.GRANDMASTER), serving=True)
    bench.now_ns = S
    bench.announced(priority1=1)
    bench.at(4 * S - 1)
    assert bench.clock.state is PortState.PASSIVE
    assert bench.sent == []
    bench.at(4 * S)
    assert bench.clock.state is PortState.MASTER


def test_passive_ends_when_the_better_one_sends_no_sync() -> None:
    bench = Bench(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0), serving=True)
    bench.now_ns = S
    bench.announced(priority1=1)
    bench.receive(Sync(source=GM, sequence=1, flags=Flag.TWO_STEP, log_interval=-3))
    for sequence in range(3, 10):
        bench.at((sequence - 1) * S)
        bench.receive(announce(sequence=sequence, priority1=1))
        assert bench.clock.state is PortState.PASSIVE
    bench.at(9 * S)  # 8 s without a Sync whose time is known
    assert bench.clock.state is PortState.MASTER
    assert (
        bench.told("master_demoted")[0]
        .fields["reason"]
        .startswith("it announces itself, but no Sync or Follow_Up arrives: ")
    )
    # Later it is alive, and 30 s are over.
    for sequence in range(10, 42):
        bench.at((sequence - 1) * S)
        bench.synced(sequence)
        bench.receive(announce(sequence=sequence, priority1=1))
    assert bench.clock.state is PortState.PASSIVE


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_passive_lasts_while_the_better_one_sends_syncs(order: tuple[int, int]) -> None:
    bench = Bench(Settings(role=PortRole.GRANDMASTER, log_announce_interval=0), serving=True)
    bench.now_ns = S
    bench.announced(priority1=1)
    for sequence in range(3, 60):
        bench.at((sequence - 1) * S)
        sync = Sync(source=GM, sequence=sequence, flags=Flag.TWO_STEP, log_interval=0x7F)
        halves = (sync, FollowUp(source=GM, sequence=sequence, precise_origin_ns=bench.now_ns))
        if sequence % 3 == 0:
            for half in order:
                bench.receive(halves[half])
        bench.receive(announce(sequence=sequence, priority1=1))
        assert bench.clock.state is PortState.PASSIVE


def test_who_negotiates_hears_no_syncs_of_others_and_misses_none() -> None:
    servers = {"unicast": Unicast.NEGOTIATED, "servers": (GM_ADDRESS,)}
    bench = Bench(Settings(role=PortRole.ORDINARY, clock_class=6, log_announce_interval=0, **servers), serving=True)
    bench.now_ns = S
    bench.announced(priority1=1)
    for sequence in range(3, 30):
        bench.at((sequence - 1) * S)
        bench.receive(announce(sequence=sequence, priority1=1))
        assert bench.clock.state is PortState.PASSIVE


def test_a_master_gives_way_and_says_so() -> None:
    bench = Bench(Settings(role=PortRole.ORDINARY), serving=True)
    bench.at(9 * S)
    assert bench.clock.state is PortState.MASTER
    assert bench.clock.data.parent.grandmaster == US.clock
    bench.stamping = False
    bench.at(bench.now_ns + S // 4)
    bench.announced(priority1=1)
    assert bench.clock.state is PortState.UNCALIBRATED
    assert bench.clock.data.parent.grandmaster == GM.clock
    follow_ups = len(bench.all(MessageType.FOLLOW_UP))
    bench.stamp(bench.now_ns)
    assert len(bench.all(MessageType.FOLLOW_UP)) == follow_ups


def test_the_first_mastership_may_be_delayed() -> None:
    settings = Settings(role=PortRole.ORDINARY, mastership_delay_ns=20 * S, log_announce_interval=0)
    bench = Bench(settings, serving=True)
    bench.at(10 * S)
    assert bench.clock.state is PortState.PRE_MASTER
    assert bench.sent == []
    bench.at(24 * S)
    assert bench.clock.state is PortState.MASTER
    bench.announced(priority1=1)
    bench.at(bench.now_ns + 4 * S)
    assert bench.clock.state is PortState.MASTER  # at once, the second time
    assert states(bench) == ["LISTENING", "PRE_MASTER", "MASTER", "UNCALIBRATED", "MASTER"]


def test_a_port_without_a_time_to_serve_is_no_master() -> None:
    bench = Bench(Settings(role=PortRole.ORDINARY))
    bench.at(100 * S)
    assert bench.clock.state is PortState.PRE_MASTER
    assert bench.clock.deadline_ns > LATER
    bench.clock.serve(ESTIMATE, TimeProperties())
    bench.at(100 * S)
    assert bench.clock.state is PortState.MASTER


def test_a_follower_that_becomes_master_announces_what_it_has_learned() -> None:
    bench = Bench(Settings(role=PortRole.ORDINARY, log_announce_interval=0))
    bench.now_ns = S
    bench.announced(priority1=1)
    bench.carry_on(2)
    held = ClockEstimate(local_ns=2 * S, reference_ns=5_000 * S, rate_ppb=20_000.0, state=ClockState.HOLDOVER)
    bench.clock.serve(held, TimeProperties(utc_offset_s=11))
    bench.at(bench.now_ns + 20 * S)
    assert bench.clock.state is PortState.MASTER
    follow_up = bench.last(MessageType.FOLLOW_UP).message
    assert isinstance(follow_up, FollowUp)
    assert abs(follow_up.precise_origin_ns - held.reference_at(bench.now_ns)) < S
    told = bench.last(MessageType.ANNOUNCE).message
    assert isinstance(told, Announce)
    assert told.utc_offset_s == 11


@pytest.mark.parametrize(("reference_ns", "told_ns"), [(-(2**60), 0), (2**48 * S, 2**48 * S - 1)])
def test_a_time_that_no_timestamp_can_hold(reference_ns: int, told_ns: int) -> None:
    bench = Bench(Settings(role=PortRole.GRANDMASTER))
    bench.clock.serve(ClockEstimate(local_ns=0, reference_ns=reference_ns), TimeProperties())
    bench.at(10 * S)
    follow_up = bench.last(MessageType.FOLLOW_UP).message
    assert isinstance(follow_up, FollowUp)
    assert follow_up.precise_origin_ns == told_ns
    encode(follow_up)


@pytest.mark.parametrize("state", [PortState.FAULTY, PortState.DISABLED])
def test_a_port_that_is_off_is_deaf_and_silent(state: PortState) -> None:
    bench = Bench(Settings(role=PortRole.ORDINARY), serving=True)
    bench.at(20 * S)
    bench.announced(priority1=1)
    if state is PortState.FAULTY:
        bench.clock.fault("no carrier")
    else:
        bench.clock.disable()
    bench.receive(announce(sequence=9))
    assert bench.clock.state is state
    assert bench.followed[-1].parent is None
    assert bench.dropped("disabled") == 1
    bench.sent.clear()
    assert bench.clock.deadline_ns > LATER
    bench.clock.tick(40 * S)
    assert bench.sent == []
    bench.clock.enable(40 * S)
    bench.now_ns = 40 * S
    bench.announced(priority1=1)
    assert bench.clock.state is PortState.UNCALIBRATED
    assert bench.told("state_changed")[-4].fields.get("reason") == ("no carrier" if state is PortState.FAULTY else None)


def test_priorities_can_change_while_it_runs() -> None:
    settings = Settings(role=PortRole.ORDINARY)
    bench = Bench(settings, serving=True)
    bench.now_ns = S
    bench.announced(priority1=100, log_interval=8)
    bench.clock.reconfigure(replace(settings, priority1=99), bench.now_ns)
    bench.at(bench.now_ns + S)
    assert bench.clock.state is PortState.MASTER
    assert bench.clock.data.default.priority1 == 99
    bench.clock.reconfigure(replace(settings, priority1=101), bench.now_ns)
    assert bench.clock.state is PortState.UNCALIBRATED


@pytest.mark.parametrize("change", [{"domain": 1}, {"role": PortRole.ORDINARY}, {"unicast": Unicast.HYBRID}])
def test_what_cannot_change_while_it_runs(change: dict[str, object]) -> None:
    bench = Bench()
    with pytest.raises(ValueError, match=f"{next(iter(change))} cannot change"):
        bench.clock.reconfigure(replace(Settings(), **change), 0)


def test_counters_name_every_message_and_every_drop() -> None:
    bench = Bench()
    bench.receive(announce(steps_removed=255))
    bench.receive(Sync(source=OTHER, sequence=1))
    bench.receive(Sync(source=OTHER, sequence=1, domain=9))
    assert bench.clock.counters == {
        "received_announce": 1,
        "received_sync": 2,
        "dropped_steps_removed": 1,
        "dropped_not_parent": 1,
        "dropped_domain": 1,
    }
