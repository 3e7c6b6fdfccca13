from functools import partial

import numpy as np
import pytest
import trio

from phasegraph import Encoding
from phasegraph_sinks import tone
from phasegraph_sinks.options import ToneConfig
from phasegraph_sinks.tone import sine


@pytest.fixture
def make(build, options):
    def make(**fields):
        return tone.make(options(ToneConfig, **fields), build)

    return make


@pytest.mark.parametrize(("frequency", "rate"), [(997.0, 48000), (440.1, 44100), (19_999.5, 96000)])
def test_phase_follows_from_the_frame_index(frequency, rate):
    for first in (0, 12_345, rate * 86_400 * 365):
        frames = np.arange(first, first + 1000, dtype=np.int64)
        cycles = [(int(frame) * round(frequency * 10) % (rate * 10)) / (rate * 10) for frame in frames]
        expected = np.sin(2 * np.pi * np.array(cycles))
        # Of what is asked for, 440.1 Hz, float64 holds all but 2e-17 of it: after a year, 1e-6 of a cycle.
        assert np.abs(sine(first, 1000, frequency=frequency, rate=rate)[:, 0] - expected).max() < 1e-5


def test_blocks_join():
    whole = sine(0, 48_000, frequency=997.0, rate=48_000)
    parts = [sine(first, 777, frequency=997.0, rate=48_000) for first in range(0, 48_000, 777)]
    assert np.abs(np.concatenate(parts)[:48_000] - whole).max() < 1e-7


async def test_runs_for_its_duration(ctx, make, reader, autojump_clock):
    source = make(frequency=1000.0, level=-6.0206, rate=44100, channels=3, duration=1_500_000_000)
    format = source.stream.format
    assert (format.rate, format.channels, format.encoding) == (44100, 3, Encoding.FLOAT32)
    reading = reader(source.stream)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(source.run, ctx))
        await reading.run()
    assert source.stream.end == 66_150
    assert source.metrics() == {"frames_out": 66_150}
    frames = reading.frames
    assert frames.shape == (66_150, 3)
    assert np.abs(frames).max() == pytest.approx(0.5, abs=1e-4)
    assert np.array_equal(frames[:, 0], frames[:, 2])
    expected = sine(0, 66_150, frequency=1000.0, rate=44100, amplitude=10 ** (-6.0206 / 20))
    assert np.abs(frames[:, :1] - expected).max() < 1e-7
    assert reading.most_ahead <= 88_200


async def test_without_a_duration_it_follows_time(ctx, make, reader, autojump_clock):
    source = make()
    assert source.stream.endless
    reading = reader(source.stream, paced=True)
    with trio.move_on_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reading.run)
            await source.run(ctx)
    assert 20 * 48_000 <= source.stream.head <= 22.1 * 48_000
    assert np.abs(reading.frames).max() == pytest.approx(0.1, abs=1e-4)


@pytest.mark.slow
async def test_without_listeners(ctx, make, autojump_clock):
    source = make(duration=600_000_000_000, rate=8000, channels=1)
    with trio.move_on_after(1):
        await source.run(ctx)
    assert source.stream.end == 8000 * 600


def test_frequency_must_fit_the_rate(make, refused):
    refused(lambda: make(frequency=24_000.0), "48000 Hz", option="frequency")
