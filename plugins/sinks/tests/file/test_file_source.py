import itertools
import os
import shutil
from functools import partial

import numpy as np
import pytest
import soundfile
import trio

from phasegraph import Encoding, NodeError
from phasegraph_sinks.file.file_source import KIND, FileSourceConfig

SUBTYPES = {"L16": "PCM_16", "L24": "PCM_24", "float32": "FLOAT"}
CONTAINERS = ["WAV", "RF64", "W64", "AIFF", "CAF", "FLAC"]


def write(path, frames, subtype, *, container="WAV", rate=48000):
    """Writes a test file in a way that is not the sink's: integers by their own arithmetic."""
    if subtype.startswith("PCM"):
        bits = int(subtype[4:])
        data = (np.asarray(frames, np.float64) * 2.0 ** (bits - 1)).astype(np.int64) << (32 - bits)
        frames = data.astype(np.int32)
    soundfile.write(path, frames, rate, subtype=subtype, format=container)
    return path


@pytest.fixture
def make(build, options):
    def make(path, **fields):
        return KIND.factory(options(FileSourceConfig, path=str(path), **fields), build)

    return make


async def play(source, ctx, reader, frames=None, **options):
    """Runs a source, and reads its stream to the end or for so many frames."""
    reading = reader(source.stream, **options)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(source.run, ctx))
        assert source.stream.head > 0 or source.stream.end is not None
        await reading.run(frames)
        nursery.cancel_scope.cancel()
    return reading


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize(
    ("container", "encoding"),
    [pair for pair in itertools.product(CONTAINERS, SUBTYPES) if pair != ("FLAC", "float32")],
)
async def test_plays_bit_exactly(
    container, encoding, channels, tmp_path, ctx, make, reader, noise, format_of, autojump_clock
):
    format = format_of(encoding, channels=channels, rate=44100)
    frames = noise(format, 30_000)
    path = write(tmp_path / "in", frames, SUBTYPES[encoding], container=container, rate=44100)
    source = make(path)
    assert source.stream.format == format
    assert source.stream.clock is None
    played = await play(source, ctx, reader)
    assert np.array_equal(played.frames, frames)
    assert source.stream.end == 30_000
    assert source.metrics() == {"frames_out": 30_000, "file": str(path)}


@pytest.mark.parametrize(("subtype", "tolerance"), [("PCM_32", 2**-24), ("DOUBLE", 2**-25), ("PCM_U8", 2**-7)])
async def test_other_samples(subtype, tolerance, tmp_path, ctx, make, reader, autojump_clock):
    frames = np.random.default_rng(2).uniform(-0.9, 0.9, (10_000, 2))
    soundfile.write(tmp_path / "in.wav", frames, 48000, subtype=subtype)
    played = await play(make(tmp_path / "in.wav"), ctx, reader)
    assert np.abs(played.frames - frames).max() <= tolerance


async def test_lossy_files_play(tmp_path, ctx, make, reader, autojump_clock):
    frames = 0.5 * np.sin(np.arange(48_000) / 20)[:, np.newaxis]
    for suffix in ("ogg", "mp3"):
        soundfile.write(tmp_path / f"in.{suffix}", frames, 48000)
        source = make(tmp_path / f"in.{suffix}")
        assert source.stream.format.encoding is Encoding.FLOAT32
        played = await play(source, ctx, reader)
        assert abs(len(played.frames) - 48_000) < 3000
        assert 0.45 < np.abs(played.frames).max() < 0.6


async def test_keeps_two_seconds_ahead_of_a_reader(tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
    frames = noise(format_of("L16"), 480_000)
    source = make(write(tmp_path / "in.wav", frames, "PCM_16"))
    played = await play(source, ctx, reader, paced=True)
    assert np.array_equal(played.frames, frames)
    assert played.most_ahead <= 96_000
    assert trio.current_time() == pytest.approx(10, rel=0.02)  # never starved


async def test_is_as_fast_as_its_reader(tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
    source = make(write(tmp_path / "in.wav", noise(format_of("L16"), 480_000), "PCM_16"))
    await play(source, ctx, reader)
    assert trio.current_time() < 2


async def test_loops_without_a_gap(tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
    frames = noise(format_of(), 7_001)
    source = make(write(tmp_path / "in.flac", frames, "PCM_24", container="FLAC"), loop=True)
    played = await play(source, ctx, reader, 100_000)
    assert np.array_equal(played.frames[:100_000], np.resize(frames, (100_000, 2)))
    assert source.stream.end is None


async def test_plays_a_section(tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
    frames = noise(format_of(), 48_000)
    path = write(tmp_path / "in.wav", frames, "PCM_24")
    played = await play(make(path, start=250_000_000, duration=500_000_000), ctx, reader)
    assert np.array_equal(played.frames, frames[12_000:36_000])
    played = await play(make(path, start=750_000_000, duration=10**10), ctx, reader)
    assert np.array_equal(played.frames, frames[36_000:])
    section = make(path, start=250_000_000, duration=100_000_000, loop=True)
    played = await play(section, ctx, reader, 20_000)
    assert np.array_equal(played.frames[:20_000], np.resize(frames[12_000:16_800], (20_000, 2)))


@pytest.mark.parametrize("loop", [False, True])
async def test_goes_on_where_it_was(loop, tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
    frames = noise(format_of(), 50_001)
    source = make(write(tmp_path / "in.wav", frames, "PCM_24"), loop=loop)
    reading = reader(source.stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reading.run, 90_000 if loop else None)
        for _ in range(3):
            with trio.move_on_after(0.1):
                await source.run(ctx)
        await nursery.start(partial(source.run, ctx))
        while not (reading.cursor.position >= 90_000 if loop else source.stream.end is not None):
            await trio.sleep(0.1)
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    count = 90_000 if loop else 50_001
    assert np.array_equal(reading.frames[:count], np.resize(frames, (count, 2)))


async def test_ends_when_the_kernel_ends_its_stream(tmp_path, ctx, make, noise, format_of, autojump_clock):
    source = make(write(tmp_path / "in.wav", noise(format_of(), 480_000), "PCM_24"), loop=True)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(source.run, ctx))
        source.stream.finish()


async def test_empty_file_ends_at_once(tmp_path, ctx, make, reader, autojump_clock):
    source = make(write(tmp_path / "in.wav", np.zeros((0, 2)), "PCM_16"))
    played = await play(source, ctx, reader)
    assert (source.stream.end, played.blocks) == (0, [])


def test_unreadable_files(tmp_path, make, refused, noise, format_of):
    refused(lambda: make(tmp_path / "no.wav"), "there is no file", "relative to", option="path")
    refused(lambda: make(tmp_path), "is a folder", option="path")
    refused(lambda: make("/dev/null"), "not a regular file", option="path")
    refused(lambda: make("a\0b"), "cannot be opened", option="path")
    for name, content in [("text.wav", b"not audio at all"), ("empty.wav", b""), ("x.raw", b"1234" * 100)]:
        (tmp_path / name).write_bytes(content)
        refused(lambda name=name: make(tmp_path / name), "cannot be read as audio", "WAV", option="path")
    os.mkfifo(tmp_path / "pipe.wav")
    refused(lambda: make(tmp_path / "pipe.wav"), "not a regular file", option="path")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file(tmp_path, make, refused):
    (tmp_path / "in.wav").touch(0)
    refused(lambda: make(tmp_path / "in.wav"), "Permission denied", "let the user", option="path")


def test_wrong_sections(tmp_path, make, refused, noise, format_of):
    path = write(tmp_path / "in.wav", noise(format_of(), 48_000), "PCM_24")
    refused(lambda: make(path, start=10**9), "lasts 1 s", option="start")
    refused(lambda: make(path, duration=1), "less than one frame", option="duration")
    empty = write(tmp_path / "empty.wav", np.zeros((0, 2)), "PCM_24")
    refused(lambda: make(empty, loop=True), "is empty", option="loop")


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
async def test_damaged_file_fails_in_words(container, tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
    frames = noise(format_of(), 96_000)
    path = write(tmp_path / "in", frames, "PCM_24", container=container)
    source = make(path)
    os.truncate(path, os.path.getsize(path) // 2)
    reading = reader(source.stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reading.run)
        with pytest.raises(NodeError) as caught:
            await source.run(ctx)
        nursery.cancel_scope.cancel()
    error = caught.value
    assert error.option == "path"
    assert f"{path}, frame " in str(error)
    assert np.array_equal(reading.frames, frames[: len(reading.frames)])


async def test_file_that_was_replaced(tmp_path, ctx, make, noise, format_of):
    path = write(tmp_path / "in.wav", noise(format_of(), 48_000), "PCM_24")
    source = make(path)
    write(path, noise(format_of("L16"), 48_000), "PCM_16")
    with pytest.raises(NodeError, match="has become another file"):
        await source.run(ctx)
    path.unlink()
    with pytest.raises(NodeError, match="there is no file"):
        await source.run(ctx)


async def test_file_whose_writer_crashed(tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
    frames = noise(format_of(), 48_000)
    with soundfile.SoundFile(tmp_path / "live.flac", "w", 48000, 2, "PCM_24") as file:
        file.write((frames * 2.0**31).astype(np.int32))
        shutil.copy(tmp_path / "live.flac", tmp_path / "in.flac")
    source = make(tmp_path / "in.flac")  # its header has no length
    played = await play(source, ctx, reader)
    assert source.stream.end > 40_000
    assert np.array_equal(played.frames, frames[: len(played.frames)])
