"""Packets that are handed over early, to a queue that holds them until their time."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasegraph_aes67.send.launch_time import MAX_EARLY_NS, MIN_EARLY_NS, early_limit
from phasegraph_aes67.send.paced_stream import PacedStream, StreamGroup
from phasegraph_aes67.send.schedule import STALL_NS

CALM = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
MS = 1_000_000
GROUP, HOST = "239.1.1.1", "10.0.0.7"


def early(one):
    """How long before it left each packet was handed over, of a rig with one stream."""
    handed = [at_ns for at_ns, count in one.sender.handed for _ in range(count)]
    return [sent.at_ns - at_ns for sent, at_ns in zip(one.sender.of(0), handed, strict=True)]


def gaps(sent):
    return [later.at_ns - sooner.at_ns for sooner, later in pairwise(sent)]


@pytest.mark.parametrize(
    ("rate", "frames", "batch"),
    [
        pytest.param(48_000, 48, 14, id="1 ms"),
        pytest.param(48_000, 6, 14, id="125 us"),
        pytest.param(48_000, 16, 14, id="333 us"),
        pytest.param(44_100, 48, 12, id="1 ms of 44.1 kHz"),
        pytest.param(96_000, 384, 3, id="4 ms of 96 kHz"),
        pytest.param(48_000, 960, 1, id="20 ms"),
    ],
)
@pytest.mark.parametrize("rate_ppb", [pytest.param(0.0, marks=pytest.mark.slow), 37_211.0])
def test_every_packet_leaves_at_its_time(rig, samples, rate, frames, batch, rate_ppb):
    one = rig(rate=rate, frames=frames, rate_ppb=rate_ppb, max_early_ns=MAX_EARLY_NS)
    one.run(300)
    sent = one.sender.of(0)
    assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * len(sent)
    assert samples(sent) == [n % 2**23 for n in range(len(sent) * frames)]
    assert {(b.sequence - a.sequence) % 2**16 for a, b in pairwise(sent)} == {1}
    # In batches, half of the way before they are due, and never earlier than was allowed.
    assert Counter(count for _, count in one.sender.handed).most_common(1)[0][0] == batch
    settled = early(one)[10 * batch :]
    assert max(settled) <= MAX_EARLY_NS + 1000
    assert min(settled) >= min(MAX_EARLY_NS, 28 * one.group.schedule.interval_ns) // 2 - one.group.schedule.interval_ns
    metrics = one.group.metrics()
    assert (metrics["pacing"], metrics["pacing_error_max_ns"]) == ("queue", 0)
    assert one.streams[0].packets_sent == len(sent)


@pytest.mark.parametrize("lead_ns", [1_500_000, 2 * MS, 3 * MS, 10 * MS])
def test_a_live_input_is_never_read_sooner_than_with_the_shortest_lead(rig, make_input, samples, lead_ns):
    source = make_input(follows=False)
    ahead = early_limit("auto", addresses=[GROUP], can_read_ahead=False, lead_ns=lead_ns, packet_ns=MS)
    one = rig(source, lead_ns=lead_ns, max_early_ns=ahead.ns)
    frame = one.group.schedule.start_frame
    read_at = []
    reading = source.read
    source.read = lambda first, out, ns: read_at.append((first + len(out), one.time.ns)) or reading(first, out, ns)
    one.run(60)
    sent = one.sender.of(0)
    assert samples(sent) == [n % 2**23 for n in range(frame, frame + 48 * len(sent))]
    assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * len(sent)
    for stop, at_ns in read_at:
        assert one.time.clock.reference_at(at_ns) * 48 // MS >= stop, "its last frame is over by then"
    assert min(early(one)) >= min(lead_ns - MS, 3 * MS)


def test_what_an_input_has_not_yet_is_waited_for_until_it_is_due(rig, make_input, samples):
    source = make_input()
    source.head = 40 * 48 + 20
    one = rig(source, max_early_ns=MAX_EARLY_NS)
    one.run(60)
    while len(one.sender.sent) < 60:
        one.run(1)
    dry = [ns for ns, packet in zip(early(one), one.sender.of(0), strict=True) if samples([packet])[-1] == 0]
    assert dry
    assert dry == [0] * len(dry), "silence is decided when it has to sound, not before"
    source.head = 1 << 40
    one.run(200)
    sent = one.sender.of(0)
    assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * len(sent)
    assert [n for n in samples(sent) if n] == list(range(1, 1 + sum(n > 0 for n in samples(sent)))), "nothing is lost"
    assert early(one)[-1] > MAX_EARLY_NS // 4


@settings(CALM, max_examples=20)
@given(
    st.lists(st.sampled_from([0, 0, 0, 100_000]) | st.integers(0, 40 * MS), max_size=30),
    st.sampled_from([(48_000, 48), (48_000, 6), (44_100, 48)]),
    st.integers(0, STALL_NS - 100 * MS),
)
@pytest.mark.slow
def test_a_stall_is_made_up_for_with_distance(rig, samples, late_ns, kind, stall_ns):
    rate, frames = kind
    one = rig(rate=rate, frames=frames, max_early_ns=MAX_EARLY_NS)
    one.run(len(late_ns), late_ns=late_ns)
    if max((packet.at_ns - one.due_of(packet) for packet in one.sender.of(0)), default=0) > STALL_NS // 2:
        return
    one.run(1, late_ns=[stall_ns // 2])
    one.run(150)
    sent = one.sender.of(0)
    assert one.group.resyncs == 0
    assert samples(sent) == [n % 2**23 for n in range(frames * len(sent))]
    assert min(packet.at_ns - one.due_of(packet) for packet in sent) >= 0
    assert min(gaps(sent)) >= one.group.schedule.interval_ns // 5
    handed = [leaves.at_ns - ahead for leaves, ahead in zip(sent, early(one), strict=True)]
    for first, last in zip(sent, handed[99:], strict=False):  # fq takes 100 packets of a stream
        assert first.at_ns <= last


def test_short_delays_of_the_thread_are_not_heard_of(rig):
    one = rig(max_early_ns=MAX_EARLY_NS)
    one.run(20)
    one.run(40, late_ns=[0, 7 * MS, 1 * MS, 8 * MS, 0, 0, 3 * MS] * 5)
    sent = one.sender.of(0)
    assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * len(sent)


def test_the_queue_goes_and_comes_back(rig, samples):
    one = rig(max_early_ns=MAX_EARLY_NS)
    one.run(20)
    one.sender.why_not_scheduled = "the queue is pfifo"
    one.group.set_launch(one.sender.why_not_scheduled)
    before = len(one.sender.sent)
    one.run(50)
    metrics = one.group.metrics()
    assert (metrics["pacing"], one.group.launch.reason) == ("thread", "the queue is pfifo")
    assert early(one)[before:] == [0] * 50
    one.sender.why_not_scheduled = ""
    one.group.set_launch("")
    one.run(50)
    assert one.group.metrics()["pacing"] == "queue"
    sent = one.sender.of(0)
    assert samples(sent) == list(range(48 * len(sent)))
    assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * len(sent)


@pytest.mark.parametrize("step_ns", [100 * MS, -100 * MS, 3 * MS, -3 * MS, 3_600_000 * MS, -3_600_000 * MS])
def test_a_step_of_the_clock_keeps_order_and_distance(rig, samples, step_ns):
    one = rig(max_early_ns=MAX_EARLY_NS)
    one.run(20)
    one.time.step(step_ns)
    one.group.send_due(one.time.ns)
    one.run(100)
    sent = one.sender.of(0)
    assert samples(sent) == list(range(48 * len(sent)))
    assert min(gaps(sent)) >= MS // 5
    assert max(gaps(sent)) < max(abs(step_ns) % 3_600_000_000_000, MAX_EARLY_NS) + 6 * MS
    assert sent[-1].at_ns == one.due_of(sent[-1])


def test_every_member_has_its_times(rig, make_input, samples):
    lengths = [48 * 100 + 7, 48 * 33, None]
    one = rig(*(make_input(length) for length in lengths), max_early_ns=MAX_EARLY_NS)
    one.run(200)
    for stream, length in enumerate(lengths):
        sent = one.sender.of(stream)
        assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * len(sent)
        assert samples(sent) == list(range(48 * len(sent) if length is None else length))
        assert one.streams[stream].packets_sent == len(sent)


def test_both_legs_leave_at_the_same_times(rig, make_input):
    one = rig(max_early_ns=MAX_EARLY_NS)
    legs = [type(one.sender)(one.time, ""), type(one.sender)(one.time, "")]
    member = PacedStream(one.streams[0].packetiser, make_input(), ("239.1.1.1", 0), ("239.2.2.2", 0))
    one.group = StreamGroup([member], legs, one.time, one.time, one.lead_ns, MAX_EARLY_NS)
    one.group.set_launch("")
    one.run(40)
    first, second = (leg.of(0) for leg in legs)
    assert len(first) > 40
    assert first == second
    assert [packet.at_ns - one.due_of(packet) for packet in second] == [0] * len(second)


def test_what_is_refused_is_counted_where_it_belongs(rig, make_input):
    one = rig(make_input(), make_input(), max_early_ns=MAX_EARLY_NS)
    one.sender.refuse = {1}
    one.run(40)
    kept, refused = one.streams
    assert (kept.packets_sent, kept.send_errors) == (len(one.sender.of(0)), (0,))
    assert (refused.packets_sent, refused.send_errors) == (0, (kept.packets_sent,))


@pytest.mark.parametrize(("room", "max_early_ns"), [(1000, 28 * MS), (24, 6 * MS), (4, MS), (3, 0)])
def test_no_more_is_early_than_the_socket_has_room_for(rig, room, max_early_ns):
    one = rig(room=room, max_early_ns=MAX_EARLY_NS)
    one.run(100)
    assert one.group.schedule.max_early_ns == max_early_ns
    assert max(early(one)) <= max_early_ns
    assert bool(one.group.launch.reason) == (max_early_ns == 0)


@pytest.mark.parametrize(
    ("pacing", "address", "follows", "lead_ns", "expected"),
    [
        ("auto", GROUP, True, MS, MAX_EARLY_NS),
        ("queue", GROUP, True, MS, MAX_EARLY_NS),
        ("thread", GROUP, True, MS, 0),
        ("auto", HOST, True, MS, "leave by another interface"),
        ("queue", HOST, True, MS, MAX_EARLY_NS),
        ("auto", GROUP, False, MS, "set lead to at least 1500us"),
        ("queue", GROUP, False, MS, "set lead to at least 1500us"),
        ("auto", GROUP, False, 0, "set lead to at least 1500us"),
        ("auto", GROUP, False, 1_500_000, MIN_EARLY_NS),
        ("auto", GROUP, False, 4 * MS, 3 * MS),
        ("auto", GROUP, False, 100 * MS, MAX_EARLY_NS),
    ],
)
def test_how_early_packets_may_be(pacing, address, follows, lead_ns, expected):
    ahead = early_limit(pacing, addresses=[GROUP, address], can_read_ahead=follows, lead_ns=lead_ns, packet_ns=MS)
    if isinstance(expected, int):
        assert ahead == (expected, "")
    else:
        assert ahead.ns == 0
        assert expected in ahead.reason
