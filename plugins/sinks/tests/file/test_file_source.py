import itertools
import os
import shutil
import struct
import tempfile
from functools import partial

import numpy as np
import pytest
import soundfile
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phasegraph import Encoding, NodeError
from phasegraph_sinks.file import file_source, header_sizes
from phasegraph_sinks.file.header_sizes import mismatched_region
from phasegraph_sinks.file.options import FileSourceConfig

W64 = header_sizes._W64_RIFF + bytes(8) + header_sizes._W64_WAVE
HEADS = [b"RIFF\0\0\0\0WAVE", b"RF64\0\0\0\0WAVE", b"FORM\0\0\0\0AIFC", W64]
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
        return file_source.make(options(FileSourceConfig, path=str(path), **fields), build)

    return make


async def play(source, ctx, reader, frames=None, **options):
    """Runs a source, and reads its stream to the end or for a number of frames."""
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


class TestWrongLengths:
    """Headers whose sizes wrapped at 4 GiB, or were never written by a recorder that died."""

    FRAMES = 24_000

    def wav(self, samples, *, data_size, riff_size, extra=b""):
        head = (
            b"RIFF"
            + struct.pack("<I", riff_size)
            + b"WAVEfmt "
            + struct.pack("<IHHIIHH", 16, 1, 2, 48000, 192000, 4, 16)
        )
        return head + extra + b"data" + struct.pack("<I", data_size) + samples

    def samples(self, noise, format_of, order="<"):
        frames = noise(format_of("L16"), self.FRAMES)
        return frames, (np.asarray(frames, np.float64) * 32768).astype(f"{order}i2").tobytes()

    async def played(self, path, ctx, make, reader):
        source = make(path)
        played = await play(source, ctx, reader)
        (event,) = ctx.named("wrong_length_in_header")
        assert event["frames"] == source.stream.end
        return played.frames, event

    @pytest.mark.parametrize("size", [0, 0xFFFF_FFFF])
    async def test_wav(self, size, tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
        frames, data = self.samples(noise, format_of)
        junk = b"JUNK" + struct.pack("<I", 28) + bytes(28)
        (tmp_path / "in.wav").write_bytes(self.wav(data, data_size=size, riff_size=size, extra=junk))
        played, event = await self.played(tmp_path / "in.wav", ctx, make, reader)
        assert np.array_equal(played, frames)
        assert event["header_frames"] == 0

    async def test_rf64(self, tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
        frames, data = self.samples(noise, format_of)
        head = self.wav(data, data_size=0xFFFF_FFFF, riff_size=0xFFFF_FFFF, extra=b"")
        ds64 = b"ds64" + struct.pack("<IQQQI", 28, 0, 0, 0, 0)
        (tmp_path / "in.wav").write_bytes(b"RF64" + head[4:12] + ds64 + head[12:])
        assert np.array_equal((await self.played(tmp_path / "in.wav", ctx, make, reader))[0], frames)

    async def test_w64(self, tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
        frames, data = self.samples(noise, format_of)
        path = write(tmp_path / "in.w64", frames, "PCM_16", container="W64")
        content = bytearray(path.read_bytes())
        at = content.index(b"data\xf3\xac\xd3\x11")
        content[16:24], content[at + 16 : at + 24] = bytes(8), struct.pack("<Q", 24)
        path.write_bytes(content[: at + 24] + data)
        assert np.array_equal((await self.played(path, ctx, make, reader))[0], frames)

    async def test_aiff(self, tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
        frames, data = self.samples(noise, format_of, ">")
        path = write(tmp_path / "in.aiff", frames, "PCM_16", container="AIFF")
        content = bytearray(path.read_bytes())
        at = content.index(b"SSND")
        comm = content.index(b"COMM")
        content[4:8], content[at + 4 : at + 8], content[comm + 10 : comm + 14] = bytes(4), bytes(4), bytes(4)
        path.write_bytes(content[: at + 16] + data)
        assert np.array_equal((await self.played(path, ctx, make, reader))[0], frames)

    @pytest.mark.parametrize("order", ["<", ">"])
    async def test_sizes_that_wrapped(self, order, tmp_path, ctx, make, reader, noise, format_of, autojump_clock):
        frames, data = self.samples(noise, format_of, order)
        size = (1 << 32) + 4 * 48_000
        path = tmp_path / ("in.wav" if order == "<" else "in.aiff")
        if order == "<":
            head = self.wav(b"", data_size=size & 0xFFFF_FFFF, riff_size=(size + 36) & 0xFFFF_FFFF)
        else:
            rate = struct.pack(">hQ", 16383 + 15, 48000 << 48)
            comm = b"COMM" + struct.pack(">IhIh", 18, 2, size // 4 & 0xFFFF_FFFF, 16) + rate
            ssnd = b"SSND" + struct.pack(">III", size + 8 & 0xFFFF_FFFF, 0, 0)
            head = b"FORM" + struct.pack(">I", 4 + len(comm) + len(ssnd) + size & 0xFFFF_FFFF) + b"AIFF" + comm + ssnd
        with path.open("wb") as file:  # sparse
            file.write(head)
            file.seek(len(head) + size - len(data))
            file.write(data)
        source = make(path, start=(size // 4 - self.FRAMES) * 62_500 // 3)
        played = await play(source, ctx, reader)
        assert np.array_equal(played.frames, frames)
        (event,) = ctx.named("wrong_length_in_header")
        assert (event["frames"], event["header_frames"]) == (size // 4, 48_000)

    @pytest.mark.parametrize("container", CONTAINERS)
    def test_a_right_header_is_believed(self, container, tmp_path, noise, format_of):
        path = write(tmp_path / "in", noise(format_of(), 1000), "PCM_24", container=container)
        with path.open("ab") as file:
            file.write(b"LIST" + struct.pack("<I", 4) + b"more")  # what follows the samples is no sample
        assert mismatched_region(str(path)) is None
        write(path, noise(format_of(), 0), "PCM_24", container=container)
        assert mismatched_region(str(path)) is None

    @given(st.binary(max_size=200), st.sampled_from(HEADS))
    @example(bytes(23) + b"\x80", HEADS[-1])
    @example(bytes(23) + b"\x01", HEADS[-1])
    @settings(max_examples=200, deadline=None)
    def test_any_bytes_are_read_without_an_error(self, rest, head):
        with tempfile.NamedTemporaryFile() as file:
            file.write(head + rest)
            file.flush()
            mismatched_region(file.name)
