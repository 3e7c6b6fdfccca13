"""Many streams on one socket."""

import random

import msgspec
import pytest

from phasegraph_aes67.receive.demultiplexer import LEGS_TOGETHER, Demultiplexer, alike
from phasegraph_aes67.receive.stream_receiver import FAR_OFF

BASE = 48 * 1_790_000_000_000
MS = 1_000_000


def arriving(stage, numbers, **how):
    frames = [BASE + 48 * number for number in numbers]
    return [(stage.packet(frame, **how), stage.arrival(frame, MS), stage.parameters.address) for frame in frames]


def demultiplexer_of(*stages):
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes([route for stage in stages for route in stage.routes])
    return demultiplexer


def test_all_but_the_first_packet_go_the_quick_way(make, batch_of):
    # At the time of day, and over the wraps of both counters.
    wrap = 3 * 2**32 * (BASE // (3 * 2**32)) - BASE
    for start in (0, wrap // 48 - 20):
        stage = make()
        demultiplexer = demultiplexer_of(stage)
        demultiplexer.distribute(batch_of(arriving(stage, range(start, start + 1))))
        for begin in range(start + 1, start + 41, 10):
            demultiplexer.distribute(batch_of(arriving(stage, range(begin, begin + 10))))
        assert stage.quick == 40
        assert stage.counted() == {"packets_received": 41}
        assert stage.right(BASE + 48 * start, 48 * 41)


@pytest.mark.parametrize("rate", [44_100, 48_000, 88_200, 96_000, 192_000])
def test_the_quick_way_at_every_rate(make, batch_of, rate):
    stage = make(rate=rate)
    demultiplexer = demultiplexer_of(stage)
    for begin in range(0, 100, 20):
        demultiplexer.distribute(batch_of(arriving(stage, range(begin, begin + 20))))
    assert stage.quick == 99
    assert stage.right(BASE, 4800)


def test_the_marker_bit_does_not_matter(stage, batch_of):
    demultiplexer = demultiplexer_of(stage)
    demultiplexer.distribute(batch_of(arriving(stage, [0])))
    demultiplexer.distribute(batch_of(arriving(stage, range(1, 9), payload_type=98 | 0x80)))
    assert stage.quick == 8


def test_each_stream_gets_its_own(make, batch_of):
    stages = [make(address=f"239.1.1.{9 - n}", channels=1 + n, frames_per_packet=48) for n in range(5)]
    demultiplexer = demultiplexer_of(*stages)
    for begin in (0, 1, 11):
        packets = [arriving(stage, range(begin, begin + 10)) for stage in stages]
        demultiplexer.distribute(batch_of([packet for together in zip(*packets, strict=True) for packet in together]))
    addresses = [route.leg.parameters.address for route in demultiplexer.routes]
    assert addresses == [stage.parameters.address for stage in reversed(stages)]
    for stage in stages:
        assert stage.receiver.packets_received == 30
        assert stage.quick == 19
        assert stage.right(BASE, 48 * 21)


def test_trouble_of_one_stream_does_not_slow_the_others(make, batch_of):
    good, bad = make(address="239.1.1.1"), make(address="239.1.1.2")
    demultiplexer = demultiplexer_of(good, bad)
    demultiplexer.distribute(batch_of(arriving(good, [0]) + arriving(bad, [0])))
    demultiplexer.distribute(batch_of(arriving(good, range(1, 9)) + arriving(bad, [1, 2, 4, 5])))
    assert good.quick == 8
    assert bad.quick == 2
    assert bad.counted() == {"packets_received": 5, "packets_lost": 1, "frames_concealed": 48}


def test_a_gap_costs_the_packet_behind_it(stage, batch_of):
    demultiplexer = demultiplexer_of(stage)
    demultiplexer.distribute(batch_of(arriving(stage, [0])))
    numbers = [number for number in range(1, 100) if number not in (30, 60, 61)]
    demultiplexer.distribute(batch_of(arriving(stage, numbers)))
    assert stage.quick == len(numbers) - 2
    assert stage.counted() == {"packets_received": 97, "packets_lost": 3, "frames_concealed": 144}


def test_every_other_packet_lost_goes_one_by_one(stage, batch_of):
    demultiplexer = demultiplexer_of(stage)
    demultiplexer.distribute(batch_of(arriving(stage, range(0, 200, 2))))
    assert stage.quick == 0
    assert stage.counted() == {"packets_received": 100, "packets_lost": 99, "frames_concealed": 99 * 48}


def test_streams_on_different_clocks(make, make_clock, batch_of):
    slow, fast = make(address="239.1.1.1"), make(address="239.1.1.2", clock=make_clock(15_258.7890625))
    demultiplexer = demultiplexer_of(slow, fast)
    for begin in (0, 10):
        numbers = range(begin, begin + 10)
        demultiplexer.distribute(batch_of([*arriving(slow, numbers), (b"", 0, "239.9.9.9"), *arriving(fast, numbers)]))
    for stage in (slow, fast):
        assert stage.quick == 19
        assert stage.metrics()["lateness_max_ns"] == pytest.approx(MS, abs=2)
    assert demultiplexer.packets_unrouted == 2


def test_a_clock_may_jump_between_two_legs_of_a_batch(make, make_clock, batch_of):
    clock = make_clock()
    *others, other = stages = [make(address=f"239.1.1.{n}", clock=clock) for n in range(1, LEGS_TOGETHER + 2)]
    demultiplexer = demultiplexer_of(*stages)
    demultiplexer.distribute(batch_of([packet for one in stages for packet in arriving(one, range(2))]))
    packets = [packet for one in stages for packet in arriving(one, range(2, 30))]
    legs = demultiplexer.distribute_by_leg(batch_of(packets))
    next(legs)
    assert [one.receiver.packets_received for one in stages] == [30] * len(others) + [2]
    clock.now = msgspec.structs.replace(clock.now, reference_ns=clock.now.reference_ns + 2 * MS, discontinuities=1)
    for one in stages:
        one.receiver.sync_to_clock()  # as a reader does
    assert list(legs) == [1]
    singly = make(address=other.parameters.address, clock=make_clock())
    for packet, at, _ in arriving(singly, range(2)):
        singly.accept(packet, at)
    singly.clock.now = clock.now
    singly.receiver.sync_to_clock()
    for packet, at, _ in arriving(singly, range(2, 30)):
        singly.accept(packet, at)
    assert other.receiver.stream.head == singly.receiver.stream.head
    assert other.counted() == singly.counted()


def test_without_a_receiver(stage, batch_of):
    demultiplexer = demultiplexer_of(stage)
    demultiplexer.distribute(batch_of([(b"x" * n, 0, f"239.0.0.{n}") for n in range(1, 20)]))
    assert demultiplexer.packets_unrouted == 19
    assert stage.counted() == {}


def test_without_streams(stage, batch_of):
    demultiplexer = Demultiplexer()
    demultiplexer.distribute(batch_of(arriving(stage, [0, 1])))
    assert demultiplexer.packets_unrouted == 2
    demultiplexer.distribute(batch_of([]))


def test_streams_come_and_go(make, batch_of):
    one, other = make(address="239.1.1.1"), make(address="239.1.1.2")
    demultiplexer = demultiplexer_of(one)
    demultiplexer.distribute(batch_of(arriving(one, [0]) + arriving(other, [0])))
    demultiplexer.set_routes([*other.routes, *one.routes])
    demultiplexer.distribute(batch_of(arriving(one, [1]) + arriving(other, [1])))
    demultiplexer.set_routes(other.routes)
    demultiplexer.distribute(batch_of(arriving(one, [2]) + arriving(other, [2])))
    assert one.receiver.packets_received == 2
    assert other.receiver.packets_received == 2
    assert demultiplexer.packets_unrouted == 2


def test_a_relation_that_was_given_up_is_made_again_by_the_next_packet(make, batch_of):
    # Also where that one comes in time by the old relation.
    stages = [make(relative=True, mediaclk_offset=None) for _ in range(2)]
    together, singly = stages
    demultiplexer = demultiplexer_of(together)
    frames = [BASE + 48 * number for number in range(FAR_OFF + 2)]
    for number, frame in enumerate(frames):
        late_ns = 2 * MS if number == 0 else 5 * MS if number <= FAR_OFF else 3 * MS
        packet, at = together.packet(frame), together.arrival(frame, late_ns)
        singly.accept(packet, at)
        demultiplexer.distribute(batch_of([(packet, at, together.parameters.address)]))
    assert [name for name, _ in together.events] == ["timestamps_outside_window"]
    for stage in stages:
        assert stage.receiver.stream.head == frames[-1] + 144
        assert stage.metrics() == singly.metrics()


def test_several_receivers_of_one_stream_get_all_of_it(make, batch_of):
    stages = [make(), make(), make()]
    other = make(address="239.1.1.9")
    demultiplexer = demultiplexer_of(*stages, other)
    for begin in (0, 10, 20):
        packets = [*arriving(stages[0], range(begin, begin + 10)), *arriving(other, range(begin, begin + 10))]
        stray = (packets[0][0], packets[0][1], "239.1.1.77")
        demultiplexer.distribute(batch_of([*packets, stray]))
    for stage in (*stages, other):
        assert stage.counted() == {"packets_received": 30}
        assert stage.right(BASE, 48 * 30)
    assert demultiplexer.packets_unrouted == 3, "each is counted once"
    demultiplexer.set_routes([route for stage in (stages[1], other) for route in stage.routes])
    demultiplexer.distribute(batch_of(arriving(stages[1], range(30, 40))))
    assert stages[1].counted()["packets_received"] == 40
    assert stages[0].counted()["packets_received"] == 30


@pytest.mark.parametrize("seed", range(20))
def test_routes_that_are_added_one_by_one_are_those_that_are_set_together(make, seed):
    chance = random.Random(seed)
    stages = [
        make(address=f"239.1.1.{chance.randrange(4)}", source=chance.choice([None, None, "10.0.0.1", "10.0.0.2"]))
        for _ in range(24)
    ]
    for stage in stages:
        for route in stage.routes:
            route.leg.interface = chance.choice([0, 1, 2])
    routes = [route for stage in stages for route in stage.routes]
    together, singly = Demultiplexer(), Demultiplexer()
    together.set_routes(routes)
    for number, route in enumerate(routes):
        assert singly.has_alike(route.leg) == any(alike(route.leg, before.leg) for before in routes[:number])
        singly.add_route(route)
    assert [table.routes for table in singly._tables] == [table.routes for table in together._tables]
