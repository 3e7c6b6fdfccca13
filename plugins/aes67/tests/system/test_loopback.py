"""What is sent comes back bit for bit, in every format, and the report says so."""

import msgspec
import pytest
import trio

from phasegraph import Encoding, frame_at
from phasegraph.testing import SimNetwork, run_graph, running_graph
from phasegraph_aes67 import sdp

MS = 1_000_000


@pytest.mark.parametrize(
    ("rate", "channels", "encoding", "packet_time", "frames"),
    [
        ("48kHz", 2, "L24", "1ms", 48),
        ("48kHz", 1, "L16", "1ms", 48),
        ("48kHz", 8, "L24", "1ms", 48),
        ("48kHz", 2, "L24", "125us", 6),
        ("48kHz", 2, "L24", "333us", 16),
        ("48kHz", 2, "L16", "4ms", 192),
        ("96kHz", 4, "L24", "1ms", 96),
        ("96kHz", 8, "L24", "250us", 24),
        ("44100Hz", 2, "L16", "1ms", 48),
        ("44100Hz", 2, "L24", "125us", 6),
        ("48kHz", 64, "L24", "125us", 6),
        ("48kHz", 2, "L24", "4ms", 192),
        ("44100Hz", 8, "L24", "333us", 16),
        ("88200Hz", 2, "L24", "1ms", 96),
        ("176400Hz", 2, "L24", "250us", 48),
        ("192kHz", 2, "L24", "1ms", 192),
        ("48kHz", 6, "AM824", "1ms", 48),
    ],
)
async def test_every_format(
    graphs, gaps_in, troubles, tmp_path, autojump_clock, rate, channels, encoding, packet_time, frames
):
    network = SimNetwork()
    graph = (
        graphs.head
        + graphs.sending(
            duration="210ms", rate=rate, channels=channels, encoding=encoding, packet_time=packet_time, sdp_out="a.sdp"
        )
        + graphs.receiving(sdp="a.sdp", link_offset="10ms")
    )
    run = await run_graph(graph, network=network, folder=tmp_path)
    assert run.report["ended"] == "completed"
    recorded = run.nodes["recorder"].recording()
    length = round(0.21 * run.nodes["program"].stream.format.rate)
    assert recorded.shape == (length, channels)
    assert gaps_in(recorded, Encoding(encoding)) == []
    it, out = run.metrics("it"), run.metrics("out")
    assert troubles(it) == {}
    assert it["packets_received"] == out["packets_sent"] == -(-length // frames) == network.truth.delivered
    assert out["send_errors"] == 0
    assert it["stream"] == out["stream"]
    assert f"{frames} frames a packet" in it["stream"]


@pytest.mark.parametrize(
    ("send", "receive"),
    [
        pytest.param({}, {}, id="multicast"),
        pytest.param({"interface": "lo"}, {"interface": "lo"}, id="loopback by name"),
        pytest.param({"interface": "127.0.0.1"}, {"interface": "127.0.0.1"}, id="loopback by address"),
        pytest.param({"group": "10.0.1.1"}, {"group": "10.0.1.1"}, id="unicast"),
        pytest.param({"port": 6518}, {"port": 6518}, id="another port"),
        pytest.param({"payload_type": 127}, {"payload_type": 127}, id="another payload type"),
        pytest.param({}, {"packet_time": "125us"}, id="another packet time than expected"),
        pytest.param({}, {"source": "10.0.1.1"}, id="from one source"),
    ],
)
async def test_ways(graphs, gaps_in, troubles, autojump_clock, send, receive):
    run = await run_graph(graphs.head + graphs.sending(duration="100ms", **send) + graphs.receiving(**receive))
    assert len(run.nodes["recorder"].recording()) == 4800
    assert gaps_in(run.nodes["recorder"].recording()) == []
    assert troubles(run.metrics("it")) == {}


async def test_from_another_source_than_wanted(graphs, autojump_clock):
    graph = graphs.head + graphs.sending(duration="100ms") + graphs.receiving(source="10.9.9.9")
    run = await run_graph(graph, for_s=0.5)
    assert run.metrics("it")["packets_received"] == 0
    assert run.report["ended"] == "time"


async def test_the_figures_that_the_contract_names(graphs, autojump_clock):
    run = await run_graph(graphs.head + graphs.sending(duration="500ms") + graphs.receiving())
    it, out = run.metrics("it"), run.metrics("out")
    # A packet leaves when its last frame has sounded (the lead), and needs 20 us.
    assert it["lateness_p50_ns"] == it["lateness_p99_ns"] == it["lateness_max_ns"]
    assert it["lateness_max_ns"] == pytest.approx(MS + 20_000, abs=100)
    assert out["lead_ns"] == MS
    assert out["pacing_error_p50_ns"] <= out["pacing_error_p99_ns"] <= out["pacing_error_max_ns"] < 1000
    assert out["sender_resyncs"] == 0
    assert it["socket_dropped"] == 0
    (ended,) = run.events("stream_ended")
    assert ended["node"] == "it"
    assert ended["packets"] == 500


@pytest.mark.parametrize("offset_ms", [6, pytest.param(40, marks=pytest.mark.slow)])
async def test_a_recorder_is_behind_by_the_link_offset(graphs, autojump_clock, offset_ms):
    # To the interval at which it takes, where the link offset leaves time for the data plane's quantum (4 ms here).
    graph = graphs.head + graphs.sending(duration="800ms") + graphs.receiving(link_offset=f"{offset_ms}ms")
    graph = graph.replace('"sim-recorder"', '"sim-recorder"\ninterval = "125us"')
    async with running_graph(graph) as run:
        await trio.sleep(0.3)
        stream = run.nodes["it"].stream
        for _ in range(8):
            await trio.sleep(0.0317)
            now = frame_at(run.nodes["house"].estimate().reference_at(run.local.now_ns()), 48_000)
            sounded = now + 1 - (stream.first + 48 * offset_ms)
            assert sounded - 6 <= run.nodes["recorder"].metrics()["frames_in"] <= sounded


async def test_the_description_that_is_written(graphs, tmp_path, autojump_clock):
    graph = graphs.head + graphs.sending(
        duration="10ms", sdp_out="out/deep/a.sdp", channels=6, packet_time="125us", name="Main  hall", ttl=5
    )
    run = await run_graph(graph, folder=tmp_path)
    text = (tmp_path / "out/deep/a.sdp").read_bytes().decode()
    session = sdp.parse(text)
    (stream,) = session.streams
    assert session.problems == ()
    assert session.name == "Main hall"
    assert (stream.address, stream.port, stream.ttl) == ("239.69.1.1", 5004, 5)
    assert (stream.channels, stream.frames_per_packet, stream.mediaclk_offset) == (6, 6, 0)
    assert stream.ts_refclk == "local"
    assert f"IN IP4 {run.session.services.network.interface('eth0').address}\r\n" in text


@pytest.mark.parametrize("mediaclk", ["none", "wrong"])
async def test_timestamps_that_count_only_themselves(graphs, sent, tmp_path, autojump_clock, mediaclk):
    # As ffmpeg and GStreamer send them: a description without a clock, or timestamps that do not keep to it.
    graph = graphs.head + graphs.sending(duration="300ms", sdp_out="a.sdp")
    await run_graph(graph, folder=tmp_path)
    text = (tmp_path / "a.sdp").read_text()
    if mediaclk == "none":
        text = "".join(line for line in text.splitlines(True) if not line.startswith(("a=mediaclk", "a=ts-refclk")))
        how = {}
    else:
        text = text.replace("direct=0", "direct=1234567890")
        how = {"media_clock": "relative"}
    (tmp_path / "b.sdp").write_text(text)
    graph = graphs.head + graphs.sending(duration="300ms") + graphs.receiving(sdp="b.sdp", **how)
    run = await run_graph(graph, folder=tmp_path)
    recorded = run.nodes["recorder"].recording()
    assert recorded.tobytes() == sent(14_400).tobytes()
    # As if the first packet had needed no time.
    assert run.metrics("it")["lateness_max_ns"] == pytest.approx(MS, abs=30_000)


async def test_timestamps_that_do_not_fit_are_said(graphs, autojump_clock):
    graph = graphs.head + graphs.sending(duration="300ms") + graphs.receiving(mediaclk_offset=48_000 * 60)
    run = await run_graph(graph)
    (event,) = run.events("timestamps_outside_window")
    assert event["lateness_ns"] == pytest.approx(60e9, rel=0.01)
    assert run.metrics("it")["packets_late"] == 300
    assert len(run.nodes["recorder"].recording()) == 0


async def test_a_sender_that_could_not_begin_is_started_again(graphs, gaps_in, autojump_clock):
    network = SimNetwork()
    real, tries = network.sender, []

    def sender(interface, *, ttl, dscp):
        tries.append(interface)
        if len(tries) == 1:
            raise OSError(100, "Network is down")
        return real(interface, ttl=ttl, dscp=dscp)

    network.sender = sender
    graph = graphs.head + graphs.sending(duration="200ms", on_failure="restart") + graphs.receiving()
    run = await run_graph(graph, network=network, for_s=5)
    assert run.metrics("out")["packets_sent"] == 200
    assert [event["reason"] for event in run.events("restarting")] == ["cannot send through 10.0.1.1: Network is down"]
    assert len(run.nodes["recorder"].recording()) == 9600
    assert gaps_in(run.nodes["recorder"].recording()) == []


def test_options_that_scripts_rely_on():
    # The contract's list.
    from phasegraph_aes67.options import Aes67SinkConfig, Aes67SourceConfig

    def names(config):
        return {field.encode_name for field in msgspec.structs.fields(config)}

    both = {"clock", "interface", "group", "port", "encoding", "rate", "channels", "packet-time", "payload-type"}
    assert both | {"sdp", "link-offset"} <= names(Aes67SourceConfig)
    assert both | {"input", "lead", "sdp-out"} <= names(Aes67SinkConfig)


async def test_what_the_system_threw_away_is_in_the_report(graphs, troubles, autojump_clock):
    network = SimNetwork(socket_packets=3)
    graph = graphs.head + graphs.sending(duration="60ms", packet_time="125us") + graphs.receiving()
    run = await run_graph(graph, network=network, for_s=2)
    it = run.metrics("it")
    dropped = run.metrics("out")["packets_sent"] - it["packets_received"]
    assert dropped > 0
    assert it["socket_dropped"] == dropped
