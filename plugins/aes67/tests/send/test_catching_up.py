"""A sender that came late, was suspended, or whose clock was stepped."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasegraph_aes67.send.egress_watch import PacingWatch
from phasegraph_aes67.send.schedule import STALL_NS

CALM = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
MS = 1_000_000
MOST_LATE_NS = STALL_NS - 100 * MS


def gaps(sent):
    return [later.at_ns - sooner.at_ns for sooner, later in pairwise(sent)]


def test_late_by_a_few_packets(rig, samples):
    one = rig()
    one.run(10)
    sent = one.run(30, late_ns=[5 * MS + 300_000])
    late = [packet.at_ns - one.due_of(packet) for packet in sent]
    assert late[0] == 5_300_000
    assert late == sorted(late, reverse=True), "each one is less late than the one before"
    assert late[-1] == 0
    # At a fifth of the packet time while they are more than a millisecond late, then at half of it.
    assert gaps(sent)[:9] == [MS // 5] * 6 + [MS // 2] + [MS] * 2
    assert samples(one.sender.of(0)) == list(range(40 * 48))
    assert one.group.resyncs == 0
    assert one.group.metrics()["pacing_error_max_ns"] == 5_300_000
    assert one.group.metrics()["packets_back_to_back"] == 6, "those at a fifth of the packet time"


@settings(CALM, max_examples=40)
@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 40_000]) | st.integers(0, 3 * MS), max_size=120),
    st.sampled_from([(48_000, 48), (48_000, 6), (44_100, 48), (48_000, 16)]),
    st.integers(0, MOST_LATE_NS),
)
def test_however_late_never_two_at_once(rig, samples, late_ns, kind, stall_ns):
    rate, frames = kind
    one = rig(rate=rate, frames=frames)
    sent = one.run(len(late_ns), late_ns=late_ns)
    most = max((packet.at_ns - one.due_of(packet) for packet in sent), default=0)
    if most > MOST_LATE_NS:
        return
    sent += one.run(1, late_ns=[stall_ns])
    sent += one.run(400)
    interval_ns = round(frames * 1e9 / rate)
    assert len(sent) == len(late_ns) + 401, "one packet a step"
    assert min(gaps(sent)) >= interval_ns // 5
    assert min(packet.at_ns - one.due_of(packet) for packet in sent) >= 0, "never before its time"
    assert {(b.timestamp - a.timestamp) % 2**32 for a, b in pairwise(sent)} == {frames}
    assert samples(sent) == list(range(frames * len(sent)))
    assert one.group.resyncs == 0


@settings(CALM, max_examples=40)
@given(st.lists(st.sampled_from([0, 0, 0, 9_000]) | st.integers(0, 40 * MS), max_size=60))
def test_never_two_at_once_when_the_sending_itself_is_held_up(rig, samples, stalls_ns):
    # The thread loses the processor within the call, after the time was read: what leaves then leaves late.
    one = rig()
    sent = one.run(5)
    one.sender.stalls_ns = list(stalls_ns)
    sent += one.run(120)
    assert min(gaps(sent)) >= MS // 5
    assert samples(sent) == list(range(48 * 125))


def passed_frames(before, after):
    return (after.timestamp - before.timestamp + 2**31) % 2**32 - 2**31


def resumed(one, sent, samples, *, before):
    """The stream goes on, on time, with nothing left out, at new timestamps of the same series."""
    assert samples(one.sender.of(0)) == list(range(48 * len(one.sender.of(0))))
    assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * len(sent)
    packets, rest = divmod(passed_frames(before, sent[0]), 48)
    assert rest == 0
    assert (sent[0].sequence - before.sequence) % 2**16 == packets % 2**16


@pytest.mark.parametrize("follows", [True, False])
def test_after_a_long_stall_it_begins_again_at_the_present(rig, make_input, samples, follows):
    one = rig(make_input(follows=follows))
    before = one.run(20)[-1]
    one.run(1, late_ns=[STALL_NS + 1])
    sent = one.run(50)
    assert one.group.resyncs == 1
    assert len(sent) == 50
    if follows:
        resumed(one, sent, samples, before=before)
    else:
        first = samples(sent)[0]
        assert samples(sent) == list(range(first, first + 2400)), "media time that passed is not played"
    passed_ns = sent[0].at_ns - before.at_ns
    assert passed_ns == pytest.approx(STALL_NS, abs=10 * MS)
    assert (sent[0].timestamp - before.timestamp) % 2**32 == round(passed_ns * 48 / MS)


@pytest.mark.parametrize(
    "step_ns", [10_000 * MS, -10_000 * MS, 3_600_000 * MS + 333, -3_600_000 * MS - 333, 1_300 * MS]
)
def test_a_great_step_of_the_clock_is_followed_at_once(rig, samples, step_ns):
    one = rig()
    before = one.run(20)[-1]
    one.time.step(step_ns)
    now = one.time.ns
    one.group.send_due(now)
    sent = one.run(50)
    assert one.group.resyncs == 1
    resumed(one, sent, samples, before=before)
    assert sent[0].at_ns - before.at_ns < 6 * MS
    assert passed_frames(before, sent[0]) == pytest.approx(step_ns * 48 / MS, abs=300)


@pytest.mark.parametrize("step_ns", [100 * MS, -100 * MS, 3 * MS, -3 * MS, 40_000, -40_000])
def test_a_small_step_is_caught_up_with(rig, samples, step_ns):
    one = rig()
    before = one.run(20)[-1]
    one.time.step(step_ns)
    sent = one.run(300)
    assert one.group.resyncs == 0
    assert (sent[0].timestamp - before.timestamp) % 2**32 == 48
    assert samples(one.sender.of(0)) == list(range(320 * 48))
    assert sent[-1].at_ns == one.due_of(sent[-1])
    assert min(gaps([before, *sent])) >= MS // 5


def test_what_was_ready_before_a_stall_is_sent_after_it(rig, make_input, samples):
    # Several members, one of which has ended in what is ready.
    one = rig(make_input(25 * 48 + 7), make_input())
    one.run(20)
    one.run(1, late_ns=[STALL_NS + MS])
    one.run(50)
    assert one.group.resyncs == 1
    assert samples(one.sender.of(0)) == list(range(25 * 48 + 7))
    assert samples(one.sender.of(1)) == list(range(70 * 48))


def test_a_sender_that_stays_behind_is_in_trouble():
    events = []
    watch = PacingWatch(lambda name, fields: events.append((name, fields)))
    for late_ns, troubled in ((900 * MS, False), (890 * MS, True), (880 * MS, True), (0, False), (60 * MS, False)):
        watch.check(late_ns)
        assert bool(watch.trouble) == troubled
    assert events == [("sender_behind", {"behind_ns": 890 * MS})]


def test_how_late_the_newest_packet_left_is_known_and_passes(rig):
    one = rig()
    one.run(10)
    assert one.group.schedule.behind_ns == 0
    one.run(1, late_ns=[300 * MS])
    assert one.group.schedule.behind_ns == 300 * MS
    one.run(400)
    assert one.group.schedule.behind_ns == 0
