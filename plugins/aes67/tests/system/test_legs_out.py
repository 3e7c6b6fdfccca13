"""A stream sent twice (ST 2022-7): the same packets on both ways, whatever becomes of one of them."""

from __future__ import annotations

import pytest
import trio

from phasegraph import GraphError
from phasegraph.testing import SimLocalClock, SimNetwork, SimWire, make_session, run_graph, running_graph
from phasegraph_aes67 import sdp
from phasegraph_aes67.rtp import parse_header
from phasegraph_aes67.session.sap_listener import SapListener


class Capture:
    """Another host that records every packet of two legs."""

    def __init__(self, wire, legs):
        self.host = SimNetwork(SimLocalClock(), wire)
        self.receivers = []
        for interface, group, port in legs:
            receiver = self.host.receiver(port)
            receiver.join(group, self.host.interface(interface))
            self.receivers.append(receiver)
        self.packets = [[] for _ in legs]

    def take(self):
        for packets, receiver in zip(self.packets, self.receivers, strict=True):
            while (batch := receiver.receive()).count:
                packets += [bytes(batch.data[row, : batch.length[row]]) for row in range(batch.count)]


LEG_B = '{interface = "eth1", group = "239.70.1.1", port = 5006}'


def graph_of(graphs, leg_b=LEG_B, **options):
    text = graphs.head + graphs.sending(**options)
    return text + f"leg-b = {leg_b}\n"


@pytest.mark.parametrize(
    ("leg_b", "options"),
    [
        pytest.param(LEG_B, {}, id="two interfaces"),
        pytest.param(LEG_B, {"packet_time": "125us", "channels": 8}, id="short packets"),
        pytest.param('{interface = "eth0", group = "239.70.1.1"}', {}, id="two groups on one interface"),
    ],
)
async def test_both_legs_are_identical(graphs, autojump_clock, leg_b, options):
    wire = SimWire(separate=("eth0", "eth1"))
    ours = SimNetwork(SimLocalClock(), wire)
    second = ("eth1", "239.70.1.1", 5006) if leg_b is LEG_B else ("eth0", "239.70.1.1", 5004)
    capture = Capture(wire, [("eth0", "239.69.1.1", 5004), second])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticking, capture)
        run = await run_graph(graph_of(graphs, leg_b, duration="300ms", **options), network=ours)
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    first, other = capture.packets
    assert len(first) == run.metrics("out")["packets_sent"] >= 300
    assert first == other
    headers = [parse_header(packet) for packet in first]
    assert len({header.ssrc for header in headers}) == 1
    assert [header.sequence for header in headers] == [(headers[0].sequence + n) % 2**16 for n in range(len(headers))]
    assert run.metrics("out")["leg_a_send_errors"] == run.metrics("out")["leg_b_send_errors"] == 0


async def ticking(capture):
    while True:
        capture.take()
        await trio.sleep(0.01)


async def test_one_leg_that_is_refused_does_not_hold_up_the_other(graphs, autojump_clock):
    network = SimNetwork()
    real, senders = network.sender, {}

    def sender(interface, *, ttl, dscp):
        senders[interface.name] = real(interface, ttl=ttl, dscp=dscp)
        if interface.name == "eth1":
            senders["eth1"].refuse = 50
        return senders[interface.name]

    network.sender = sender
    run = await run_graph(graph_of(graphs, duration="300ms") + graphs.receiving(), network=network)
    out = run.metrics("out")
    assert (out["packets_sent"], out["send_errors"]) == (300, 50)
    assert (out["leg_a_send_errors"], out["leg_b_send_errors"]) == (0, 50)
    assert len(run.nodes["recorder"].recording()) == 14_400


async def test_its_description(graphs, tmp_path, autojump_clock):
    run = await run_graph(graph_of(graphs, duration="10ms", sdp_out="a.sdp"), folder=tmp_path)
    session = sdp.parse((tmp_path / "a.sdp").read_text())
    assert session.problems == ()
    assert session.dup_of == (None, 0)
    assert [(leg.address, leg.port) for leg in session.streams] == [("239.69.1.1", 5004), ("239.70.1.1", 5006)]
    assert run.report["ended"] == "completed"


async def test_it_is_announced_on_both_networks(graphs, autojump_clock):
    wire = SimWire(separate=("eth0", "eth1"))
    ours, other = SimNetwork(SimLocalClock(), wire), SimNetwork(SimLocalClock(), wire)
    browsers = [SapListener(other, other.local, other.interface(name)) for name in ("eth0", "eth1")]
    async with running_graph(graph_of(graphs, duration="2s", announce=True), network=ours):
        await trio.sleep(1)
        for browser in browsers:
            browser.poll()
    (first,), (second,) = (list(browser.table) for browser in browsers)
    assert (first.origin, second.origin) == ("10.0.1.1", "10.0.2.1")
    assert first.sdp == second.sdp
    await trio.sleep(0.1)
    for browser in browsers:
        assert [change.kind for change in browser.poll()] == ["deleted"]


@pytest.mark.parametrize(
    ("leg_b", "message"),
    [
        ('{interface = "eth0", group = "239.69.1.1"}', "both legs have the same"),
        ('{interface = "eth1", group = "nowhere"}', "'nowhere' is not an IPv4 address"),
        ('{interface = "eth1"}', "group"),
    ],
)
def test_wrong_legs(graphs, leg_b, message):
    with pytest.raises(GraphError, match=message) as error:
        make_session(graph_of(graphs, leg_b))
    assert "sinks.out.leg-b" in str(error.value)
