"""Graphs that cannot work say why, and what to do."""

import errno

import pytest

from phasegraph import GraphError, install_command
from phasegraph.testing import SimNetwork, make_session, run_graph


def problems(text, folder):
    with pytest.raises(GraphError) as caught:
        make_session(text, folder=folder)
    return {problem.path: str(problem) for problem in caught.value.problems}


GOOD_SDP = "v=0\nc=IN IP4 239.69.1.1/32\nm=audio 5004 RTP/AVP 98\na=rtpmap:98 L24/48000/2\n"


@pytest.mark.parametrize(
    ("options", "path", "said"),
    [
        ({"group": None}, "sources.it", "give sdp, or session or group with encoding, rate and channels"),
        ({"group": "studio"}, "sources.it.group", "'studio' is not an IPv4 address"),
        ({"group": "ff15::1"}, "sources.it.group", "'ff15::1' is not an IPv4 address"),
        ({"group": "239.69.1.1", "sdp": "good.sdp"}, "sources.it.group", "sdp and group are both given"),
        ({"source": "studio"}, "sources.it.source", "'studio' is not an IPv4 address"),
        ({"sdp": "good.sdp", "source": "10.0.0.300"}, "sources.it.source", "'10.0.0.300' is not an IPv4 address"),
        ({"sdp": "bad.sdp"}, "sources.it.sdp", "encoding opus is not supported: L16, L24 and AM824 are"),
        ({"sdp": "empty.sdp"}, "sources.it.sdp", "it is empty"),
        ({"sdp": "noise.sdp"}, "sources.it.sdp", "no m=audio line"),
        ({"sdp": "missing.sdp"}, "sources.it.sdp", "missing.sdp"),
        ({"port": 0}, "sources.it.port", "1"),
        ({"encoding": "L20"}, "sources.it.encoding", "L24"),
        ({"link_offset": "3"}, "sources.it.link-offset", "3ms"),
    ],
)
def test_sources(graphs, tmp_path, options, path, said):
    (tmp_path / "good.sdp").write_text(GOOD_SDP)
    (tmp_path / "bad.sdp").write_text(GOOD_SDP.replace("L24", "opus"))
    (tmp_path / "empty.sdp").write_text("")
    (tmp_path / "noise.sdp").write_bytes(bytes(range(256)) * 16)
    found = problems(graphs.head + graphs.receiving(**options), tmp_path)
    assert list(found) == [path]
    assert said in found[path]


@pytest.mark.parametrize(
    ("options", "path", "said"),
    [
        ({"group": "studio"}, "sinks.out.group", "'studio' is not an IPv4 address"),
        ({"group": None}, "sinks.out.group", "missing"),
        ({"channels": 11}, "sinks.out.packet-time", "up to 10 channels fit: send fewer, or shorten packet-time"),
        ({"channels": 16, "encoding": "L16"}, "sinks.out.packet-time", "up to 15 channels fit"),
        ({"channels": 64, "packet_time": "250us"}, "sinks.out.packet-time", "up to 40 channels fit"),
        ({"packet_time": "20ms"}, "sinks.out.packet-time", "makes packets of 5760 bytes, and 1440 fit"),
        ({"ttl": 0}, "sinks.out.ttl", "1"),
        ({"dscp": 64}, "sinks.out.dscp", "63"),
        ({"packet_time": "1"}, "sinks.out.packet-time", "3ms"),
    ],
)
def test_sinks(graphs, tmp_path, options, path, said):
    found = problems(graphs.head + graphs.sending(**options), tmp_path)
    assert list(found) == [path]
    assert said in found[path]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ('rate = "96kHz"', "rate is 96000 Hz and the input has 48000 Hz (leave rate out to send the input's)"),
        ("channels = 6", "channels is 6 and the input has 2"),
    ],
)
def test_a_sink_sends_what_its_input_has(graphs, tmp_path, option, said):
    graph = graphs.head + graphs.sending() + option + "\n"
    ((path, problem),) = problems(graph, tmp_path).items()
    assert path == f"sinks.out.{option.split()[0]}"
    assert said in problem


@pytest.mark.parametrize(("channels", "packet_time"), [(10, "1ms"), (80, "125us"), (30, "333us"), (2, "4ms")])
def test_as_many_channels_as_fit(graphs, tmp_path, channels, packet_time):
    # 80 channels are more than the simulated source has.
    channels = min(channels, 64)
    make_session(graphs.head + graphs.sending(channels=channels, packet_time=packet_time), folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "path", "said"),
    [
        ({"encoding": "AM824", "channels": 3}, "sinks.out.encoding", "AM824 sends pairs of channels, and there are 3"),
        ({"announce": True, "interface": None}, "sinks.out.announce", "name the interface with the option interface"),
        ({"ravenna": True, "interface": None}, "sinks.out.ravenna", "name the interface with the option interface"),
        ({"ravenna": True, "name": "Studio 1.2"}, "sinks.out.name", "without a dot"),
        ({"ravenna": True, "name": "ä" * 32}, "sinks.out.name", "up to 63 bytes"),
        ({"preset": "cobranet"}, "sinks.out.preset", "ravenna"),
    ],
)
def test_what_a_sink_cannot_say_or_send(graphs, tmp_path, options, path, said, monkeypatch):
    monkeypatch.setattr("phasegraph_aes67.session.mdns.installed", lambda: True)
    found = problems(graphs.head + graphs.sending(**options), tmp_path)
    assert list(found) == [path]
    assert said in found[path]


def test_a_sink_that_needs_mdns_says_how_to_get_it(graphs, tmp_path, monkeypatch):
    monkeypatch.setattr("phasegraph_aes67.session.mdns.installed", lambda: False)
    found = problems(graphs.head + graphs.sending(ravenna=True), tmp_path)
    assert found == {"sinks.out.ravenna": found["sinks.out.ravenna"]}
    assert install_command("phasegraph-aes67[mdns]") in found["sinks.out.ravenna"]


async def failing(graph, network=None, node="it"):
    run = await run_graph(graph, network=network, for_s=0.5)
    assert run.report["ended"] == "failed"
    return run.report["nodes"][node]["failure"]


async def test_one_unicast_stream_twice(graphs, autojump_clock):
    once = graphs.receiving(end_after=None, group="10.0.0.1")
    twice = once + once.replace(".it]", ".other]").replace("sinks.recorder", "sinks.another").replace(
        'input = "it"', 'input = "other"'
    )
    failure = await failing(graphs.head + twice, node="other")
    assert failure == (
        "10.0.0.1:5004 is received by another source of this graph already (let the sinks share that source)"
    )


@pytest.mark.slow
async def test_one_multicast_stream_twice_is_received_twice(graphs, autojump_clock):
    once = graphs.receiving()
    twice = once + once.replace(".it]", ".other]").replace("sinks.recorder", "sinks.another").replace(
        'input = "it"', 'input = "other"'
    )
    run = await run_graph(graphs.head + graphs.sending() + twice)
    received = [run.report["nodes"][node]["metrics"]["packets_received"] for node in ("it", "other")]
    assert received == [1000, 1000]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENODEV, "cannot join 239.69.1.1: No such device"),
        (errno.EPERM, "cannot join 239.69.1.1: Operation not permitted"),
        (errno.ENOBUFS, "the system does not let a socket join any group (raise the sysctl"),
    ],
)
async def test_groups_that_cannot_be_joined(graphs, autojump_clock, monkeypatch, code, said):
    from phasegraph.simulation import sim_sockets

    def join(self, group, interface, source=None):
        raise OSError(code, {errno.ENODEV: "No such device", errno.EPERM: "Operation not permitted"}.get(code, "full"))

    monkeypatch.setattr(sim_sockets.SimReceiver, "join", join)
    assert (await failing(graphs.head + graphs.receiving())).startswith(said)


@pytest.mark.parametrize(
    ("group", "code", "said"),
    [
        ("10.0.0.7", errno.EADDRNOTAVAIL, "10.0.0.7 is not an address of this machine (a unicast stream"),
        ("10.0.0.7", errno.EADDRINUSE, "cannot listen on 10.0.0.7 5004: in use"),
        ("239.69.1.1", errno.EADDRINUSE, "cannot listen on port 5004: in use"),
    ],
)
async def test_ports_that_cannot_be_had(graphs, autojump_clock, monkeypatch, group, code, said):
    monkeypatch.setattr("phasegraph_aes67.receive.receive_sockets.port_holders", lambda *port: [])  # of this machine
    network = SimNetwork()

    def receiver(*arguments, **options):
        raise OSError(code, "in use")

    network.receiver = receiver
    assert (await failing(graphs.head + graphs.receiving(group=group), network)).startswith(said)


async def test_interfaces_that_are_not_there(graphs, autojump_clock):
    network = SimNetwork()

    def interface(name):
        raise OSError(f"no network interface {name!r}; there are: lo (127.0.0.1)")

    network.interface = interface
    for graph, node in ((graphs.receiving(), "it"), (graphs.sending(), "out")):
        failure = await failing(graphs.head + graph, network, node)
        assert failure == "no network interface 'eth0'; there are: lo (127.0.0.1)"


async def test_a_full_socket_gets_a_second_one(graphs, gaps_in, autojump_clock, monkeypatch):
    # Linux lets a socket join 20 groups.
    from phasegraph.simulation import sim_sockets

    real, joined = sim_sockets.SimReceiver.join, {}

    def join(self, group, interface, source=None):
        joined[self] = joined.get(self, 0) + 1
        if joined[self] > 1:
            raise OSError(errno.ENOBUFS, "full")
        real(self, group, interface, source)

    monkeypatch.setattr(sim_sockets.SimReceiver, "join", join)
    other = graphs.receiving(group="239.69.1.2").replace(".it]", ".other]").replace("recorder", "another", 1)
    other = other.replace('input = "it"', 'input = "other"')
    send = graphs.sending(duration="100ms")
    send += graphs.table("sinks.second", kind="aes67", input="program", interface="eth0", group="239.69.1.2")
    run = await run_graph(graphs.head + send + graphs.receiving() + other, for_s=2)
    for id in ("it", "other"):
        assert run.metrics(id)["packets_received"] == 100
    assert gaps_in(run.nodes["another"].recording()) == []
