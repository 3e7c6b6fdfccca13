"""Fakes of what the kernel gives a node, in virtual time: they follow the protocols and nothing more."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import trio

from phasegraph import Encoding, MediaPosition, NodeError, StreamFormat, frames_in


class FakeLocal:
    """Local time is trio's, so that the mock clock drives it."""

    virtual = True

    def now_ns(self):
        return round(trio.current_time() * 1e9)


class FakeContext:
    """A `NodeContext` whose threads can be held up (``gate``)."""

    def __init__(self, id="node"):
        self.id = id
        self.local = FakeLocal()
        self.network = None
        self.log = None
        self.events = []
        self.in_threads = 0
        self.gate = trio.Event()
        self.gate.set()
        self._shared = {}

    def beside(self, id):
        other = FakeContext(id)
        other._shared = self._shared
        return other

    def shared(self, make):
        return self._shared.setdefault(make, make(self))

    def give_up_priority(self, reason):
        self.event("priority_given_up", reason=reason)

    def attach(self, step):
        async def engine():
            while True:
                rest = step(self.local.now_ns()) - self.local.now_ns()
                await trio.sleep(max(0, rest) / 1e9)

        trio.lowlevel.spawn_system_task(engine)

    def call_soon(self, function, *arguments):
        trio.lowlevel.current_trio_token().run_sync_soon(function, *arguments)

    async def sleep(self, duration_ns):
        await trio.sleep(duration_ns / 1e9)

    async def in_thread(self, work, *, abandon=False, too_late=None):
        self.in_threads += 1
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True):  # as trio's threads, it cannot be cancelled once it has begun
            await self.gate.wait()
        return work()

    def event(self, name, **fields):
        self.events.append((name, fields))

    def named(self, name):
        return [fields for event, fields in self.events if event == name]


class FakeInput:
    """An `Input` of given frames: all due at once, or at the pace of local time; it ends, or goes on as silence."""

    ready = True

    def __init__(self, frames, format, *, paced=False, endless=False, first_frame=0, timescale="arb"):
        self.first_frame = first_frame
        self.timescale = timescale
        self.frames = frames
        self.format = format
        self.paced = paced
        self.endless = endless
        self.taken = 0
        self.began_ns = None

    def read_due(self, local_ns, limit):
        if self.began_ns is None:
            self.began_ns = local_ns
        if self.taken >= len(self.frames) and not self.endless:
            return None
        due = len(self.frames)
        if self.paced:
            due = frames_in(local_ns - self.began_ns, self.format.rate)
            if not self.endless:
                due = min(due, len(self.frames))
        count = max(0, min(limit, due - self.taken))
        out = np.zeros((count, self.format.channels), np.float32)
        there = self.frames[self.taken : self.taken + count]
        out[: len(there)] = there
        self.taken += count
        return out

    def media_position(self):
        return MediaPosition(self.first_frame + self.taken, self.timescale)

    def skip_due(self, local_ns, limit):
        frames = self.read_due(local_ns, limit)
        return None if frames is None else len(frames)


class Reader:
    """Reads a stream without a clock to its end, greedily or at the pace of local time."""

    def __init__(self, stream, *, paced=False):
        self.stream = stream
        self.paced = paced
        self.cursor = stream.add_reader()
        self.most_ahead = 0
        self.blocks = []

    async def run(self, frames=None):
        stream = self.stream
        while frames is None or self.cursor.position < frames:
            self.most_ahead = max(self.most_ahead, stream.head - self.cursor.position)
            there = stream.head - self.cursor.position
            if self.paced:
                there = min(there, stream.format.rate // 50)
            if not there and stream.end is not None:
                break
            block = np.empty((there, stream.format.channels), np.float32)
            assert stream.ring.read(self.cursor.position, block) == 0
            self.cursor.position += there
            self.blocks.append(block)
            await trio.sleep(0.02)
        return self

    @property
    def frames(self):
        return np.concatenate(self.blocks)


@pytest.fixture
def ctx():
    return FakeContext()


@pytest.fixture
def build():
    notes: list[str] = []
    return SimpleNamespace(id="node", local=FakeLocal(), notes=notes, note=notes.append)


@pytest.fixture
def reader():
    return Reader


@pytest.fixture
def make_input():
    return FakeInput


_BITS = {Encoding.L16: 16, Encoding.L24: 24}


def noise(format, count, *, seed=1):
    """Frames of which every sample is exact in the format's encoding, extremes among them."""
    rng = np.random.default_rng(seed)
    shape = (count, format.channels)
    bits = _BITS.get(format.encoding)
    if bits is None:
        samples = rng.normal(0, 0.5, shape).astype(np.float32)
        samples[:2] = np.array([[1.5], [-2.25]])[:count]  # float32 goes beyond full scale
        return samples
    values = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape)
    values[:4] = np.array([[-(2 ** (bits - 1))], [2 ** (bits - 1) - 1], [-1], [1]])[:count]
    return (values / 2.0 ** (bits - 1)).astype(np.float32)


@pytest.fixture(name="noise")
def noise_fixture():
    return noise


@pytest.fixture
def format_of():
    def make(encoding="L24", *, rate=48000, channels=2):
        return StreamFormat(rate, channels, Encoding(encoding))

    return make


@pytest.fixture
def refused():
    """The NodeError that a call must raise, once its message was looked at."""

    def check(call, *words, option=""):
        with pytest.raises(NodeError) as caught:
            call()
        for word in words:
            assert word in str(caught.value)
        assert caught.value.option == option
        return caught.value

    return check


@pytest.fixture
def options():
    """A config struct from its options as the kernel decodes them: quantities are numbers by then."""

    def make(config, **fields):
        return msgspec.convert({key.replace("_", "-"): value for key, value in fields.items()}, config)

    return make
