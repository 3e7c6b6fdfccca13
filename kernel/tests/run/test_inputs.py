"""What a sink plays: aligned and sequential edges, channel maps, gaps and ends."""

import numpy as np
import pytest

from phasegraph import Encoding, Frames, StreamFormat, duration_of, silence
from phasegraph._run.inputs import SinkInput
from phasegraph._run.taps import AlignedTap, SequentialTap, Tap
from phasegraph.testing import counter_frames

RATE = 48000
NOTHING = 8_388_608


def at(frame: int) -> int:
    """Local time at which a frame of media time has just begun."""
    return duration_of(frame, RATE) + 1


def sink(clock, *taps: Tap | tuple[Tap, list[int]]) -> SinkInput:
    pairs = [tap if isinstance(tap, tuple) else (tap, None) for tap in taps]
    width = sum(len(channels) if channels else tap.stream.format.channels for tap, channels in pairs)
    return SinkInput(pairs, StreamFormat(RATE, width), clock)


def read(input: SinkInput, frame: int, count: int) -> tuple[Frames, int]:
    out = np.full((count, input.format.channels), 0.5, np.float32)
    return out, input.read(frame, out, at(frame))


class TestAligned:
    def test_the_sinks_frame_is_the_sources_plus_the_link_offset(self, make_stream, write, clock):
        stream = make_stream(delay=480, channels=2)
        write(stream, 10_000, 1000)
        out, count = read(sink(clock, AlignedTap(stream)), 10_480 + 100, 300)
        assert count == 300
        np.testing.assert_array_equal(out, counter_frames(10_100, 300, 2))

    def test_gaps_are_silence_and_counted(self, make_stream, write, clock):
        stream = make_stream()
        write(stream, 0, 100)
        write(stream, 148, 100)
        input = sink(clock, AlignedTap(stream))
        out, _ = read(input, 0, 248)
        np.testing.assert_array_equal(out[:100], counter_frames(0, 100, 1))
        assert not out[100:148].any()
        np.testing.assert_array_equal(out[148:], counter_frames(148, 100, 1))
        assert input.figures.latest.missing_frames == 48

    def test_what_comes_before_the_first_and_after_the_last_is_no_loss(self, make_stream, write, clock):
        stream = make_stream()
        write(stream, 1000, 100)
        input = sink(clock, AlignedTap(stream))
        read(input, 0, 500)
        read(input, 900, 150)
        stream.finish()
        _, count = read(input, 1050, 100)
        assert count == 50
        assert read(input, 1150, 100)[1] == 0
        assert input.figures.latest.missing_frames == 0

    def test_what_should_have_come_by_now_is_a_loss(self, make_stream, write, clock):
        stream = make_stream()
        write(stream, 0, 100)
        input = sink(clock, AlignedTap(stream))
        read(input, 80, 100)
        assert input.figures.latest.missing_frames == 80
        assert input.available(80) == 20

    def test_an_underrun_is_counted_once_however_long_it_lasts(self, make_stream, write, clock):
        stream = make_stream()
        write(stream, 0, 100)
        write(stream, 350, 150)
        input = sink(clock, AlignedTap(stream))
        counted = []
        for frame in range(0, 600, 100):
            read(input, frame, 100)
            counted.append((input.figures.latest.underruns, input.figures.latest.missing_frames))
        assert counted == [(0, 0), (1, 100), (1, 200), (1, 250), (1, 250), (2, 350)]

    def test_a_late_packet_is_there_for_the_next_read(self, make_stream, write, clock):
        stream = make_stream()
        write(stream, 48, 48)
        write(stream, 0, 48)
        assert stream.first == 0
        out, _ = read(sink(clock, AlignedTap(stream)), 0, 96)
        np.testing.assert_array_equal(out, counter_frames(0, 96, 1))


class TestSequential:
    def test_frames_follow_each_other_wherever_the_sink_begins(self, make_stream, write, clock):
        stream = make_stream(clocked=False)
        write(stream, 0, 1000)
        input = sink(None, SequentialTap(stream))
        out, _ = read(input, 77_000, 400)
        np.testing.assert_array_equal(out, counter_frames(0, 400, 1))
        out, _ = read(input, 77_400, 600)
        np.testing.assert_array_equal(out, counter_frames(400, 600, 1))

    def test_what_is_late_follows_after_the_silence(self, make_stream, write, clock):
        stream = make_stream(clocked=False)
        write(stream, 0, 100)
        input = sink(None, SequentialTap(stream))
        out, count = read(input, 0, 150)
        assert (count, input.figures.latest.missing_frames) == (150, 50)
        assert not out[100:].any()
        write(stream, 100, 80)
        stream.finish()
        out, count = read(input, 150, 100)
        np.testing.assert_array_equal(out[:80], counter_frames(100, 80, 1))
        assert (count, input.figures.latest.missing_frames) == (80, 50)
        assert read(input, 250, 10)[1] == 0

    def test_the_source_waits_for_its_slowest_reader(self, make_stream, write, clock):
        stream = make_stream(clocked=False, window=1000)
        fast, slow = sink(None, SequentialTap(stream)), sink(None, SequentialTap(stream))
        write(stream, 0, 1000)
        assert stream.room == 0
        read(fast, 0, 600)
        assert stream.room == 0
        read(slow, 0, 250)
        assert stream.room == 250

    def test_ready_when_something_is_there_or_never_will_be(self, make_stream, write, clock):
        a, b = make_stream(clocked=False), make_stream(clocked=False)
        input = sink(None, SequentialTap(a), SequentialTap(b))
        assert not input.ready
        write(a, 0, 1)
        assert not input.ready
        b.finish()
        assert input.ready
        assert input.can_read_ahead
        assert not sink(clock, AlignedTap(make_stream())).can_read_ahead

    def test_an_empty_file_ends_at_once(self, make_stream, clock):
        stream = make_stream(clocked=False)
        input = sink(None, SequentialTap(stream))
        taken = input.read_due(0, 100)
        assert taken is not None
        assert len(taken) == 0
        stream.finish()
        assert input.read_due(0, 100) is None


class TestChannels:
    def test_sources_lie_side_by_side(self, make_stream, write, clock):
        a, b = make_stream(channels=2), make_stream(channels=3, delay=10)
        write(a, 0, 100)
        write(b, 0, 100)
        out, _ = read(sink(clock, AlignedTap(a), AlignedTap(b)), 20, 50)
        np.testing.assert_array_equal(out[:, :2], counter_frames(20, 50, 2))
        np.testing.assert_array_equal(out[:, 2:], counter_frames(10, 50, 3))

    def test_channels_are_chosen_in_any_order(self, make_stream, write, clock):
        stream = make_stream(channels=4)
        write(stream, 0, 100)
        out, _ = read(sink(clock, (AlignedTap(stream), [3, 0, 3]), (AlignedTap(stream), [1])), 0, 100)
        np.testing.assert_array_equal(out, counter_frames(0, 100, 4)[:, [3, 0, 3, 1]])

    def test_a_channel_of_no_source_is_silence(self, make_stream, write, clock):
        stream = make_stream(channels=2)
        write(stream, 0, 100)
        out, _ = read(sink(clock, (AlignedTap(stream), [-1, 1, -1]), AlignedTap(stream)), 0, 100)
        assert not out[:, [0, 2]].any()
        np.testing.assert_array_equal(out[:, [1, 3, 4]], counter_frames(0, 100, 2)[:, [1, 0, 1]])

    def test_one_of_two_channels_beside_a_whole_source_of_the_same_width(self, make_stream, write, clock):
        a, b = make_stream(channels=2), make_stream(channels=2)
        write(a, 0, 50)
        write(b, 0, 50)
        out, _ = read(sink(clock, (AlignedTap(a), [1, 0]), AlignedTap(b)), 0, 50)
        both = counter_frames(0, 50, 2)
        np.testing.assert_array_equal(out, np.concatenate([both[:, ::-1], both], axis=1))

    def test_the_last_source_to_end_ends_the_input(self, make_stream, write, clock):
        a, b = make_stream(), make_stream(delay=20)
        write(a, 0, 100)
        write(b, 0, 100)
        a.finish()
        input = sink(clock, AlignedTap(a), AlignedTap(b))
        assert read(input, 60, 100)[1] == 100
        b.finish()
        out, count = read(input, 60, 100)
        assert count == 60
        assert not out[40:, 0].any()


class TestTake:
    def test_takes_what_is_due_in_sequence(self, make_stream, write, clock):
        stream = make_stream(delay=100)
        input = sink(clock, AlignedTap(stream))
        assert input.read_due(at(0), 1000).shape == (0, 1)
        write(stream, 5000, 900)
        assert len(input.read_due(at(5099), 1000)) == 0
        first = input.read_due(at(5100 + 299), 1000)
        second = input.read_due(at(5100 + 499), 150)
        third = input.read_due(at(5100 + 499), 150)
        np.testing.assert_array_equal(np.concatenate([first, second, third]), counter_frames(5000, 500, 1))

    def test_ends_with_the_last_frame(self, make_stream, write, clock):
        stream = make_stream(delay=100)
        write(stream, 0, 480)
        stream.finish()
        input = sink(clock, AlignedTap(stream))
        assert len(input.read_due(at(100_000), 1000)) == 480
        assert input.read_due(at(100_000), 1000) is None

    def test_a_source_that_never_sent_ends_without_a_frame(self, make_stream, clock):
        stream = make_stream(delay=100)
        input = sink(clock, AlignedTap(stream))
        assert len(input.read_due(at(1000), 1000)) == 0
        stream.finish()
        assert input.read_due(at(1000), 1000) is None

    def test_a_gap_is_as_long_as_it_was(self, make_stream, write, clock):
        stream = make_stream()
        input = sink(clock, AlignedTap(stream))
        write(stream, 0, 100)
        assert len(input.read_due(at(120), 1000)) == 100
        write(stream, 148, 52)
        rest = input.read_due(at(300), 1000)
        assert len(rest) == 100
        assert not rest[:48].any()
        np.testing.assert_array_equal(rest[48:], counter_frames(148, 52, 1))
        assert input.figures.latest.missing_frames == 48

    def test_a_file_beside_a_stream_keeps_its_pace(self, make_stream, write, clock):
        live, file = make_stream(delay=10), make_stream(clocked=False)
        write(live, 1000, 300)
        write(file, 0, 5000)
        input = sink(clock, AlignedTap(live), SequentialTap(file))
        taken = input.read_due(at(1010 + 199), 1000)
        np.testing.assert_array_equal(taken[:, :1], counter_frames(1000, 200, 1))
        np.testing.assert_array_equal(taken[:, 1:], counter_frames(0, 200, 1))

    def test_a_source_that_is_silent_costs_the_others_nothing(self, make_stream, write, clock):
        live, dead = make_stream(window=1000), make_stream(window=1000)
        input = sink(clock, AlignedTap(live), AlignedTap(dead))
        taken = []
        for number in range(50):
            write(live, 5000 + 100 * number, 100)
            taken.append(input.read_due(at(5100 + 100 * number), 10_000))
        live.finish()
        dead.finish()
        taken.append(input.read_due(at(20_000), 10_000))
        got = np.concatenate(taken)
        np.testing.assert_array_equal(got[:, :1], counter_frames(5000, 5000, 1))
        assert not got[:, 1].any()

    @pytest.mark.parametrize("ahead_ns", [50 * 365 * 86400 * 10**9, 37 * 10**9, -37 * 10**9, -50 * 365 * 86400 * 10**9])
    def test_goes_on_where_it_was_when_media_time_jumps(self, make_stream, write, clock, ahead_ns):
        # A grandmaster that finds its satellites jumps from 1970 to today: no recording of fifty silent years.
        stream = make_stream(delay=100)
        base = 10**15
        clock.set(ahead_ns=base)
        input = sink(clock, AlignedTap(stream))
        begin = base * RATE // 10**9
        write(stream, begin, 400)
        before = input.read_due(at(300), 10_000)
        assert len(before) == 201
        clock.set(ahead_ns=base + ahead_ns, discontinuities=1)
        jumped = begin + ahead_ns * RATE // 10**9
        write(stream, jumped + 400, 400)
        after = input.read_due(at(700), 10_000)
        assert 400 <= len(after) <= 402
        np.testing.assert_array_equal(after[-200:], counter_frames(jumped + 400, 201, 1)[-200:])


class TestAsReceived:
    """What was copied from L24, in groups of two, beside a stream that is not copied."""

    @pytest.mark.parametrize(
        ("channels", "kept"),
        [
            (None, [0, 1, 2, 3]),
            ([2, 3, 0, 1], [0, 1, 2, 3]),
            ([0, 1, 0, 1], [0, 1, 2, 3]),
            ([1, 0, 2, 3], [2, 3]),
            ([1, 2, 3], []),
            ([0, 1, 2], [0, 1]),
            ([-1, -1, 2, 3], [2, 3]),
            ([-1, 1, 2, 3], [2, 3]),
        ],
    )
    def test_pairs_that_stay_together(self, make_stream, write, clock, channels, kept):
        stream = make_stream(channels=4, delay=10)
        write(stream, 1000, 50)
        write(stream, 1060, 40)
        input = sink(clock, (AlignedTap(stream), channels))
        received = input.raw_samples(Encoding.L24, together=2)
        assert (received is None) is (not kept)
        if received is None:
            return
        out = np.zeros((100, input.format.channels, 3), np.uint8)
        there = received(1010, out)
        expected = np.zeros(there.shape, bool)
        expected[:50, kept] = expected[60:, kept] = True
        np.testing.assert_array_equal(there, expected)
        samples = Encoding.L24.encode(read(input, 1010, 100)[0]).reshape(out.shape)
        np.testing.assert_array_equal(out[there], samples[there])

    def test_pairs_are_the_sinks_too(self, make_stream, write, clock):
        one, two, file = make_stream(channels=1), make_stream(channels=4), make_stream(channels=2, clocked=False)
        for stream in (one, two, file):
            write(stream, 0, 10)
        input = sink(clock, (AlignedTap(one), None), (AlignedTap(two), [1, 2, 3]), (SequentialTap(file), None))
        received = input.raw_samples(Encoding.L24, together=2)
        there = received(0, np.zeros((10, 6, 3), np.uint8))
        assert there.all(axis=0).tolist() == [False, False, True, True, False, False]
        assert not there.any(axis=0)[[0, 1, 4, 5]].any()

    def test_only_of_that_encoding_and_only_copies(self, make_stream, clock):
        assert sink(clock, AlignedTap(make_stream())).raw_samples(Encoding.AM824) is None
        assert sink(clock, SequentialTap(make_stream(clocked=False))).raw_samples(Encoding.L24) is None


def test_silence_has_its_shape():
    assert silence(3, 2).shape == (3, 2)


class TestJumpsOfMediaTime:
    """However media time runs, a sink without a clock never writes more silence than real time has passed."""

    def test_a_jump_that_the_clock_does_not_confess_is_no_silence(self, make_stream, write, clock):
        stream = make_stream(delay=0, window=RATE)
        input = sink(clock, AlignedTap(stream))
        write(stream, 0, 480)
        assert len(input.read_due(at(480), 10_000)) == 480
        hours = 3 * 3600 * RATE
        clock.set(ahead_ns=at(hours))  # acquiring gave way to the leader's uptime, and nothing was counted
        stream.shift(hours)
        write(stream, hours + 480, 480)
        taken = input.read_due(at(960), 10**9)
        assert taken is not None
        assert len(taken) <= 481
        assert (input.figures.latest.media_time_jumps, input.figures.latest.last_jump_frames) == (1, hours)

    @pytest.mark.parametrize("ppm", [1e6, 1e8])
    def test_a_clock_that_runs_away_is_no_silence(self, make_stream, write, clock, ppm):
        stream = make_stream(delay=0, window=RATE)
        input = sink(clock, AlignedTap(stream))
        write(stream, 0, 480)
        clock.set(ppm=ppm)
        taken = 0
        for second in range(1, 20):
            stream.mark_written(0, second * 10 * RATE)
            frames = input.read_due(at(second * RATE), 10**7)
            taken += len(frames)
        assert taken <= 19 * RATE * 1.01 + 2 * RATE
        assert input.figures.latest.media_time_jumps > 0

    @pytest.mark.slow
    def test_a_clock_that_drifts_is_followed_without_jumps(self, make_stream, write, clock):
        stream = make_stream(delay=0, window=RATE)
        input = sink(clock, AlignedTap(stream))
        clock.set(ppm=200)
        taken = 0
        for number in range(3000):
            write(stream, number * 480, 480)
            taken += len(input.read_due(at(number * 480 + 480), 10_000))
        assert taken == pytest.approx(3000 * 480, abs=480)
        assert input.figures.latest.media_time_jumps == 0
