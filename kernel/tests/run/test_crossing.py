"""Edges between clock domains: the read position is exact, however long it runs and wherever it is."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import (
    BufferLevel,
    ClockEstimate,
    Correction,
    DeviceRate,
    DeviceTime,
    Frames,
    FramesArrived,
    Observation,
    ReadPosition,
    silence,
)
from phasegraph._run.crossing import CrossingTap

RATE = 48000
BLOCK = 256
EPOCH = 1_790_000_000_000_000_000


class Straight:
    """A resampler that remembers where it was asked to read, and reads along straight lines."""

    reach = 1

    def __init__(self) -> None:
        self.offsets: list[float] = []

    def render(self, frames: Frames, offset: float, ratio: float, out: Frames) -> None:
        self.offsets.append(offset)
        at = offset + np.arange(len(out)) * ratio
        assert at[0] >= self.reach - 1e-9
        assert at[-1] + self.reach < len(frames)
        whole = np.floor(at).astype(int)
        share = (at - whole)[:, None]
        out[:] = frames[whole] * (1 - share) + frames[whole + 1] * share


class Told:
    """A compensator that decides what it was told to, and remembers what it saw."""

    def __init__(self, *corrections: Correction) -> None:
        self.corrections = list(corrections)
        self.seen: list[Observation] = []

    def observe(self, observation: Observation) -> None:
        self.seen.append(observation)

    def decide(self, local_ns: int) -> Correction:
        return self.corrections.pop(0) if len(self.corrections) > 1 else self.corrections[0]

    def of(self, kind: type) -> list:
        return [observation for observation in self.seen if isinstance(observation, kind)]


def ramp(stream, first: int, count: int) -> None:
    """Sample n is n modulo 2**12, so that its neighbours' difference is exact in 24 bits."""
    frames = ((np.arange(first, first + count) % 4096) * 2.0**-13)[:, None].astype(np.float32)
    stream.ring.write_frames(first, frames)
    stream.mark_written(first, first + count)


def begin(make_stream, clock, compensator, delay: int = 480) -> tuple[CrossingTap, int]:
    clock.set(ahead_ns=EPOCH)
    stream = make_stream(delay=delay, window=2 * RATE)
    first = EPOCH * RATE // 10**9
    return CrossingTap(stream, compensator, Straight()), first


def play(tap: CrossingTap, frame: int, local_ns: int) -> Frames:
    out = silence(BLOCK, 1)
    tap.fill(frame, out, local_ns)
    return out


def test_begins_at_media_time_less_the_link_offset(make_stream, clock):
    tap, first = begin(make_stream, clock, Told(Correction(0.0)))
    ramp(tap.stream, first, RATE)
    out = play(tap, 0, 10**9 // 2)  # frame 24000 of the run sounds, which came 480 frames ago
    expected = ((np.arange(BLOCK) + first + 24_000 - 480) % 4096) * 2.0**-13
    np.testing.assert_allclose(out[:, 0], expected, atol=2.0**-24)
    assert tap.error_frames == 0.0
    assert tap.missing_frames == 0


@pytest.mark.parametrize(
    ("ppb", "blocks"),
    [(31_234.567, 1000), *(pytest.param(ppb, 10_000, marks=pytest.mark.slow) for ppb in (31_234.567, 0.0, -99_999.9))],
)
def test_the_position_is_exact_after_many_blocks(make_stream, clock, ppb, blocks):
    tap, _ = begin(make_stream, clock, Told(Correction(ppb)))
    play(tap, 0, 0)
    start = tap._whole + Fraction(tap._fraction)
    for number in range(1, blocks):
        play(tap, number * BLOCK, number * BLOCK * 10**9 // RATE)
    moved = Fraction(1.0 + ppb * 1e-9) * BLOCK * (blocks - 1)
    assert abs(tap._whole + Fraction(tap._fraction) - start - moved) < Fraction(1, 10**6)


def test_the_error_is_what_a_drifting_device_makes_of_it(make_stream, clock):
    told = Told(Correction(0.0))
    tap, _ = begin(make_stream, clock, told)
    slow_ppm = 100  # the device: it asks for its blocks later and later
    for number in range(1000):
        play(tap, number * BLOCK, round(number * BLOCK * 1e9 / RATE * (1 + slow_ppm * 1e-6)))
    positions = told.of(ReadPosition)
    assert positions[-1].error_frames == pytest.approx(999 * BLOCK * slow_ppm * 1e-6, abs=1e-4)
    assert tap.error_frames == positions[-1].error_frames
    assert tap.error_rms_frames == pytest.approx(tap.error_frames / 3**0.5, rel=0.01)
    devices = told.of(DeviceTime)
    assert [device.frame for device in devices] == [number * BLOCK for number in range(1000)]
    assert len(told.of(ClockEstimate)) == 1  # a snapshot is shown once


def test_the_compensator_learns_of_frames_that_passed_unplayed(make_stream, clock):
    told = Told(Correction(0.0))
    tap, _ = begin(make_stream, clock, told)
    for block in range(4):
        if block == 2:
            tap.note_loss(30)
            tap.note_loss(2)
        play(tap, block * BLOCK, round(block * BLOCK * 1e9 / RATE))
    assert [device.lost_frames for device in told.of(DeviceTime)] == [0, 0, 32, 0]


def test_it_tells_how_long_the_compensator_took_to_lock(make_stream, clock):
    tap, _ = begin(make_stream, clock, Told(Correction(0.0), Correction(0.0), Correction(0.0, locked=True)))
    for number in range(2):
        play(tap, number * BLOCK, 10**9 + number * 5_000_000)
        assert tap.locked_after_ns is None
    for number in range(2, 5):
        play(tap, number * BLOCK, 10**9 + number * 5_000_000)
    assert tap.locked_after_ns == 10_000_000


def test_the_buffer_level_is_what_has_come_and_was_not_read(make_stream, clock):
    told = Told(Correction(0.0))
    tap, first = begin(make_stream, clock, told)
    ramp(tap.stream, first, 10_000)
    play(tap, 0, 10**8)  # reads from 4800 - 480
    play(tap, BLOCK, 10**8 + BLOCK * 10**9 // RATE)
    levels = told.of(BufferLevel)
    assert levels[0].frames == pytest.approx(10_000 - 4320)
    assert levels[1].frames == pytest.approx(10_000 - 4320 - BLOCK)
    assert tap.buffer_frames == 10_000 - 4320 - 2 * BLOCK


def test_a_step_moves_the_position_once(make_stream, clock):
    tap, first = begin(make_stream, clock, Told(Correction(0.0), Correction(0.0, step_frames=-37.25), Correction(0.0)))
    ramp(tap.stream, first, RATE)
    play(tap, 0, 10**9 // 2)
    before = tap._whole + tap._fraction - first
    play(tap, BLOCK, 10**9 // 2 + BLOCK * 10**9 // RATE)
    assert tap._whole - first + tap._fraction == pytest.approx(before + BLOCK - 37.25)
    assert tap.resyncs == 1


@pytest.mark.parametrize("by", [-2000.5, 2000.5])
def test_what_a_jump_leaves_fades_into_where_it_goes(make_stream, clock, by):
    jump = Correction(0.0, step_frames=by)
    tap, first = begin(make_stream, clock, Told(Correction(0.0), jump, Correction(0.0)))
    left = first + 24_000 - 480 + BLOCK
    there = np.arange(first, first + RATE)
    old = there < left + by / 2 if by > 0 else there > left + by / 2
    tap.stream.ring.write_frames(first, np.where(old, 0.25, 0.75)[:, None].astype(np.float32))
    tap.stream.mark_written(first, first + RATE)
    assert np.unique(play(tap, 0, 10**9 // 2)).tolist() == [0.25]
    share = (np.arange(BLOCK) + 0.5) / BLOCK
    out = play(tap, BLOCK, 10**9 // 2 + BLOCK * 10**9 // RATE)[:, 0]
    np.testing.assert_allclose(out, 0.25 * (1 - share) + 0.75 * share, atol=1e-6)
    assert np.unique(play(tap, 2 * BLOCK, 10**9 // 2 + 2 * BLOCK * 10**9 // RATE)).tolist() == [0.75]
    assert tap.missing_frames == 0


@pytest.mark.parametrize("lost", [1, 300, RATE - 1])
def test_frames_that_a_sink_lost_go_by_at_its_pace(make_stream, clock, lost):
    tap, _ = begin(make_stream, clock, Told(Correction(50_000.0)))
    for number in range(100):
        play(tap, number * BLOCK, number * BLOCK * 10**9 // RATE)
    before = tap.error_frames
    play(tap, 100 * BLOCK + lost, (100 * BLOCK + lost) * 10**9 // RATE)
    assert tap.error_frames == pytest.approx(before - (BLOCK + lost) * 50e-6, abs=1e-4)


@pytest.mark.parametrize("frame", [0, 99 * BLOCK, 100 * BLOCK + RATE])
def test_a_sink_that_began_again_is_where_it_should_be(make_stream, clock, frame):
    tap, _ = begin(make_stream, clock, Told(Correction(50_000.0)))
    for number in range(100):
        play(tap, number * BLOCK, number * BLOCK * 10**9 // RATE)
    assert abs(tap.error_frames) > 1
    play(tap, frame, 10**10)
    assert tap.error_frames == 0.0
    assert tap.resyncs == 0


def test_while_silent_nothing_sounds_and_a_step_is_no_resync(make_stream, clock):
    quiet = Correction(0.0, step_frames=480.0, silent=True)
    tap, first = begin(make_stream, clock, Told(quiet, Correction(0.0)))
    ramp(tap.stream, first, 30_000)
    assert not play(tap, 0, 10**9 // 2).any()
    assert play(tap, BLOCK, 10**9 // 2 + BLOCK * 10**9 // RATE).any()
    assert (tap.resyncs, tap.missing_frames) == (0, 0)
    assert tap.error_rms_frames == pytest.approx(480, abs=0.1)  # the sounding block's
    assert tap.figures.latest.error_rms_frames == tap.error_rms_frames


def test_the_remembered_rate_of_the_device_is_observed_first(make_stream, clock):
    told = Told(Correction(0.0))
    stream = begin(make_stream, clock, told)[0].stream
    rates = {"card": DeviceRate(37_300.0, 500.0)}
    tap = CrossingTap(stream, told, Straight(), rates.get)
    tap.device = "card"
    for number in range(3):
        play(tap, number * BLOCK, number * BLOCK * 10**9 // RATE)
    assert told.seen[0] == DeviceRate(37_300.0, 500.0)
    assert len(told.of(DeviceRate)) == 1


def test_arrivals_are_shown_once_and_in_order(make_stream, clock):
    told = Told(Correction(0.0))
    tap, first = begin(make_stream, clock, told)
    for number in range(100):
        tap.stream.mark_written(first + number * 48, first + number * 48 + 48, 10**6 * (number + 1))
    tap.stream.mark_written(first, first + 48, 10**9)  # late, or a duplicate: tells nothing of when the newest came
    play(tap, 0, 10**8)
    assert told.of(FramesArrived) == [FramesArrived(10**6 * (n + 1), first + n * 48 + 48) for n in range(36, 100)]
    tap.stream.mark_written(first + 4800, first + 4848, 102 * 10**6)
    play(tap, BLOCK, 10**8 + BLOCK * 10**9 // RATE)
    assert told.of(FramesArrived)[64:] == [FramesArrived(102 * 10**6, first + 4848)]


@pytest.mark.parametrize("ahead_ns", [10**18 + 123, -37_000_000_001])
def test_jumps_with_media_time(make_stream, clock, ahead_ns):
    told = Told(Correction(0.0))
    tap, first = begin(make_stream, clock, told)
    slow = 1 + 1e-5
    for number in range(500):
        play(tap, number * BLOCK, round(number * BLOCK * 1e9 / RATE * slow))
    before = tap.error_frames
    clock.set(ahead_ns=EPOCH + ahead_ns, discontinuities=1)
    play(tap, 500 * BLOCK, round(500 * BLOCK * 1e9 / RATE * slow))
    assert tap.error_frames == pytest.approx(before + BLOCK * 1e-5, abs=1e-4)
    assert tap.resyncs == 0
    assert tap._whole - first == pytest.approx(500 * BLOCK - 480 + ahead_ns * RATE / 10**9, abs=BLOCK + 5)


def test_gaps_are_silence_and_counted(make_stream, clock):
    tap, first = begin(make_stream, clock, Told(Correction(0.0)), delay=0)
    ramp(tap.stream, first, 1000)
    ramp(tap.stream, first + 1048, 1000)
    for number in range(7):
        play(tap, number * BLOCK, number * BLOCK * 10**9 // RATE)
    # The gap lies on the edge of two blocks, each of which reads a little of the other.
    assert tap.missing_frames == 48


def test_ends_with_its_stream(make_stream, clock):
    tap, first = begin(make_stream, clock, Told(Correction(0.0)), delay=0)
    ramp(tap.stream, first, 1000)
    assert tap.stop is None
    play(tap, 0, 0)
    tap.stream.finish()
    play(tap, BLOCK, BLOCK * 10**9 // RATE)
    assert tap.stop == 1000


@pytest.mark.parametrize("late_blocks", [0, 1])
def test_ends_in_time_where_the_end_is_known_late(make_stream, clock, late_blocks):
    tap, first = begin(make_stream, clock, Told(Correction(0.0)), delay=0)
    ramp(tap.stream, first, 1000)
    for number in range(4 + late_blocks):
        play(tap, number * BLOCK, number * BLOCK * 10**9 // RATE)
    tap.stream.finish()
    play(tap, (4 + late_blocks) * BLOCK, (4 + late_blocks) * BLOCK * 10**9 // RATE)
    assert tap.stop == 1000


def test_a_source_that_never_sent_ends_at_once(make_stream, clock):
    tap, _ = begin(make_stream, clock, Told(Correction(0.0)))
    play(tap, 0, 0)
    assert tap.stop is None
    tap.stream.finish()
    assert tap.stop == 0


@given(
    st.floats(-900_000, 900_000),
    st.lists(st.integers(1, 700), min_size=1, max_size=30),
    st.integers(0, 10**12),
)
@settings(max_examples=100, deadline=None, database=None)
def test_what_is_said_to_be_available_is(ppb: float, blocks: list[int], start: int) -> None:
    from phasegraph import Encoding, Stream, StreamFormat

    class Clock:
        def estimate(self) -> ClockEstimate:
            return ClockEstimate(local_ns=0, reference_ns=start)

    stream = Stream(StreamFormat(RATE, 1, Encoding.FLOAT32), window_ns=10**9, clock=Clock())
    first = start * RATE // 10**9
    stream.ring.write_frames(first - 10, np.ones((20_000, 1), np.float32))
    stream.mark_written(first - 10, first - 10 + 20_000)
    tap = CrossingTap(stream, Told(Correction(ppb)), Straight())
    frame = 0
    for count in blocks:
        there = tap.available(frame)
        out = silence(count, 1)
        tap.fill(frame, out, frame * 10**9 // RATE)
        if there >= count:
            assert out.all()
        frame += count


def test_a_streaming_resampler_is_told_where_its_rows_lie(make_stream, clock):
    class Streaming(Straight):
        def __init__(self) -> None:
            super().__init__()
            self.firsts: list[int] = []

        def locate(self, first: int) -> None:
            self.firsts.append(first)

    corrections = (Correction(30_000.0), Correction(0.0), Correction(0.0, step_frames=100.0), Correction(0.0))
    tap, first = begin(make_stream, clock, Told(*corrections))
    resampler = Streaming()
    tap = CrossingTap(tap.stream, Told(*corrections), resampler)
    ramp(tap.stream, first, RATE)
    for number in range(4):
        play(tap, number * BLOCK, 10**9 // 2 + number * BLOCK * 10**9 // RATE)
    read = [place - first + offset for place, offset in zip(resampler.firsts, resampler.offsets, strict=True)]
    assert read[0] == 24_000 - 480
    assert np.diff(read) == pytest.approx([BLOCK * (1 + 3e-5), BLOCK + 100, BLOCK], abs=1e-6)
