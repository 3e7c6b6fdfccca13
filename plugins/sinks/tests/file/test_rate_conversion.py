"""Files that are played at another rate."""

from functools import partial

import numpy as np
import pytest
import soundfile
import trio

from phasegraph import Encoding
from phasegraph_sinks.file import file_source
from phasegraph_sinks.file.options import FileSourceConfig


@pytest.fixture
def play(tmp_path, build, options, ctx, reader):
    async def play(frames, own_rate, frames_wanted=None, **fields):
        soundfile.write(tmp_path / "in.wav", frames, own_rate, subtype="FLOAT")
        source = file_source.make(options(FileSourceConfig, path=str(tmp_path / "in.wav"), **fields), build)
        reading = reader(source.stream)
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(source.run, ctx))
            await reading.run(frames_wanted)
            nursery.cancel_scope.cancel()
        return source, reading.frames

    return play


def sine(frequency, rate, count):
    return 0.5 * np.sin(2 * np.pi * frequency / rate * np.arange(count))[:, np.newaxis]


PAIRS = [(44_100, 48_000), (48_000, 44_100), (96_000, 48_000), (44_100, 96_000), (22_050, 48_000)]


@pytest.mark.parametrize(("rate", "to"), PAIRS)
@pytest.mark.parametrize("frequency", [997.0, 8_000.0])
async def test_is_the_same_sound_at_the_same_time(rate, to, frequency, play, autojump_clock):
    source, frames = await play(sine(frequency, rate, 2 * rate), rate, rate=to)
    assert (source.stream.format.rate, source.stream.format.encoding) == (to, Encoding.FLOAT32)
    assert len(frames) == 2 * to
    middle = slice(to // 2, to // 2 + to)
    tone = sine(frequency, to, 2 * to)[middle, 0]
    gain = tone @ frames[middle, 0] / (tone @ tone)
    assert gain == pytest.approx(1, abs=5e-5)
    error = frames[middle, 0] - gain * tone
    assert 20 * np.log10(error.std() / tone.std()) < -140  # a delay of a thousandth of a frame would be -68 dB at 8 kHz


@pytest.mark.parametrize(("rate", "to"), PAIRS)
@pytest.mark.parametrize("count", [1, 8191, 8192, 8193, 100_001])
async def test_counts_exactly(rate, to, count, play, autojump_clock):
    source, frames = await play(np.ones((count, 2)), rate, rate=to)
    assert abs(len(frames) - count * to / rate) <= 0.5
    assert source.stream.end == len(frames)


async def test_its_own_rate_is_no_conversion(play, noise, format_of, autojump_clock):
    frames = noise(format_of("float32"), 10_000)
    _, played = await play(frames, 48_000, rate=48_000)
    assert np.array_equal(played, frames)


async def test_loops_without_a_gap(play, autojump_clock):
    count = 44_100  # 100 whole cycles
    _, played = await play(sine(100.0, 44_100, count), 44_100, 200_000, rate=48_000, loop=True)
    error = played[1000:200_000] - sine(100.0, 48_000, 200_000)[1000:]
    assert np.abs(error).max() < 1e-6


@pytest.mark.parametrize(("rate", "to"), [*PAIRS, (44_101, 48_000)])
@pytest.mark.parametrize("position", [1, 5000, 100_000, 199_999])
def test_goes_on_in_the_middle(rate, to, position, tmp_path):
    from phasegraph_sinks.file.file_reader import FileSection, read_header
    from phasegraph_sinks.file.rate_conversion import ConvertedSection

    frames = np.random.default_rng(1).uniform(-0.5, 0.5, (-(-200_000 * rate // to), 2)).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", frames, rate, subtype="FLOAT")
    header = read_header(str(tmp_path / "in.wav"))

    def read(at):
        converted = ConvertedSection(FileSection(header), 2, rate=rate, to=to)
        converted.open_at(at)
        try:
            return converted.read_frames(300_000)
        finally:
            converted.close()

    whole = read(0)
    # Rates without a common divisor are interpolated, with steps that add up a little differently.
    assert np.abs(read(position) - whole[position:]).max() < (5e-6 if rate == 44_101 else 1e-6)
