"""Packets leave one packet time apart, to the nanosecond, for as long as they are sent."""

from itertools import pairwise

import pytest

from phasegraph_aes67.send.packet_store import PREPARED_NS

MS = 1_000_000
PACKETS = 400


@pytest.mark.parametrize(
    ("rate", "frames"),
    [
        pytest.param(48_000, 48, id="1 ms"),
        pytest.param(48_000, 6, id="125 us"),
        pytest.param(48_000, 16, id="333 us"),
        pytest.param(44_100, 48, id="1 ms of 44.1 kHz"),
        pytest.param(44_100, 6, id="125 us of 44.1 kHz"),
        pytest.param(96_000, 384, id="4 ms of 96 kHz"),
        pytest.param(48_000, 960, id="20 ms"),
    ],
)
@pytest.mark.parametrize("rate_ppb", [0.0, 37_211.0])
def test_every_packet_leaves_at_its_time(rig, rate, frames, rate_ppb):
    one = rig(rate=rate, frames=frames, rate_ppb=rate_ppb)
    exact_ns = frames * 1e9 / rate / (1 + rate_ppb / 1e9)
    begin = None
    for _ in range(3):
        sent = one.run(PACKETS)
        begin = begin or sent[0]
        assert len(sent) == PACKETS
        assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * PACKETS
        assert {(b.timestamp - a.timestamp) % 2**32 for a, b in pairwise(sent)} == {frames}
        assert {(b.sequence - a.sequence) % 2**16 for a, b in pairwise(sent)} == {1}
        assert max(abs(b.at_ns - a.at_ns - exact_ns) for a, b in pairwise(sent)) <= 2
        # No fraction of a nanosecond is lost, however many packets there were.
        frames_since = (sent[-1].timestamp - begin.timestamp) % 2**32
        assert sent[-1].at_ns - begin.at_ns == pytest.approx(frames_since / frames * exact_ns, abs=2)
        one.leave_out(minutes := 7 * 60.0)
        assert one.group.due_ns() - sent[-1].at_ns == pytest.approx(minutes * 1e9, rel=0.001)
    assert one.group.metrics()["pacing_error_max_ns"] == 0
    assert one.group.resyncs == 0


@pytest.mark.parametrize("lead_ns", [0, 125_000, MS, 5 * MS])
def test_the_lead(rig, lead_ns):
    one = rig(lead_ns=lead_ns)
    sent = one.run(10)
    media_ns = [one.due_of(packet) - lead_ns for packet in sent]
    assert [packet.at_ns - at for packet, at in zip(sent, media_ns, strict=True)] == [lead_ns] * 10
    assert one.group.metrics()["lead_ns"] == lead_ns


def test_packets_begin_at_whole_packets_since_the_epoch(rig):
    # So two senders of one clock, or one that starts again, have the same packets.
    one, other = rig(frames=16), rig(frames=16)
    other.time.ns += 3 * MS + 777
    sent, then = one.run(40), other.run(20)
    assert (sent[0].timestamp - 1_790_000_000 * 48_000) % 16 == 0
    numbers = {packet.timestamp: packet.sequence for packet in sent}
    assert len([packet for packet in then if packet.timestamp in numbers]) >= 10
    assert all(numbers.get(packet.timestamp, packet.sequence) == packet.sequence for packet in then)


def test_the_content(rig, samples):
    one = rig()
    assert samples(one.run(100)) == list(range(4800))


def test_a_file_is_read_ahead_but_not_far(rig, make_input):
    source = make_input()
    one = rig(source)
    for _ in range(20):
        sent = len(one.run(7))
        max_early_ns = (source.taken - 48 * sum(member.packets_sent for member in one.streams)) * 1e9 / 48_000
        assert sent == 7
        assert max_early_ns <= PREPARED_NS


def test_what_comes_from_the_network_is_read_when_its_packet_leaves(rig, make_input, samples):
    source = make_input(follows=False)
    one = rig(source)
    frame = one.group.schedule.start_frame
    assert samples(one.run(50)) == [n % 2**23 for n in range(frame, frame + 2400)]
    assert source.reads == [(frame + 48 * n, 48) for n in range(50)]


def test_streams_of_a_group_leave_together(rig, make_input, samples):
    one = rig(*(make_input() for _ in range(5)))
    one.run(30)
    for stream in range(5):
        sent = one.sender.of(stream)
        assert [packet.at_ns for packet in sent] == [packet.at_ns for packet in one.sender.of(0)]
        assert samples(sent) == list(range(30 * 48))
        assert one.streams[stream].packets_sent == 30


def test_what_the_system_refuses_is_counted(rig, make_input, samples):
    one = rig(make_input(), make_input(), make_input())
    one.run(5)
    one.sender.refuse = {1}
    one.run(5)
    one.sender.refuse = set()
    one.run(5)
    assert [member.packets_sent for member in one.streams] == [15, 10, 15]
    assert [member.send_errors for member in one.streams] == [(0,), (5,), (0,)]
    assert samples(one.sender.of(1)) == [*range(240), *range(480, 720)]
    assert one.sender.of(2)[-1].at_ns == one.sender.of(1)[-1].at_ns


def test_packets_are_ready_again_after_their_preparation_was_held_up(rig, make_input, monkeypatch):
    source = make_input()
    one = rig(source)
    read = source.read

    def held_up(frame, out, local_ns):
        one.time.ns += 5 * MS
        return read(frame, out, local_ns)

    one.run(100)
    with monkeypatch.context() as patch:
        patch.setattr(source, "read", held_up)
        one.run(40)
    one.run(600)
    store, (stream,) = one.group._store, one.streams
    for _ in range(store.depth):
        one.run(1)
        assert stream.built > one.group.schedule.next_packet + store.depth - 2 * store.chunk
