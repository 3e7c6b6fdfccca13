"""A file crosses the network and comes back; with the plugin that has files."""

import numpy as np
import pytest

from phasegraph.testing import Every, Faults, SimNetwork, run_graph

pytest.importorskip("phasegraph_sinks", reason="the plugin with file sources and sinks is not installed")
soundfile = pytest.importorskip("soundfile")


def write(path, subtype, channels=2, frames=24_123):
    bits = int(subtype.removeprefix("PCM_"))
    whole = np.random.default_rng(7).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (frames, channels))
    samples = (whole << (32 - bits)).astype(np.int32)
    soundfile.write(path, samples, 48_000, subtype=subtype)
    return samples


def graph_of(graphs, conceal=True, **options):
    table = graphs.table
    return (
        graphs.head
        + table("sources.program", kind="file", path="in.wav")
        + table(
            "sinks.out", kind="aes67", input="program", interface="lo", group="239.69.1.1", sdp_out="a.sdp", **options
        )
        + table(
            "sources.it",
            kind="aes67",
            interface="lo",
            sdp="a.sdp",
            link_offset="20ms",
            end_after="300ms",
            conceal=conceal,
        )
        + table("sinks.copy", kind="file", input="it", path="out.wav")
    )


@pytest.mark.parametrize(("subtype", "encoding"), [("PCM_24", "L24"), ("PCM_16", "L16")])
@pytest.mark.parametrize("channels", [2, 8])
async def test_bit_for_bit(graphs, tmp_path, autojump_clock, subtype, encoding, channels):
    samples = write(tmp_path / "in.wav", subtype, channels)
    run = await run_graph(graph_of(graphs, encoding=encoding), folder=tmp_path, for_s=20)
    assert run.report["ended"] == "completed"
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.subtype, info.channels, info.samplerate) == (subtype, channels, 48_000)
    copy, _ = soundfile.read(tmp_path / "out.wav", dtype="int32", always_2d=True)
    assert copy.shape == samples.shape
    assert (copy == samples).all()


@pytest.mark.slow
async def test_what_is_lost_is_silence_of_the_same_length(graphs, tmp_path, autojump_clock):
    samples = write(tmp_path / "in.wav", "PCM_24", frames=48_000)
    network = SimNetwork(faults=Faults(drop=Every(100, 17), duplicate=Every(100, 40), swap=Every(100, 70)))
    run = await run_graph(graph_of(graphs, conceal=False), folder=tmp_path, network=network, for_s=20)
    for number in range(17, 1000, 100):
        samples[48 * number : 48 * (number + 1)] = 0
    copy, _ = soundfile.read(tmp_path / "out.wav", dtype="int32", always_2d=True)
    assert copy.shape == samples.shape
    assert (copy == samples).all()
    assert run.metrics("it")["packets_lost"] == network.truth.dropped == 10
    assert run.metrics("copy")["frames_in"] == 48_000
