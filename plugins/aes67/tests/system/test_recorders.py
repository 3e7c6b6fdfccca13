"""Recording by time, with the plugin that has files: what two machines record of one stream is one recording."""

import struct

import numpy as np
import pytest
import trio

from phasegraph.testing import Impairment, SimNetwork, SimWire, running_graph

pytest.importorskip("phasegraph_sinks", reason="the plugin with file sources and sinks is not installed")
soundfile = pytest.importorskip("soundfile")

NETWORKS = ("eth0", "eth1")
RATE = 48_000
QUICK_OR_LONG = pytest.mark.parametrize("split_s", [1, pytest.param(3, marks=pytest.mark.slow)])
LEG_B = 'leg-b = {interface = "eth1", group = "239.70.1.1"}\n'


@pytest.fixture
def sender(graphs):
    return graphs.head + graphs.sending(duration="13s", packet_time="4ms") + LEG_B


@pytest.fixture
def recorder(graphs):
    def make(link_offset="5ms", split="3s", path="{start:%Y-%m-%dT%H%M%SZ}.wav", **options):
        source = graphs.receiving(link_offset=link_offset, packet_time="4ms", **options).split("[sinks")[0]
        sink = graphs.table("sinks.file", kind="file", input="it", path=path, split=split)
        return graphs.head + source + LEG_B + sink

    return make


def read(path):
    samples, rate = soundfile.read(path, dtype="int32", always_2d=True)
    assert rate == RATE
    return samples


def broadcast_extension(path):
    """The second of origination, and frames since midnight, as the chunk of EBU Tech 3285 has them."""
    content = path.read_bytes()[:4096]
    date, time, low, high = struct.unpack_from("<10s8sII", content, content.index(b"bext") + 8 + 320)
    return f"{date.decode()}T{time.decode()}", low + (high << 32)


def origin(path):
    return broadcast_extension(path)[0]


def time_reference(path):
    return broadcast_extension(path)[1]


async def record(text, network, folder, seconds):
    folder.mkdir()
    async with running_graph(text, network=network, folder=folder) as run:
        await trio.sleep(seconds)
    assert run.report["ended"] in ("time", "completed")


@QUICK_OR_LONG
@pytest.mark.slow
async def test_two_recorders_give_one_recording(sender, recorder, tmp_path, autojump_clock, split_s):
    lasts_s = 3.5 * split_s + 1.0
    wire = SimWire(seed=4, separate=NETWORKS)
    source, one, two = (SimNetwork(wire=wire) for _ in range(3))
    # Each loses packets on another leg, and starts and ends at another time, with another link offset.
    wire.link(source, one, "eth0").impairment = Impairment(loss=0.05, jitter_ns=400_000)
    wire.link(source, two, "eth1").impairment = Impairment(loss=0.05, jitter_ns=400_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(record, sender, source, tmp_path / "source", lasts_s + 2.5)
        nursery.start_soon(record, recorder(split=f"{split_s}s"), one, tmp_path / "one", lasts_s)
        await trio.sleep(1.3)
        nursery.start_soon(record, recorder("20ms", f"{split_s}s"), two, tmp_path / "two", lasts_s)
    recordings, names = [], []
    for folder in ("one", "two"):
        files = sorted((tmp_path / folder).iterdir())
        assert [path.name for path in files] == [f"{origin(path).replace(':', '')}Z.wav" for path in files]
        assert {int(origin(path)[-2:]) % split_s for path in files[1:]} == {0}, "files end on the clock's seconds"
        lengths = [len(read(path)) for path in files]
        assert np.diff([time_reference(path) for path in files]).tolist() == lengths[:-1]
        assert all(length == split_s * RATE for length in lengths[1:-1])
        recordings.append((time_reference(files[0]), np.concatenate([read(path) for path in files])))
        names.append({path.name for path in files[1:-1]})
    begin = max(first for first, _ in recordings)
    count = min(first + len(samples) for first, samples in recordings) - begin
    assert count > (lasts_s - 2.5) * RATE
    one_part, two_part = (samples[begin - first :][:count] for first, samples in recordings)
    assert np.array_equal(one_part, two_part)
    for whole in names[0] & names[1]:
        assert (tmp_path / "one" / whole).read_bytes() == (tmp_path / "two" / whole).read_bytes()
    assert len(names[0] & names[1]) >= 2
    assert wire.link(source, one, "eth0").truth.dropped > 6 * lasts_s


@QUICK_OR_LONG
@pytest.mark.slow
async def test_a_gap_keeps_its_place_across_the_end_of_a_file(sender, recorder, tmp_path, autojump_clock, split_s):
    gap_s = 2.0 * split_s + 0.5
    options = {"split": f"{split_s}s", "end_after": "10s", "conceal": False}
    wire = SimWire(separate=NETWORKS)
    source, one = SimNetwork(wire=wire), SimNetwork(wire=wire)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(record, sender, source, tmp_path / "source", gap_s + 6.0)
        nursery.start_soon(record, recorder(**options), one, tmp_path / "one", gap_s + 4.0)
        await trio.sleep(2)
        wire.impair(Impairment(loss=1.0))
        await trio.sleep(gap_s)  # a whole file long, at least
        wire.impair(Impairment())
    files = sorted((tmp_path / "one").iterdir())
    lengths = [len(read(path)) for path in files]
    assert all(length == split_s * RATE for length in lengths[1:-1])
    starts = [time_reference(path) for path in files]
    assert np.diff(starts).tolist() == lengths[:-1]
    sound = np.concatenate([read(path) for path in files]).any(axis=1)
    silent = np.flatnonzero(~sound[1:])
    assert (gap_s - 0.1) * RATE < len(silent) < (gap_s + 0.1) * RATE
    assert silent[-1] - silent[0] == len(silent) - 1


@QUICK_OR_LONG
async def test_files_are_never_overwritten(sender, recorder, tmp_path, autojump_clock, split_s):
    wire = SimWire(separate=NETWORKS)
    source, one = SimNetwork(wire=wire), SimNetwork(wire=wire)
    text = recorder(path="one/{start:%Y}.wav", split=f"{split_s}s")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(record, sender, source, tmp_path / "source", 2.0 * split_s + 4.0)
        for folder in ("first", "second"):
            await record(text.replace("one/", f"{tmp_path}/one/"), one, tmp_path / folder, split_s + 1.2)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files[0] == "2026-take-2.wav"
    assert files[-1] == "2026.wav"
    assert len(files) >= 4
    references = [time_reference(tmp_path / "one" / name) for name in (files[-1], *files[:-1])]
    assert references == sorted(references)
