"""Two legs, one stream (ST 2022-7): whatever either leg brings in time is heard, and every figure is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasegraph_aes67.receive.demultiplexer import Demultiplexer
from phasegraph_aes67.receive.leg import CONFIRMED_BY

BASE = 48 * 1_790_000_000_000
MS = 1_000_000
CALM = settings(
    derandomize=True, deadline=None, database=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
A, B = "239.1.1.1", "239.1.2.1"


@pytest.fixture
def pair(make):
    return make(address=A, leg_b={"address": B})


def packets(*numbers: int) -> list[int]:
    return [BASE + 48 * number for number in numbers]


def of_leg(stage: Any, leg: str) -> dict[str, Any]:
    figures = stage.metrics()
    prefix = f"leg_{leg}_packets_"
    return {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix) and value}


def test_both_legs_whole(pair):
    pair.come(packets(*range(10)))
    pair.come(packets(*range(10)), leg=1, late_ns=2 * MS)
    assert pair.counted() == {"packets_received": 10}
    assert of_leg(pair, "a") == of_leg(pair, "b") == {"received": 10}
    assert pair.right(BASE, 480)
    assert pair.metrics()["lateness_max_ns"] == 1_100_000, "that of those that are heard"
    assert pair.metrics()["leg_b_lateness_max_ns"] == 2 * MS


def test_what_one_leg_loses_the_other_has(pair):
    pair.come(packets(0, 1, 4, 5, 6))
    pair.come(packets(1, 2, 3, 4, 6), leg=1)
    assert pair.counted() == {"packets_received": 7}
    assert of_leg(pair, "a") == {"received": 5, "lost": 2}
    assert of_leg(pair, "b") == {"received": 5, "lost": 1}
    assert pair.right(BASE, 48 * 7)


def test_what_both_lose_is_lost(pair):
    pair.come(packets(0, 1, 5, 6))
    pair.come(packets(0, 2, 5, 6), leg=1)
    assert pair.counted() == {"packets_received": 5, "packets_lost": 2, "frames_concealed": 96}
    assert pair.metrics()["gaps_concealed"] == 1


def test_late_on_one_leg_is_not_late(pair):
    pair.come(packets(0))
    pair.come(packets(0, 1), leg=1)
    pair.come(packets(1), late_ns=50 * MS)
    assert pair.counted() == {"packets_received": 2}
    assert of_leg(pair, "a") == {"received": 2, "late": 1}
    pair.come(packets(2), late_ns=50 * MS)
    pair.come(packets(2), leg=1, late_ns=60 * MS)
    assert pair.counted() == {"packets_received": 3, "packets_late": 1}


@pytest.mark.parametrize("together", [True, False])
def test_a_batch_that_has_the_late_leg_first(pair, batch_of, together):
    pair.come(packets(0))
    pair.come(packets(0), leg=1)
    later = [(pair.packet(BASE + 48), pair.arrival(BASE + 48, 50 * MS), A)]
    in_time = [(pair.packet(frame), pair.arrival(frame, MS), B) for frame in packets(1, 2)]
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes(pair.routes)
    for lot in [later + in_time] if together else [later, in_time[:1], in_time[1:]]:
        demultiplexer.distribute(batch_of(lot))
    assert pair.counted() == {"packets_received": 3}
    assert of_leg(pair, "a")["late"] == 1


def test_a_gap_that_two_late_packets_fill_is_no_gap(pair):
    # A batch is taken leg by leg: what came later on one leg, and so with fewer frames, may be taken first.
    pair.come(packets(0, 2))
    pair.come(packets(1), late_ns=3 * MS + 500_000)
    assert pair.metrics()["gaps_concealed"] == 1
    pair.come(packets(0), leg=1)
    pair.come(packets(1), late_ns=3 * MS, leg=1)
    assert pair.metrics()["gaps_concealed"] == 0
    assert pair.right(BASE, 48 * 3)


def test_the_first_writer_wins(pair):
    pair.come(packets(0))
    pair.accept(pair.packet(BASE)[:12] + bytes(288), pair.arrival(BASE, 2 * MS), leg=1)
    assert pair.right(BASE, 48)


def test_a_new_sender_is_followed_leg_by_leg_and_told_once(pair):
    for leg in (0, 1):
        pair.come(packets(*range(10)), leg=leg)
    for leg in (0, 1):
        pair.come(packets(*range(10, 120)), leg=leg, ssrc=7)
    ((name, event),) = pair.events
    assert (name, event["ssrc"], event["before"]) == ("source_changed", 7, 0x1234)
    assert of_leg(pair, "a") == of_leg(pair, "b") == {"received": 10 + 11, "foreign": 99}
    assert pair.right(BASE + 48 * 109, 48 * 11)


def test_one_leg_alone_follows_no_other_sender_while_the_other_leg_brings_the_stream(pair):
    # The network of leg a fails, and somebody else sends there: leg b still has the stream.
    for number in range(400):
        if number < 50:
            pair.come(packets(number))
        else:
            for ahead in (0, 40):
                pair.accept(
                    pair.packet(BASE + 48 * (number + ahead), ssrc=7)[:12] + bytes(288),
                    pair.arrival(BASE + 48 * number, MS),
                )
        pair.come(packets(number), leg=1)
    assert pair.events == []
    assert pair.right(BASE, 48 * 400)


def test_a_stray_packet_that_comes_first_on_one_leg_does_not_part_the_legs(pair):
    pair.come(packets(0), leg=1)
    pair.accept(pair.packet(BASE, ssrc=7, sequence=9)[:12] + bytes(288), pair.arrival(BASE, MS))
    for number in range(1, 20):
        pair.come(packets(number))
        pair.come(packets(number), leg=1)
    assert of_leg(pair, "a") == {"received": 19, "foreign": 1}


def test_a_relative_pair_has_one_relation(make):
    pair = make(address=A, leg_b={"address": B}, relative=True, mediaclk_offset=None)
    pair.come(packets(*range(10)))
    pair.come(packets(*range(10)), leg=1, late_ns=2 * MS)
    assert pair.counted() == {"packets_received": 10}


@pytest.mark.parametrize("after", [100, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("back", [900, 30_000])
def test_a_sender_that_begins_again_among_its_old_numbers(pair, back, after):
    for number in range(1000 + after):
        for leg in (0, 1):
            frame = BASE + 48 * number
            sequence = number if number < 1000 else number - back
            packet = pair.packet(frame, sequence=sequence)
            pair.accept(packet, pair.arrival(frame, MS + leg * MS), leg=leg)
    strays = CONFIRMED_BY - 1 if back == 900 else 1
    counted = pair.counted()
    assert counted.pop("packets_duplicate" if back == 900 else "packets_unconfirmed") == 2 * strays
    assert counted.pop("frames_concealed") == 48 * strays
    assert counted == {"packets_received": 1000 + after - strays}
    assert pair.right(BASE + 48 * (1000 + after * 6 // 10), 48 * (after * 4 // 10))


def test_legs_of_two_senders_are_one_stream(make):
    # RFC 7104 allows a duplicate under an SSRC of its own.
    pair = make(address=A, leg_b={"address": B}, relative=True, mediaclk_offset=None)
    for number in range(20):
        pair.come(packets(number))
        pair.come(packets(number), leg=1, ssrc=7, late_ns=2 * MS)
    assert pair.events == []
    assert pair.counted() == {"packets_received": 20}
    assert pair.receiver.media_clock.mapping_epoch == 0


def test_a_slow_leg_does_not_restart_the_relation(make, batch_of):
    pair = make(address=A, leg_b={"address": B}, relative=True, mediaclk_offset=None)
    pair.come(packets(0))
    pair.come(packets(0), leg=1, late_ns=30 * MS)
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes(pair.routes)
    for begin in range(1, 321, 80):
        numbers = packets(*range(begin, begin + 80))
        late = [(pair.packet(frame), pair.arrival(frame, 30 * MS), B) for frame in numbers]
        in_time = [(pair.packet(frame), pair.arrival(frame, MS), A) for frame in numbers]
        demultiplexer.distribute(batch_of(late + in_time))
    assert pair.counted() == {"packets_received": 321}
    assert of_leg(pair, "b")["late"] == 321
    assert [(name, fields["leg"]) for name, fields in pair.events] == [("timestamps_outside_window", "b")]


def test_when_both_legs_jump_they_are_followed(make):
    pair = make(address=A, leg_b={"address": B}, relative=True, mediaclk_offset=None)
    for number in range(40):
        frame = packets(number)[0]
        for leg in (0, 1):
            packet = pair.packet(frame + (48_000 * 77 if number >= 20 else 0), sequence=number)
            pair.accept(packet, pair.arrival(frame, MS), leg=leg)
    assert of_leg(pair, "a")["early"] == of_leg(pair, "b")["early"] == CONFIRMED_BY


def test_legs_with_one_address_are_told_apart(make, batch_of):
    one = make(address=A, leg_b={})
    one.receiver.legs[0].interface, one.receiver.legs[1].interface = 3, 4
    two = make(address=B, source="192.0.2.1", leg_b={"source": "192.0.2.2"})
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes([*one.routes, *two.routes])
    rows = []
    for frame in packets(*range(8)):
        at = one.arrival(frame, MS)
        rows += [(one.packet(frame), at, A, "192.0.2.9", interface) for interface in (3, 4, 5)]
        rows += [(two.packet(frame), at, B, f"192.0.2.{host}") for host in (1, 2, 3)]
    demultiplexer.distribute(batch_of(rows[:6]))
    demultiplexer.distribute(batch_of(rows[6:]))
    for stage in (one, two):
        assert of_leg(stage, "a") == of_leg(stage, "b") == {"received": 8}
        assert stage.quick == 14
        assert stage.counted() == {"packets_received": 8}
    assert demultiplexer.packets_unrouted == 16


@CALM
@given(
    lost=st.tuples(st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59))),
    doubled=st.sets(st.integers(0, 59), max_size=5),
    skew=st.sampled_from([0, 100_000, 1_400_000, 9 * MS]),
    jitter=st.sampled_from([0, 900_000, 3 * MS]),
    most=st.sampled_from([1, 5, 40]),
    before_wrap=st.none() | st.integers(0, 60),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.slow
def test_whatever_the_legs_lose(
    make: Any, batch_of: Any, lost: tuple[set[int], set[int]], doubled: set[int], skew: int, jitter: int, most: int,
    before_wrap: int | None, seed: int
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    together, singly = (make(address=A, leg_b={"address": B}, link_offset_ns=20 * MS) for _ in range(2))
    first = BASE if before_wrap is None else 3 * 2**32 * (BASE // (3 * 2**32)) - 48 * before_wrap
    arriving = []
    for leg in (0, 1):
        for number in range(60):
            if number not in lost[leg]:
                frame = first + 48 * number
                at = together.arrival(frame, MS + leg * skew + int(random.integers(jitter + 1)))
                copies = 2 if leg == 0 and number in doubled else 1
                arriving += [(together.packet(frame), at, (A, B)[leg])] * copies
    arriving.sort(key=lambda one: one[1])
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes(together.routes)
    at = 0
    while at < len(arriving):
        lot = arriving[at : at + int(random.integers(1, most + 1))]
        at += len(lot)
        demultiplexer.distribute(batch_of(lot))
        by_leg = sorted(lot, key=lambda one: one[2])  # a batch is taken leg by leg
        for packet, arrival_ns, address in by_leg:
            singly.accept(packet, arrival_ns, leg=(A, B).index(address))
    came = sorted(set(range(60)) - (lost[0] & lost[1]))
    for stage in (together, singly):
        assert stage.receiver.packets_received == len(came)
        for number in came:
            assert stage.right(first + 48 * number, 48)
        if came:
            gone = came[-1] - came[0] + 1 - len(came)
            figures = stage.metrics()
            assert figures["packets_lost"] == gone
            assert figures["frames_concealed"] == 48 * gone
            assert figures["gaps_concealed"] == int((np.diff(came) > 1).sum())
            assert figures["packets_duplicate"] == len(doubled - lost[0])
    assert together.metrics() == singly.metrics()
