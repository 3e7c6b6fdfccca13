"""How often a source that is read in real time, or at once, looks for room."""

from types import SimpleNamespace

import numpy as np
import pytest
import trio

from phasegraph import Encoding, StreamFormat
from phasegraph_sinks.read_ahead import AHEAD_NS, new_stream, write_ahead

RATE = 48_000


class Feeding:
    """A source that is fed, and its reader."""

    def __init__(self):
        self.stream = new_stream(StreamFormat(RATE, 1, Encoding.FLOAT32), endless=True)
        self.cursor = self.stream.add_reader()
        self.looks = 0
        self.least = RATE

    async def sleep(self, duration_ns):
        self.looks += 1
        await trio.sleep(duration_ns / 1e9)

    async def next_block(self, count):
        return np.zeros((count, 1), np.float32)

    async def run(self):
        await write_ahead(SimpleNamespace(sleep=self.sleep), self.stream, self.next_block, ready=lambda: None)

    async def read(self, seconds, at_once=False):
        """In real time, or whatever there is."""
        for _ in range(round(seconds * 100)):
            await trio.sleep(0.01)
            ahead = self.stream.head - self.cursor.position
            self.cursor.position += ahead if at_once else min(ahead, RATE // 100)
            self.least = min(self.least, ahead)


@pytest.fixture
async def feeding(nursery):
    one = Feeding()
    nursery.start_soon(one.run)
    return one


async def test_a_reader_in_real_time_is_looked_at_a_few_times_a_second(feeding, autojump_clock):
    await feeding.read(5)
    feeding.looks, feeding.least = 0, RATE * 10
    await feeding.read(20)
    assert feeding.looks <= 20 * 8
    assert feeding.least > RATE * (AHEAD_NS / 1e9 - 1), "and never runs dry"


@pytest.mark.slow
async def test_a_reader_that_takes_everything_is_not_held_up(feeding, autojump_clock):
    await feeding.read(5)
    before = feeding.stream.head
    await feeding.read(5, at_once=True)
    assert feeding.stream.head - before > 5 * RATE * 40
    feeding.least = RATE * 10
    await feeding.read(5)
    assert feeding.least > RATE // 4
