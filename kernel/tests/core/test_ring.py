"""The media ring against the simplest model of it: a dict from frame index to frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from phasegraph import Encoding, MediaRing, silence

CAPACITY = 37
AROUND = st.one_of(st.integers(-3 * CAPACITY, 5 * CAPACITY), st.integers(2**40, 2**40 + 3 * CAPACITY))


class RingModel(RuleBasedStateMachine):
    @initialize(encoding=st.sampled_from(Encoding), channels=st.integers(1, 3))
    def begin(self, encoding: Encoding, channels: int) -> None:
        self.ring = MediaRing(channels, CAPACITY, encoding)
        self.model: dict[int, np.ndarray] = {}  # place in the ring -> what was written last
        self.index: dict[int, int] = {}
        self.written = 0

    @rule(start=AROUND, count=st.integers(0, 2 * CAPACITY))
    def write(self, start: int, count: int) -> None:
        bits = {Encoding.L16: 15}.get(self.ring.encoding, 23)
        frames = silence(count, self.ring.channels)
        for row in range(count):
            self.written += 1
            frames[row] = (self.written + np.arange(self.ring.channels)) % 2**bits * 2.0**-bits
        self.ring.write_frames(start, frames)
        for row in range(max(0, count - CAPACITY), count):
            self.model[(start + row) % CAPACITY] = frames[row]
            self.index[(start + row) % CAPACITY] = start + row

    @rule(start=AROUND, count=st.integers(0, 2 * CAPACITY))
    def copy(self, start: int, count: int) -> None:
        copied = np.full((count, self.ring.frame_bytes), 0xA5, np.uint8)
        there = self.ring.copy(start, copied)
        for row in range(count):
            index = start + row
            assert there[row] == (self.index.get(index % CAPACITY) == index)
            if there[row]:
                expected = self.ring.encoding.encode(self.model[index % CAPACITY][None])
                assert copied[row].tobytes() == expected.tobytes()

    @rule(by=st.integers(-3 * CAPACITY, 3 * CAPACITY) | st.sampled_from([2**46, -(2**46)]))
    def shift(self, by: int) -> None:
        self.ring.shift(by)
        model = {(place + by) % CAPACITY: frame for place, frame in self.model.items()}
        self.index = {(place + by) % CAPACITY: index + by for place, index in self.index.items()}
        self.model = model

    @rule(start=AROUND, count=st.integers(0, 3 * CAPACITY))
    def read(self, start: int, count: int) -> None:
        out = np.full((count, self.ring.channels), 0.5, np.float32)
        missing = self.ring.read(start, out)
        expected = silence(count, self.ring.channels)
        there = 0
        for row in range(count):
            if self.index.get((start + row) % CAPACITY) == start + row:
                expected[row] = self.model[(start + row) % CAPACITY]
                there += 1
        assert missing == count - there
        assert self.ring.holds(start, count) == there
        np.testing.assert_array_equal(out, expected)

    @invariant()
    def nothing_out_of_nothing(self) -> None:
        if hasattr(self, "ring") and not self.index:
            assert self.ring.holds(-CAPACITY, 3 * CAPACITY) == 0


TestRing = RingModel.TestCase
TestRing.settings = settings(max_examples=60, stateful_step_count=20, deadline=None, database=None)


@given(st.permutations(range(12)), st.integers(0, 2**62))
@settings(max_examples=50, deadline=None, database=None)
def test_the_order_of_packets_does_not_matter(order: list[int], start: int) -> None:
    ring = MediaRing(1, 12 * 6, Encoding.L24)
    frames = np.arange(72, dtype=np.float32)[:, None] * np.float32(2.0**-23)
    for packet in [*order, *order[:3]]:  # some of them twice
        ring.write_frames(start + 6 * packet, frames[6 * packet : 6 * packet + 6])
    out = silence(72, 1)
    assert ring.read(start, out) == 0
    np.testing.assert_array_equal(out, frames)


def test_needs_room() -> None:
    for channels, capacity in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least one"):
            MediaRing(channels, capacity)
