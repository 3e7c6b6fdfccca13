"""The rings between the data plane and a callback, against plain lists."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from phasegraph.testing import counter_frames
from phasegraph_sinks.soundcard.card_memory import CaptureRing, PlayRing

CAPACITY = 64


def take(ring, count):
    out = bytearray(b"\xff" * (count * ring.channels * 4))
    ring.play(memoryview(out), count)
    return np.frombuffer(bytes(out), np.float32).reshape(count, ring.channels)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 40), st.integers(0, 5)),
            st.tuples(st.just("take"), st.integers(1, 40), st.just(0)),
            st.tuples(st.just("skip"), st.integers(1, 30), st.just(0)),
        ),
        max_size=60,
    )
)
def test_plays_what_was_put_where_it_belongs(steps):
    ring, truth = PlayRing(2, CAPACITY), {}
    for what, count, gap in steps:
        if what == "put":
            first = max(ring.end, ring.position) + (gap if ring.end > ring.position else gap * (gap > 3))
            count = min(count, ring.position + CAPACITY - first)
            if count <= 0:
                continue
            if first != ring.end:
                truth.clear()  # what was put before a gap has gone by, or is given up
            frames = counter_frames(first + 1, count, 2)
            ring.write_frames(first, frames)
            truth |= {first + index: frame for index, frame in enumerate(frames)}
        elif what == "skip":
            ring.skipped += count
        else:
            position = ring.position
            heard = take(ring, count)
            for index in range(count):
                assert np.array_equal(heard[index], truth.get(position + index, np.zeros(2, np.float32)))
            assert ring.position == position + count


def test_counts_underruns_only_in_the_middle():
    ring = PlayRing(1, CAPACITY)
    take(ring, 10)
    assert ring.underruns == 0  # nothing was to play yet
    ring.write_frames(12, counter_frames(1, 20, 1))
    take(ring, 10)
    assert ring.underruns == 0  # it begins within this block
    take(ring, 20)
    assert ring.underruns == 1  # 8 frames too few
    take(ring, 10)
    assert ring.underruns == 2
    ring.write_frames(60, counter_frames(1, 10, 1))
    ring.last = 70
    take(ring, 10)
    take(ring, 30)
    take(ring, 30)
    assert ring.underruns == 2  # the end is none


def test_channels_that_the_input_has_not_are_silent():
    ring = PlayRing(3, CAPACITY)
    ring.write_frames(0, counter_frames(0, 10, 2))
    heard = take(ring, 10)
    assert np.array_equal(heard[:, :2], counter_frames(0, 10, 2))
    assert not heard[:, 2].any()


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=60))
def test_captures_in_sequence(steps):
    ring, put, taken = CaptureRing(2, CAPACITY), 0, 0
    for count, reads in steps:
        ring.capture(counter_frames(put, count, 2).tobytes(), count)
        put += count
        if reads:
            overruns = ring.overruns
            first, frames = ring.read_until(ring.called)
            assert first + len(frames) == put
            assert np.array_equal(frames, counter_frames(first, len(frames), 2))
            # What a callback may be writing over at this moment is given up.
            assert first == max(taken, put + ring.largest - CAPACITY)
            assert ring.overruns - overruns == (first > taken)
            taken = put
