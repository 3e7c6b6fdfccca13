"""Gaps: they do not click, do not bring back old audio, and leave alone what arrived."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import Encoding, Frames, Stream, StreamFormat
from phasegraph._run.concealment import FADE_NS, JOIN_NS, stream_reader

RATE = 48_000
FADE, JOIN = FADE_NS * 48 // 10**6, JOIN_NS * 48 // 10**6
BASE = 48 * 1_790_000_000_000
CALM = settings(derandomize=True, deadline=None, database=None, max_examples=60)


def sine(first: int, count: int, channels: int = 2, hz: float = 440.0, rate: int = RATE) -> Frames:
    at = np.arange(first - BASE, first - BASE + count)
    return (0.5 * np.sin(2 * np.pi * hz / rate * at)[:, None] * np.ones(channels)).astype(np.float32)


def stream_of(*runs: tuple[int, int], rate: int = RATE, hz: float = 440.0, conceal: bool = True) -> Stream:
    """A sine of which these runs (first, stop), counted from BASE, have come."""
    stream = Stream(StreamFormat(rate, 2, Encoding.FLOAT32), window_ns=10**9, conceal=conceal)
    for first, stop in runs:
        come(stream, first, stop, hz)
    return stream


def come(stream: Stream, first: int, stop: int, hz: float = 440.0) -> None:
    stream.ring.write_frames(BASE + first, sine(BASE + first, stop - first, 2, hz, stream.format.rate))
    stream.mark_written(BASE + first, BASE + stop)


def play(stream: Stream, first: int, stop: int, block: int) -> Frames:
    read = stream_reader(stream)
    out = np.full((stop - first, 2), 9.0, np.float32)
    for at in range(0, stop - first, block):
        read(BASE + first + at, out[at : at + block])
    return out


def steepest(frames: Frames) -> float:
    return float(np.abs(np.diff(frames, axis=0)).max())


@pytest.mark.parametrize("rate", [44_100, 48_000, 192_000])
@pytest.mark.parametrize("hz", [100.0, 440.0, 1000.0, 3217.0])
@pytest.mark.parametrize("length", [1, 6, 30, 48, 192, 480])
def test_a_sine_goes_on_through_a_short_gap(rate: int, hz: float, length: int) -> None:
    stream = stream_of((0, 9600), (9600 + length, 20_000), rate=rate, hz=hz)
    out = play(stream, 0, 20_000, 480)
    true = sine(BASE, 20_000, 2, hz, rate)
    there = np.ones(20_000, np.bool_)
    there[9600 : 9600 + length] = False
    assert (out[there] == true[there]).all(), "what arrived is bit-exact"
    assert steepest(out) < 1.6 * steepest(true) + 0.01, "no click"
    if length <= 48:
        assert np.abs(out - true).max() < 0.25


def test_a_long_gap_fades_to_silence_and_back() -> None:
    stream = stream_of((0, 9600), (19_200, 28_800))
    out = play(stream, 0, 28_800, 480)
    true = sine(BASE, 28_800)
    assert (out[:9600] == true[:9600]).all()
    assert (out[19_200:] == true[19_200:]).all()
    assert not out[9600 + FADE : 19_200 - JOIN].any(), "after 20 ms it is mute"
    assert steepest(out) < 1.1 * steepest(true)
    loud = np.abs(out[9600 : 9600 + FADE]).reshape(10, -1).max(axis=1)
    assert (np.diff(loud) <= 0.02).all()
    assert np.abs(out[19_200 - JOIN : 19_200]).max() > 0.3, "and ramped in again"


@pytest.mark.parametrize("block", [1, 6, 48, 480, 1500])
def test_blocks_do_not_matter(block: int) -> None:
    runs = [(0, 600), (648, 696), (744, 1500), (3000, 4000)]
    whole = play(stream_of(*runs), 0, 4000, 4000)
    assert np.abs(play(stream_of(*runs), 0, 4000, block) - whole).max() < 1e-6


@pytest.mark.parametrize("length", [48, 480, 4800])
def test_a_gap_that_is_played_before_its_end_is_known_is_ramped_behind_it(length: int) -> None:
    stream = stream_of((0, 9600))
    read = stream_reader(stream)
    out = np.empty((20_000, 2), np.float32)
    known = (9600 + length + 99) // 100 * 100
    for at in range(0, 20_000, 100):
        if at == known:
            come(stream, 9600 + length, 20_000)
        read(BASE + at, out[at : at + 100])
    true = sine(BASE, 20_000)
    assert (out[:9600] == true[:9600]).all()
    assert (out[known + JOIN :] == true[known + JOIN :]).all()
    assert steepest(out) < 1.6 * steepest(true)


def test_what_comes_while_it_fades_is_joined_in_time() -> None:
    # The end of the gap comes into sight before it is due: nothing behind it changes.
    stream = stream_of((0, 9600))
    read = stream_reader(stream)
    out = np.empty((2000, 2), np.float32)
    read(BASE + 9000, out[:1000])
    come(stream, 10_400, 11_000)
    read(BASE + 10_000, out[1000:])
    true = sine(BASE + 9000, 2000)
    assert (out[1400:] == true[1400:]).all()
    assert steepest(out) < 1.2 * steepest(true)


def test_silence_before_the_first_and_after_the_last_stays_silence() -> None:
    stream = stream_of((1000, 5000))
    stream.finish()
    out = play(stream, 0, 8000, 480)
    assert not out[:1000].any()
    assert not out[5000:].any()
    assert (out[1000:5000] == sine(BASE + 1000, 4000)).all()


def test_a_stream_that_stops_without_an_end_fades() -> None:
    out = play(stream_of((0, 5000)), 0, 9000, 48)
    assert out[5000 : 5000 + FADE // 2].any()
    assert not out[5000 + FADE :].any()
    assert steepest(out) < 1.1 * steepest(sine(BASE, 5000))


def test_old_audio_never_comes_back() -> None:
    # A lap of the ring later the same places hold what sounded then; it must not be heard.
    stream = stream_of((0, 9600))
    lap = stream.ring.capacity
    stream.ring.write_frames(BASE + lap - 960, np.zeros((960, 2), np.float32))
    stream.mark_written(BASE + lap - 960, BASE + lap)
    assert not play(stream, lap - 960, lap + 9600, 480).any()


def test_without_concealment_gaps_are_silence() -> None:
    out = play(stream_of((0, 960), (1008, 2000), conceal=False), 0, 2000, 480)
    assert not out[960:1008].any()


@CALM
@given(
    lengths=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 1500)), min_size=1, max_size=12),
    block=st.integers(1, 3000),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.slow
def test_any_gaps_in_noise(lengths: list[tuple[int, int]], block: int, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-1, 1, (25_000, 2)).astype(np.float32)
    stream = Stream(StreamFormat(RATE, 2, Encoding.FLOAT32), window_ns=10**9, conceal=True)
    there = np.zeros(25_000, np.bool_)
    at = 0
    for run, gap in lengths:
        stream.ring.write_frames(BASE + at, noise[at : at + run])
        stream.mark_written(BASE + at, BASE + at + run)
        there[at : at + run] = True
        at += run + gap
    out = play(stream, 0, at, block)
    assert (out[there[:at]] == noise[:at][there[:at]]).all()
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 4.0


@pytest.mark.parametrize("late", [(9600, 20_000), (9700, 20_000), (9600, 9700), (9650, 9900)])
def test_frames_that_arrive_after_their_gap_has_sounded_are_faded_in(late: tuple[int, int]) -> None:
    # A stall of the sender's machine or of ours: the block that ran past the last packet has sounded as a gap.
    stream = stream_of((0, 9600))
    read = stream_reader(stream)
    out = np.empty((2400, 2), np.float32)
    assert read(BASE + 9400, out[:480]) == 280
    come(stream, *late)
    come(stream, 9900, 20_000)
    for at in range(480, 2400, 480):
        read(BASE + 9400 + at, out[at : at + 480])
    true = sine(BASE + 9400, 2400)
    assert (out[:200] == true[:200]).all()
    assert (out[500 + JOIN :] == true[500 + JOIN :]).all()
    assert steepest(out) < 1.6 * steepest(true), "a fade, not a jump"


@CALM
@given(
    pieces=st.lists(st.tuples(st.integers(0, 6000), st.integers(1, 800)), min_size=1, max_size=15),
    blocks=st.lists(st.integers(1, 1200), min_size=1, max_size=15),
    back=st.integers(0, 64),
)
def test_frames_in_any_order_and_at_any_time(pieces: list[tuple[int, int]], blocks: list[int], back: int) -> None:
    stream = stream_of((0, 100))
    read = stream_reader(stream)
    at = 0
    for number, block in enumerate(blocks):
        out = np.empty((block, 2), np.float32)
        read(BASE + at, out)
        assert np.isfinite(out).all()
        assert np.abs(out).max() <= 4.0
        at = max(0, at + block - back)
        first, length = pieces[number % len(pieces)]
        come(stream, first, first + length)
