"""Never silent without a reason: each way of not being heard, and what is said of it."""

from __future__ import annotations

import re

import pytest
import trio

from phasegraph.testing import Impairment, SimNetwork, running_graph


@pytest.mark.parametrize(
    ("send", "receive", "event", "said"),
    [
        pytest.param(
            {"group": "239.9.9.9"}, {}, "stream_silent", "nothing comes to 239.69.1.1:5004 by eth0", id="group"
        ),
        pytest.param({"port": 6000}, {}, "stream_silent", "does a firewall let UDP port 5004 in", id="port"),
        pytest.param(
            {"interface": "eth7"}, {}, "stream_silent", "by eth0: is it sent, does the switch", id="interface"
        ),
        pytest.param({}, {"interface": None, "group": "10.0.1.1"}, "stream_silent", "10.0.1.1:5004", id="unicast"),
        pytest.param({}, {"source": "10.9.9.9"}, "stream_silent", "from 10.9.9.9 alone", id="source"),
        pytest.param(
            {"payload_type": 97},
            {"payload_type": 98},
            "stream_silent",
            "packets arrive and are rejected: payload type 97, and 98 is expected",
            id="payload type",
        ),
        pytest.param(
            {"channels": 1},
            {"channels": 5},
            "stream_silent",
            "packets arrive and are rejected: 144 bytes are no whole number of frames of 15 bytes",
            id="channels that do not divide",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"channels": 4},
            {},
            "format_differs",
            "L16 with 6 channels or L24 with 4 channels",
            id="channels",
            marks=pytest.mark.slow,
        ),
        pytest.param({"encoding": "L16"}, {"channels": 1}, "format_differs", "L16 with 2 channels", id="encoding"),
        pytest.param(
            {},
            {"mediaclk_offset": 123_456_789},
            "timestamps_outside_window",
            "the timestamps fit the mediaclk offset 0",
            id="clock",
        ),
    ],
)
async def test_what_is_said(graphs, autojump_clock, send, receive, event, said):
    if not {"channels", "encoding"} & send.keys():
        send = {"packet_time": "4ms", **send}  # fewer packets
    graph = graphs.head + graphs.sending(duration="8s", **send)
    graph += graphs.receiving(**{"end_after": None, **receive})
    network = SimNetwork(separate=("eth0", "eth7"))
    async with running_graph(graph, network=network) as run:
        await trio.sleep(2.5)
        trouble = run.nodes["it"].metrics()["trouble"]
    (told,) = run.events(event)
    assert said in told["reason"]
    assert said in trouble
    assert len(run.nodes["recorder"].recording()) < 48 * 50, "silence, not noise"


@pytest.mark.parametrize(
    ("receive", "asked"),
    [
        (
            {},
            "is its network there, or does the switch forward the group no more (IGMP querier)?",
        ),
        ({"interface": None, "group": "10.0.1.1"}, "has the sender stopped, is its network there?"),
    ],
    ids=["multicast", "unicast"],
)
async def test_a_stream_that_was_there_is_not_looked_for_as_one_that_never_came(graphs, autojump_clock, receive, asked):
    send = {"group": receive["group"]} if "group" in receive else {}
    graph = (
        graphs.head
        + graphs.sending(duration="2s", packet_time="4ms", **send)
        + graphs.receiving(**{"end_after": None, **receive})
    )
    async with running_graph(graph, network=SimNetwork()) as run:
        await trio.sleep(6)
        trouble = run.nodes["it"].metrics()["trouble"]
    assert re.search(r" for [234](\.\d+)? s: ", trouble), trouble
    assert trouble.endswith(asked)
    (told,) = run.events("stream_silent")
    assert told["reason"].endswith(asked)


@pytest.mark.slow
async def test_a_link_offset_that_is_too_short_for_the_packets(graphs, gaps_in, autojump_clock):
    # Of every packet the beginning comes too late, and the rest is played.
    graph = graphs.head + graphs.sending(duration="4s", packet_time="4ms") + graphs.receiving(link_offset="3ms")
    async with running_graph(graph) as run:
        await trio.sleep(3)
        trouble = run.nodes["it"].metrics()["trouble"]
        await trio.sleep(3)
    (told,) = run.events("packets_come_late")
    assert told["late"] == told["received"] > 0
    assert told["reason"] == trouble
    assert "the link offset of 3 ms is too short" in trouble
    assert "4.02 ms" in trouble
    assert "trouble" not in run.nodes["it"].metrics()


@pytest.mark.slow
async def test_a_burst_that_comes_late_is_told_once(graphs, autojump_clock):
    network = SimNetwork()
    graph = graphs.head + graphs.sending(duration="6s") + graphs.receiving()
    async with running_graph(graph, network=network) as run:
        for _ in range(2):
            await trio.sleep(1)
            network.wire.impair(Impairment(delay_ns=20_000_000))
            await trio.sleep(0.05)
            network.wire.impair(Impairment())
        await trio.sleep(5)
    (told,) = run.events("packets_come_late")
    assert 0 < told["late"] < told["received"]


@pytest.mark.slow
async def test_an_interface_that_is_down(graphs, autojump_clock):
    network = SimNetwork()
    graph = graphs.head + graphs.sending(duration="9s") + graphs.receiving(end_after=None)
    async with running_graph(graph, network=network) as run:
        await trio.sleep(2)
        assert "trouble" not in run.nodes["it"].metrics()
        network.unplug("eth0")
        await trio.sleep(3)
        assert run.nodes["it"].metrics()["trouble"].endswith("by eth0; there is no interface eth0 any more")
        network.plug("eth0")
        await trio.sleep(3)
        assert "trouble" not in run.nodes["it"].metrics()
