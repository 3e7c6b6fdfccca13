import os
import resource
import shutil
import struct
import wave
from functools import partial

import numpy as np
import pytest
import soundfile
import trio

from phasegraph import NodeError
from phasegraph_sinks.file import file_sink, file_writer, recording_format
from phasegraph_sinks.file.options import FileSinkConfig, FileSourceConfig

SUFFIXES = ["wav", "rf64", "w64", "flac", "aiff", "caf"]
SUBTYPES = {"L16": "PCM_16", "L24": "PCM_24", "float32": "FLOAT"}


@pytest.fixture
def make(build, options):
    def make(input, path, **fields):
        return file_sink.make(options(FileSinkConfig, input="stage", path=str(path), **fields), build, input)

    return make


def read(path):
    """What a file holds, as float64, read in a way that is not the source's."""
    info = soundfile.info(path)
    if info.subtype == "FLOAT":
        return soundfile.read(path, always_2d=True)[0]
    return soundfile.read(path, dtype="int32", always_2d=True)[0] / 2.0**31


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("encoding", SUBTYPES)
@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_records_bit_exactly(
    suffix, encoding, channels, tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    format = format_of(encoding, channels=channels, rate=96000)
    frames = noise(format, 60_000)
    path = tmp_path / f"out.{suffix}"
    sink = make(make_input(frames, format), path)
    assert not path.exists()
    await sink.run(ctx)
    info = soundfile.info(path)
    lossy = suffix == "flac" and encoding == "float32"
    assert info.subtype == ("PCM_24" if lossy else SUBTYPES[encoding])
    assert (info.samplerate, info.channels, info.frames) == (96000, channels, 60_000)
    if lossy:
        assert np.abs(read(path) - np.clip(frames, -1, 1 - 2**-23)).max() <= 2**-24
    else:
        assert np.array_equal(read(path), frames)
    metrics = sink.metrics()
    assert metrics["frames_in"] == 60_000
    assert metrics["duration_s"] == 0.625
    assert metrics["overruns"] == 0
    assert metrics["file"] == str(path)
    assert metrics["peak_dbfs"] == pytest.approx(20 * np.log10(np.abs(frames).max()), abs=0.01)
    assert ctx.events == []


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
async def test_subtype_is_a_choice(subtype, tmp_path, ctx, make, make_input, noise, format_of, autojump_clock):
    format = format_of("L16")
    frames = noise(format, 1000)
    await make(make_input(frames, format), tmp_path / "out.x", format="wav", subtype=subtype).run(ctx)
    assert soundfile.info(tmp_path / "out.x").subtype == subtype
    assert np.array_equal(read(tmp_path / "out.x"), frames)


async def test_fewer_bits_are_rounded_and_clipped(tmp_path, ctx, make, make_input, format_of, autojump_clock):
    frames = np.array([[0.6], [0.5], [-0.6], [40000.0], [-40000.0], [np.nan]], np.float32) / 32768
    format = format_of("float32", channels=1)
    await make(make_input(frames, format), tmp_path / "out.wav", subtype="PCM_16").run(ctx)
    assert soundfile.read(tmp_path / "out.wav", dtype="int16")[0].tolist() == [1, 0, -1, 32767, -32768, 0]


async def test_follows_a_live_input(tmp_path, ctx, make, make_input, noise, format_of, autojump_clock):
    frames = noise(format_of(), 480_000)
    sink = make(make_input(frames, format_of(), paced=True), tmp_path / "out.wav")
    await sink.run(ctx)
    assert trio.current_time() == pytest.approx(10, abs=0.3)
    assert ctx.in_threads < 70  # about five looks a second
    assert np.array_equal(read(tmp_path / "out.wav"), frames)


async def test_the_file_is_made_when_the_first_frame_comes(
    tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    path = tmp_path / "new" / "folder" / "out.wav"
    await make(make_input(noise(format_of(), 4)[:0], format_of()), path).run(ctx)
    assert path.parent.is_dir()
    assert not path.exists()
    sink = make(make_input(noise(format_of(), 48_000), format_of(), paced=True), path)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(sink.run, ctx))
        assert not path.exists()
        await trio.sleep(0.5)
        assert path.exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_cancelled_closes_with_what_was_taken(
    suffix, tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    frames = noise(format_of(), 480_000)
    input = make_input(frames, format_of(), paced=True)
    sink = make(input, tmp_path / f"out.{suffix}")
    with trio.move_on_after(3.14):
        await sink.run(ctx)
    assert input.taken >= 2.9 * 48_000
    assert np.array_equal(read(tmp_path / f"out.{suffix}"), frames[: input.taken])


async def test_a_stalled_disk_loses_nothing(tmp_path, ctx, make, make_input, noise, format_of, autojump_clock):
    frames = noise(format_of("L16"), 960_000)
    sink = make(make_input(frames, format_of("L16"), paced=True), tmp_path / "out.wav")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(sink.run, ctx))
        await trio.sleep(1)
        ctx.gate = trio.Event()
        await trio.sleep(17)
        assert sink.metrics()["duration_s"] < 1.5
        assert sink.metrics()["frames_in"] > 17.5 * 48_000
        ctx.gate.set()
    assert np.array_equal(read(tmp_path / "out.wav"), frames)
    assert sink.metrics()["overruns"] == 0


async def test_a_full_queue_stops_taking_and_says_so_once(
    tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    format = format_of("L16")
    input = make_input(noise(format, 40 * 48_000), format, paced=True)
    sink = make(input, tmp_path / "out.wav")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(sink.run, ctx))
        ctx.gate = trio.Event()
        await trio.sleep(35)
        assert input.taken == pytest.approx(30 * 48_000, rel=0.01)
        assert sink.metrics()["overruns"] == 1
        ctx.gate.set()
    assert [fields["file"] for fields in ctx.named("overrun")] == [str(tmp_path / "out.wav")]
    assert np.array_equal(read(tmp_path / "out.wav"), input.frames)


@pytest.mark.slow
async def test_copying_faster_than_the_disk_is_no_overrun(
    tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    format = format_of("L16")
    sink = make(make_input(noise(format, 40 * 48_000), format), tmp_path / "out.wav")
    ctx.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run, ctx)
        ctx.gate.set()
        await trio.testing.wait_all_tasks_blocked()
        ctx.gate = trio.Event()
        await trio.sleep(100)
        ctx.gate.set()
    assert sink.metrics()["overruns"] == 0
    assert soundfile.info(tmp_path / "out.wav").frames == 40 * 48_000


async def test_gives_up_on_a_disk_that_stalls_while_stopping(
    tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    sink = make(make_input(noise(format_of(), 480_000), format_of(), paced=True), tmp_path / "out.wav")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(sink.run, ctx))
        await trio.sleep(0.5)
        ctx.gate = trio.Event()
        await trio.sleep(8)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.sleep(file_sink.DRAIN_S + 1)
        ctx.gate.set()
    (fields,) = ctx.named("unwritten")
    assert sink.metrics()["unwritten_frames"] == fields["frames"]
    assert fields["frames"] > 7 * 48_000
    assert soundfile.info(tmp_path / "out.wav").frames > 0


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_what_was_written_survives_a_crash(
    suffix, tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    frames = noise(format_of(), 480_000)
    sink = make(make_input(frames, format_of(), paced=True), tmp_path / f"out.{suffix}")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(sink.run, ctx))
        await trio.sleep(5)
        shutil.copy(tmp_path / f"out.{suffix}", tmp_path / f"copy.{suffix}")
        nursery.cancel_scope.cancel()
    info = soundfile.info(tmp_path / f"copy.{suffix}")
    if suffix == "flac":
        assert os.path.getsize(tmp_path / "copy.flac") > 500_000  # readable, its header has no length yet
    else:
        assert info.frames > 4.5 * 48_000
        assert np.array_equal(read(tmp_path / f"copy.{suffix}"), frames[: info.frames])


class TestWav:
    async def test_short_ones_are_plain(self, tmp_path, ctx, make, make_input, noise, format_of, autojump_clock):
        format = format_of("L16", channels=8)
        frames = noise(format, 5000)
        await make(make_input(frames, format), tmp_path / "out.wav").run(ctx)
        head = (tmp_path / "out.wav").read_bytes()[:20]
        assert head[:4] + head[8:16] == b"RIFFWAVEJUNK"
        assert struct.unpack("<I", head[4:8])[0] == os.path.getsize(tmp_path / "out.wav") - 8
        with wave.open(str(tmp_path / "out.wav")) as file:  # in 3.11 it reads plain PCM only
            assert (file.getnchannels(), file.getsampwidth(), file.getnframes()) == (8, 2, 5000)
            samples = np.frombuffer(file.readframes(5000), "<i2").reshape(-1, 8)
        assert np.array_equal(samples / 32768, frames)
        assert soundfile.info(tmp_path / "out.wav").format == "WAV"

    async def test_float_is_plain_too(self, tmp_path, ctx, make, make_input, noise, format_of, autojump_clock):
        format = format_of("float32")
        frames = noise(format, 5000)
        await make(make_input(frames, format), tmp_path / "out.wav").run(ctx)
        assert soundfile.info(tmp_path / "out.wav").format == "WAV"
        assert np.array_equal(read(tmp_path / "out.wav"), frames)

    async def test_rf64_is_a_choice(self, tmp_path, ctx, make, make_input, noise, format_of, autojump_clock):
        frames = noise(format_of(), 5000)
        await make(make_input(frames, format_of()), tmp_path / "out.wav", format="rf64").run(ctx)
        assert (tmp_path / "out.wav").read_bytes()[:4] == b"RF64"
        assert np.array_equal(read(tmp_path / "out.wav"), frames)

    async def test_without_the_switch(
        self, tmp_path, ctx, make, make_input, noise, format_of, autojump_clock, monkeypatch
    ):
        monkeypatch.setattr(file_writer, "set_flag", lambda *_: False)
        monkeypatch.setattr(file_writer, "MAX_32_BIT_SIZE", 12_000 * 6)
        frames = noise(format_of(), 30_000)
        sink = make(make_input(frames, format_of()), tmp_path / "out.wav")
        await sink.run(ctx)
        parts = [tmp_path / name for name in ("out.wav", "out-take-2.wav", "out-take-3.wav")]
        assert [path.read_bytes()[:4] for path in parts] == [b"RIFF"] * 3
        assert np.array_equal(np.concatenate([read(path) for path in parts]), frames)
        assert [fields["file"] for fields in ctx.named("new-file")] == [str(path) for path in parts[1:]]
        assert sink.metrics()["duration_s"] == 0.625
        assert sink.metrics()["file"] == str(parts[2])


async def test_aiff_goes_on_in_a_second_file(
    tmp_path, ctx, make, make_input, noise, format_of, autojump_clock, monkeypatch
):
    small = recording_format.FileContainer("AIFF", (".aiff",), max_bytes=20_000 * 6)
    monkeypatch.setitem(recording_format.FILE_CONTAINERS, "aiff", small)
    frames = noise(format_of(), 30_000)
    await make(make_input(frames, format_of()), tmp_path / "out.aiff").run(ctx)
    both = [read(tmp_path / "out.aiff"), read(tmp_path / "out-take-2.aiff")]
    assert np.array_equal(np.concatenate(both), frames)


@pytest.mark.parametrize("suffix", ["wav", "flac", "caf"])
async def test_a_full_disk_fails_in_words_and_a_restart_goes_on(
    suffix, tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    frames = noise(format_of(), 200_000)
    input = make_input(frames, format_of(), paced=True)
    sink = make(input, tmp_path / f"out.{suffix}")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with pytest.raises(NodeError, match="cannot write") as caught:
            await sink.run(ctx)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.option == "path"
    assert "File too large (EFBIG)" in str(caught.value)
    waiting = sink.metrics()
    assert waiting["unwritten_frames"] == waiting["frames_in"] - round(waiting["duration_s"] * 48_000) > 0
    with soundfile.SoundFile(tmp_path / f"out.{suffix}") as first:
        assert np.array_equal(first.read(20_000, dtype="int32") / 2.0**31, frames[:20_000])
    await sink.run(ctx)
    second = tmp_path / f"out-take-2.{suffix}"
    assert ctx.named("new-file") == [{"file": str(second)}]
    rest = read(second)
    assert np.array_equal(rest, frames[len(frames) - len(rest) :])
    assert sink.metrics()["unwritten_frames"] == 0
    written = sink.metrics()["duration_s"] * 48_000
    assert written == pytest.approx(200_000)  # nothing is missing between the two


async def test_a_disk_that_stays_full_is_the_reason_at_every_try(
    tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    frames = noise(format_of(), 200_000)
    sink = make(make_input(frames, format_of(), paced=True), tmp_path / "out.wav")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for most in (300_000, 1000, 1000, 1000):  # after the first one no file can even be begun
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
            with pytest.raises(NodeError, match=r"cannot write .*File too large \(EFBIG\)"):
                await sink.run(ctx)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["out.wav"], "files without a frame do not stay"
    await sink.run(ctx)
    rest = read(tmp_path / "out-take-2.wav")
    assert np.array_equal(rest, frames[len(frames) - len(rest) :])


async def test_started_again_it_keeps_what_it_wrote(tmp_path, ctx, make, make_input, noise, format_of, autojump_clock):
    frames = noise(format_of(), 480_000)
    input = make_input(frames, format_of(), paced=True)
    (tmp_path / "out-take-2.wav").write_bytes(b"of an earlier run")
    sink = make(input, tmp_path / "out.wav")
    with trio.move_on_after(3):
        await sink.run(ctx)
    await sink.run(ctx)
    both = [read(tmp_path / "out.wav"), read(tmp_path / "out-take-3.wav")]
    assert np.array_equal(np.concatenate(both), frames)
    assert (tmp_path / "out-take-2.wav").read_bytes() == b"of an earlier run"


async def test_an_existing_file_is_never_overwritten_unless_asked(
    tmp_path, ctx, make, make_input, noise, format_of, refused, autojump_clock
):
    frames = noise(format_of(), 1000)
    path = tmp_path / "out.wav"
    early = make(make_input(frames, format_of()), path)
    path.write_bytes(b"precious")
    refused(lambda: make(make_input(frames, format_of()), path), "exists already", "overwrite = true", option="path")
    with pytest.raises(NodeError, match="exists already"):  # made between the check and the run
        await early.run(ctx)
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["out.wav"]
    await make(make_input(frames, format_of()), path, overwrite=True).run(ctx.beside("other"))
    assert np.array_equal(read(path), frames)


async def expect_failure(sink, ctx):
    with pytest.raises(NodeError, match="exists already"):
        await sink.run(ctx)


async def test_a_file_that_appears_before_the_first_frame_is_not_overwritten(
    tmp_path, ctx, make, make_input, noise, format_of, autojump_clock
):
    path = tmp_path / "out.wav"
    sink = make(make_input(noise(format_of(), 48_000), format_of(), paced=True), path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_failure, sink, ctx)
        await trio.sleep(0.01)
        path.write_bytes(b"precious")
    assert path.read_bytes() == b"precious"


async def test_two_processes_do_not_write_one_file(tmp_path, ctx, make, make_input, noise, format_of, autojump_clock):
    path = tmp_path / "out.wav"
    frames = noise(format_of(), 96_000)
    first = make(make_input(frames, format_of(), paced=True), path, overwrite=True)
    second = make(make_input(noise(format_of(), 48_000), format_of()), path, overwrite=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run, ctx)
        await trio.sleep(0.5)
        elsewhere = ctx.beside("second")
        elsewhere._shared = {}  # the locks of another process's run
        with pytest.raises(NodeError, match="is being recorded by another process"):
            await second.run(elsewhere)
    assert np.array_equal(read(path), frames)


async def test_a_disk_that_is_full_from_the_start_leaves_no_file_behind(
    tmp_path, ctx, make, make_input, noise, format_of, autojump_clock, monkeypatch
):
    # The limit is below the size of a header: the disk refuses the very first bytes, at each try.
    sink = make(make_input(noise(format_of(), 96_000), format_of(), paced=True), tmp_path / "out.wav")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        for _ in range(3):
            with pytest.raises(NodeError, match="EFBIG.*") as caught:
                await sink.run(ctx)
            assert "ulimit -f" in caught.value.hint
            assert os.listdir(tmp_path) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    await sink.run(ctx)
    assert soundfile.info(tmp_path / "out.wav").frames == 96_000


@pytest.mark.parametrize("kind", ["pipe", "device"])
async def test_what_is_no_regular_file_is_refused(kind, tmp_path, ctx, make, make_input, noise, format_of, refused):
    path = tmp_path / "out.wav"
    early = make(make_input(noise(format_of(), 1000), format_of()), path, overwrite=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    call = lambda: make(make_input(noise(format_of(), 10), format_of()), path, overwrite=True)  # noqa: E731
    refused(call, "a named pipe" if kind == "pipe" else "a device", "regular file", option="path")
    with pytest.raises(NodeError, match="a named pipe" if kind == "pipe" else "a device"):
        await early.run(ctx)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_read_only_folder_is_an_error_at_the_start(tmp_path, ctx, make, make_input, noise, format_of):
    (tmp_path / "shut").mkdir(0o500)
    sink = make(make_input(noise(format_of(), 10), format_of()), tmp_path / "shut" / "out.wav")
    with pytest.raises(NodeError, match="Permission denied .EACCES.") as caught:
        await sink.run(ctx)
    assert "let this process's user write" in caught.value.hint


async def test_does_not_overwrite_what_the_run_plays(
    tmp_path, ctx, make, make_input, noise, format_of, build, options, autojump_clock
):
    from phasegraph_sinks.file import file_source

    frames = noise(format_of(), 1000)
    await make(make_input(frames, format_of()), tmp_path / "in.wav").run(ctx.beside("earlier"))
    ctx._shared.clear()
    os.link(tmp_path / "in.wav", tmp_path / "same.wav")
    config = options(FileSourceConfig, path=str(tmp_path / "in.wav"))
    source = file_source.make(config, build)
    await source.run(ctx.beside("stage"))
    for name in ("in.wav", "same.wav"):
        with pytest.raises(NodeError, match="is being played by 'stage'"):
            await make(make_input(frames, format_of()), tmp_path / name, overwrite=True).run(ctx)
    await make(make_input(frames, format_of()), tmp_path / "out.wav").run(ctx)
    with pytest.raises(NodeError, match="is already written by 'node'"):
        await make(make_input(frames, format_of()), tmp_path / "out.wav", overwrite=True).run(ctx.beside("second"))
    assert np.array_equal(read(tmp_path / "in.wav"), frames)


def test_a_folder_that_cannot_be_written_is_noted_before_the_run(tmp_path, make, build, make_input, noise, format_of):
    (tmp_path / "file").touch()
    source = make_input(noise(format_of(), 10), format_of())
    make(source, tmp_path / "new" / "deeper" / "out.wav")
    assert build.notes == []
    make(source, tmp_path / "file" / "out.wav")
    assert build.notes == [f"{tmp_path}/file/out.wav cannot be written: {tmp_path}/file is no folder"]
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "shut").mkdir(0o500)
        make(source, tmp_path / "shut" / "new" / "out.wav")
        assert f"{tmp_path}/shut may not be written; let this process's user" in build.notes[-1]


async def test_impossible_folder(tmp_path, ctx, make, make_input, noise, format_of):
    (tmp_path / "file").touch()
    sink = make(make_input(noise(format_of(), 10), format_of()), tmp_path / "file" / "out.wav")
    for _ in range(2):
        with pytest.raises(NodeError, match="its folder cannot be made") as caught:
            await sink.run(ctx)
        assert caught.value.option == "path"
        assert sink.metrics()["file"] == str(tmp_path / "file" / "out.wav")


def test_wrong_options(tmp_path, make, make_input, noise, format_of, refused):
    def call(name, *, channels=2, **fields):
        format = format_of(channels=channels)
        return lambda: make(make_input(noise(format, 4), format), tmp_path / name, **fields)

    refused(call("out.xyz"), "'.xyz'", ".wav", option="path")
    refused(call("out.mp3"), "lossless", option="path")
    refused(call("out"), "set format", option="path")
    refused(call("out.flac", subtype="FLOAT"), "PCM_16, PCM_24", option="subtype")
    refused(call("out.flac", channels=9), "at most 8 channels", option="path")
    (tmp_path / "folder.wav").mkdir()
    refused(call("folder.wav"), "is a folder", option="path")
