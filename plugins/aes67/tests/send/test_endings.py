"""Inputs that end, or are not there in time."""

import pytest


@pytest.mark.parametrize("length", [1, 47, 48, 49, 480, 481, 1000])
def test_the_last_packet_is_as_short_as_what_is_left(rig, make_input, samples, length):
    one = rig(make_input(length))
    sent = one.run(100)
    assert one.group.done
    assert samples(sent) == list(range(length))
    assert len(sent) == -(-length // 48) == one.streams[0].packets_sent
    assert len(sent[-1].packet) == 12 + 3 * (length - 48 * (len(sent) - 1))
    assert one.group.metrics()["pacing_error_max_ns"] == 0


def test_an_input_without_a_frame_sends_nothing(rig, make_input):
    one = rig(make_input(0))
    assert one.run(10) == []
    assert one.group.done
    assert one.streams[0].packets_sent == 0
    assert "pacing_error_max_ns" not in one.group.metrics(), "nothing was paced"


def test_an_input_from_the_network_that_ends(rig, make_input, samples):
    source = make_input(follows=False)
    one = rig(source)
    begin = one.group.schedule.start_frame
    source.end = begin + 100
    assert samples(one.run(100)) == [n % 2**23 for n in range(begin, begin + 100)]
    assert one.group.done


def test_members_end_at_different_times(rig, make_input, samples):
    lengths = [480, 100, 1000, 48, 961]
    one = rig(*(make_input(length) for length in lengths))
    one.run(100)
    assert one.group.done
    for stream, length in enumerate(lengths):
        sent = one.sender.of(stream)
        assert samples(sent) == list(range(length))
        assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * len(sent)
        assert one.streams[stream].packets_sent == -(-length // 48)


def test_a_member_that_is_taken_away_does_not_disturb_the_others(rig, make_input, samples):
    one = rig(make_input(), make_input())
    one.run(10)
    one.group.remove(one.streams[0])
    one.run(10)
    assert one.streams[0].packets_sent == 10
    assert samples(one.sender.of(1)) == list(range(20 * 48))
    assert not one.group.done


def test_silence_keeps_flowing_and_nothing_is_lost(rig, make_input, samples):
    source = make_input()
    source.head = 10 * 48 + 20
    one = rig(source)
    sent = one.run(30)
    assert samples(sent) == [*range(500), *[0] * (30 * 48 - 500)]
    assert [packet.at_ns - one.due_of(packet) for packet in sent] == [0] * 30
    source.head, source.ended = 1000, True
    assert samples(one.run(30)) == list(range(500, 1000))
    assert one.group.done
