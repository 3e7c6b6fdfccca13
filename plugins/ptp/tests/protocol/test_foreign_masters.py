"""Who may be chosen: the foreign master table, as a follower that listens uses it."""

from __future__ import annotations

import pytest

from phasegraph.ieee1588 import Announce, Flag, PathTrace, PortIdentity
from phasegraph_ptp.protocol import PortRole, PortState, Settings, Unicast
from phasegraph_ptp.protocol.foreign_masters import CAPACITY, ForeignMasters

from .bench import GM, GM_ADDRESS, OTHER, US, Bench, S, announce

LISTENING, UNCALIBRATED = PortState.LISTENING, PortState.UNCALIBRATED


def heard(bench: Bench, sequence: int, at_ns: int, **fields: object) -> PortState:
    bench.receive(announce(sequence=sequence, **fields), at_ns=at_ns)
    return bench.clock.state


def test_one_announce_is_not_enough() -> None:
    bench = Bench()
    assert heard(bench, 1, 0) is LISTENING
    assert heard(bench, 2, S) is UNCALIBRATED


@pytest.mark.parametrize(
    ("log_interval", "gap_s", "state"),
    [
        (0, 4.0, UNCALIBRATED),
        (0, 4.1, LISTENING),
        (1, 8.0, UNCALIBRATED),
        (1, 8.1, LISTENING),
        (-3, 0.5, UNCALIBRATED),
        (-3, 0.51, LISTENING),
    ],
)
def test_the_window_is_four_intervals_of_the_announce_itself(log_interval: int, gap_s: float, state: PortState) -> None:
    bench = Bench(Settings(log_announce_interval=-2, log_sync_interval=-7))  # ours do not matter
    heard(bench, 1, 0, log_interval=log_interval)
    assert heard(bench, 2, round(gap_s * S), log_interval=log_interval) is state


@pytest.mark.parametrize("log_interval", [0x7F, -128, 60, -9, 9])
def test_an_interval_that_says_nothing_is_learned(log_interval: int) -> None:
    bench = Bench(Settings(log_announce_interval=-3))
    heard(bench, 1, 0, log_interval=log_interval)
    assert heard(bench, 2, 16 * S, log_interval=log_interval) is UNCALIBRATED
    bench.receive(announce(sequence=3, log_interval=log_interval), at_ns=32 * S)
    master = bench.clock._machine.incumbent
    assert master is not None
    assert master.interval.ns == 16 * S
    # A lost one or two, and one that comes early, do not change it.
    for sequence, at_s in ((4, 48), (5, 80), (6, 96), (7, 97)):
        bench.receive(announce(sequence=sequence, log_interval=log_interval), at_ns=at_s * S)
    assert master.interval.ns == 16 * S


def test_an_interval_that_is_not_kept_is_not_believed() -> None:
    """As ptp4l does: a contract of 2 s, and Announces that state its multicast interval."""
    bench = Bench()
    heard(bench, 1, 0, log_interval=-2)
    assert heard(bench, 2, 2 * S, log_interval=-2) is LISTENING
    assert heard(bench, 3, 4 * S, log_interval=-2) is UNCALIBRATED
    assert heard(bench, 4, 6 * S, log_interval=-2) is UNCALIBRATED
    master = bench.clock._machine.incumbent
    assert master is not None
    assert master.interval.ns == 2 * S


def test_an_announce_that_is_lost_now_and_then_changes_nothing() -> None:
    bench = Bench()
    for sequence, at_s in ((1, 0), (2, 3), (3, 4), (4, 7), (5, 8), (6, 9)):
        bench.receive(announce(sequence=sequence, log_interval=0), at_ns=at_s * S)
    master = bench.clock._machine.incumbent
    assert master is not None
    assert master.interval.ns == S


def test_a_copy_of_an_announce_does_not_count() -> None:
    bench = Bench()
    heard(bench, 1, 0)
    assert heard(bench, 1, 1000) is LISTENING
    assert bench.dropped("duplicate") == 1
    # A sender that never counts is still heard.
    assert heard(bench, 1, S) is UNCALIBRATED


def test_after_a_gap_it_has_to_qualify_again() -> None:
    bench = Bench()
    heard(bench, 1, 0)
    heard(bench, 2, 5 * S)
    assert heard(bench, 3, 6 * S) is UNCALIBRATED


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ({"steps_removed": 255}, "steps_removed"),
        ({"steps_removed": 0xFFFF}, "steps_removed"),
        ({"source": PortIdentity(US.clock, 1), "grandmaster": GM.clock}, "own"),
        ({"source": PortIdentity(US.clock, 2), "grandmaster": GM.clock}, "own"),
        ({"grandmaster": US.clock, "steps_removed": 1}, "loop"),
        ({"tlvs": (PathTrace((GM.clock, US.clock)).to_tlv(),)}, "loop"),
        ({"flags": Flag.PTP_TIMESCALE | Flag.ALTERNATE_MASTER}, "alternate_master"),
        ({"domain": 1}, "domain"),
        ({"major_sdo": 1}, "sdo"),
        ({"minor_version": 1, "minor_sdo": 1}, "sdo"),
    ],
)
def test_refused_announces(refused: dict[str, object], reason: str) -> None:
    bench = Bench()
    bench.announced(**refused)
    assert bench.clock.state is LISTENING
    assert bench.dropped(reason) == 2


@pytest.mark.parametrize(
    "accepted",
    [
        {"steps_removed": 254},
        {"minor_version": 1},
        {"minor_version": 0, "minor_sdo": 77},  # reserved then
        {"tlvs": (PathTrace((GM.clock,)).to_tlv(),)},
        {"priority1": 255, "clock_class": 255},  # a follower takes what there is
        {"log_interval": 0x7F},
    ],
)
def test_accepted_announces(accepted: dict[str, object]) -> None:
    bench = Bench()
    bench.announced(**accepted)
    assert bench.clock.state is UNCALIBRATED


def test_our_own_identity_elsewhere_is_one_event() -> None:
    bench = Bench()
    bench.announced(US)
    assert bench.told("identity_in_use") == []  # our own multicast, looped back
    bench.announced(PortIdentity(US.clock, 7))
    assert len(bench.told("identity_in_use")) == 1


@pytest.mark.parametrize(
    ("accept", "state"),
    [({GM.clock}, UNCALIBRATED), ({OTHER.clock}, LISTENING), ({0x1234, OTHER.clock}, UNCALIBRATED)],
)
def test_only_accepted_masters(accept: set[int], state: PortState) -> None:
    bench = Bench(Settings(accept=frozenset(accept)))
    bench.announced(grandmaster=0x1234 if 0x1234 in accept else GM.clock)
    assert bench.clock.state is state


def test_who_negotiates_listens_to_its_servers_only() -> None:
    settings = Settings(unicast=Unicast.NEGOTIATED, servers=(GM_ADDRESS,))
    bench = Bench(settings)
    for sequence in (1, 2):
        bench.receive(announce(sequence=sequence), source="10.0.0.66", at_ns=sequence * S)
    assert bench.dropped("not_a_server") == 2
    bench.announced()
    assert bench.clock.state is UNCALIBRATED


def test_a_master_whose_time_is_out_is_not_taken_for_a_rival() -> None:
    # Its last two Announces are within the window of four intervals still, but three have passed.
    bench = Bench(Settings(announce_receipt_timeout=3))
    for source in (GM, OTHER):
        bench.now_ns = S
        bench.announced(source)
    bench.at(4 * S)
    assert bench.clock.state is LISTENING
    assert len(bench.told("announce_timeout")) == 1


def stranger(number: int, **fields: object) -> Announce:
    return announce(PortIdentity(0x1000 + number, 1), **fields)


def test_the_table_is_bounded_and_keeps_the_best() -> None:
    bench = Bench()
    for number in range(500):
        # The later, the better.
        bench.receive(stranger(number, priority2=255 - number // 2), at_ns=number * 1000)
    assert len(bench.clock._machine.foreign_masters) == CAPACITY
    assert bench.dropped("foreign_master_table_full") == 500 - CAPACITY
    assert len(bench.told("foreign_master_table_full")) == 1
    bench.receive(stranger(499, priority2=255 - 249, sequence=1), at_ns=S)
    assert bench.clock.data.parent.port.clock == 0x1000 + 499


def test_a_flood_of_strangers_does_not_evict_the_master() -> None:
    bench = Bench()
    bench.now_ns = S
    bench.announced()
    for number in range(500):
        bench.receive(stranger(number, priority1=0), at_ns=S + number * 1000)
    assert bench.clock.data.parent.port == GM
    assert len(bench.clock._machine.foreign_masters) == CAPACITY


def test_who_falls_silent_makes_place() -> None:
    masters = ForeignMasters(US)
    for number in range(CAPACITY):
        masters.record_announce(stranger(number), "", 0, S)
    masters.record_announce(announce(), "", 5 * S, S)
    assert masters.make_place(5 * S, None) is None
    assert len(masters) == 1


def test_a_single_announce_is_enough_only_of_one_whose_syncs_arrive_and_only_to_begin() -> None:
    bench = Bench()
    bench.now_ns = S
    bench.receive(announce(sequence=1))
    assert bench.clock.state is PortState.LISTENING
    bench.synced(1)
    assert bench.clock.state is PortState.UNCALIBRATED
    bench.receive(announce(OTHER, sequence=1, priority1=1))
    bench.synced(1, source=OTHER)
    assert bench.clock.data.parent.port == GM
    bench.at(2 * S)
    bench.receive(announce(OTHER, sequence=2, priority1=1))
    assert bench.clock.data.parent.port == OTHER


def test_a_port_that_may_become_a_master_waits_for_two() -> None:
    bench = Bench(Settings(role=PortRole.ORDINARY), serving=True)
    bench.now_ns = S
    bench.receive(announce(sequence=1, priority1=1))
    bench.synced(1)
    assert bench.clock.state is PortState.LISTENING
