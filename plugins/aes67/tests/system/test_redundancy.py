"""Two networks, one stream (ST 2022-7): either may fail, and it is said."""

from __future__ import annotations

import numpy as np
import pytest
import trio

from phasegraph import GraphError
from phasegraph.testing import Faults, Impairment, SimNetwork, counted, run_graph, running_graph

FRAMES = 48
A, B = "239.69.1.1", "239.70.1.1"
NETWORKS = ("eth0", "eth1")


def leg_b(**leg: object) -> str:
    fields = (f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in leg.items())
    return f"leg-b = {{{', '.join(fields)}}}\n"


SECOND = leg_b(interface="eth1", group=B, port=6000)


def graph_of(graphs, duration="1s", second=SECOND, **options):
    """The program leaves twice, and comes back on both ways."""
    source, sink = graphs.receiving(**options).split("[sinks", 1)
    sending = graphs.sending(duration=duration) + SECOND
    return graphs.head + sending + source + second + "[sinks" + sink


def names(run):
    return [event["name"] for event in run.report["events"] if event["node"] == "it"]


@pytest.mark.slow
async def test_each_leg_covers_for_the_other(graphs, gaps_in, troubles, autojump_clock):
    network = SimNetwork(seed=3, separate=NETWORKS)
    async with running_graph(graph_of(graphs, conceal=True), network=network) as run:
        await trio.sleep(0.1)
        network.wire.impair(Impairment(loss=0.05, jitter_ns=400_000))
        await trio.sleep(0.8)
        network.wire.impair(Impairment())
        await trio.sleep(0.5)
    it = run.metrics("it")
    legs = [network.wire.link(network, network, name).truth for name in NETWORKS]
    assert [leg.carried for leg in legs] == [1000, 1000]
    assert (it["leg_a_packets_lost"], it["leg_b_packets_lost"]) == tuple(leg.dropped for leg in legs)
    assert legs[0].dropped > 20 < legs[1].dropped
    counters = run.nodes["it"].counters()
    assert counters == {name: it[name] for name in counters}
    assert {name for name in it if "packets_" in name or "frames_" in name} <= set(counters)
    recorded = run.nodes["recorder"].recording()
    both = it["packets_lost"]
    assert both <= 8, "what is lost twice: a quarter of a percent"
    assert troubles(it) == ({"lost": both, "concealed": both * FRAMES} if both else {})
    assert it["packets_received"] == 1000 - both
    assert len(recorded) == 1000 * FRAMES
    assert "unprotected" not in names(run)


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.slow
async def test_a_network_that_fails_is_an_alarm_and_no_gap(graphs, gaps_in, troubles, autojump_clock, failing):
    network = SimNetwork(separate=NETWORKS)
    link = network.wire.link(network, network, NETWORKS[failing])
    async with running_graph(graph_of(graphs, "5s", end_after="2s"), network=network) as run:
        await trio.sleep(1)
        link.impairment = Impairment(loss=1.0)
        await trio.sleep(2)
        state = run.nodes["it"].metrics()["protection"]
        link.impairment = Impairment()
        await trio.sleep(4.5)
    assert state == f"leg {'ba'[failing]} alone"
    assert names(run)[:4] == ["unprotected", "stream_silent", "stream_heard", "protected"]
    (alarm,) = run.events("unprotected")
    assert alarm["silent_leg"] == "ab"[failing]
    assert alarm["reason"] == "no packet comes"
    assert 500_000_000 <= alarm["silent_ns"] <= 800_000_000
    assert troubles(run.metrics("it")) == {}
    recorded = run.nodes["recorder"].recording()
    assert len(recorded) == 5000 * FRAMES
    assert gaps_in(recorded) == []


@pytest.mark.slow
async def test_a_leg_that_was_never_there(graphs, gaps_in, autojump_clock):
    network = SimNetwork(separate=NETWORKS)
    second = leg_b(interface="eth1", group="239.70.9.9", port=6000)
    run = await run_graph(graph_of(graphs, "2s", second), network=network, for_s=1.9)
    assert names(run) == ["unprotected", "stream_silent"]
    assert run.metrics("it")["protection"] == "leg a alone"
    assert gaps_in(run.nodes["recorder"].recording()) == []


@pytest.mark.slow
async def test_the_slower_leg_may_lag_by_the_link_offset(graphs, gaps_in, troubles, autojump_clock):
    network = SimNetwork(separate=NETWORKS, faults=Faults())
    network.wire.link(network, network, "eth1").impairment = Impairment(delay_ns=9_000_000)
    network.wire.link(network, network, "eth0").faults = Faults(drop=range(100, 110))
    run = await run_graph(graph_of(graphs, link_offset="12ms"), network=network)
    assert troubles(run.metrics("it")) == {}
    assert run.metrics("it")["leg_a_packets_lost"] == 10
    assert gaps_in(run.nodes["recorder"].recording()) == []


@pytest.mark.parametrize("media_clock", ["absolute", "relative"])
@pytest.mark.slow
async def test_a_leg_that_is_slower_than_the_link_offset_protects_nothing(
    graphs, gaps_in, troubles, autojump_clock, media_clock
):
    # It comes in its own batches, many packets at once: not one that begins a new count of time.
    network = SimNetwork(separate=NETWORKS)
    network.wire.link(network, network, "eth1").impairment = Impairment(delay_ns=30_000_000)
    graph = graph_of(graphs, "2s", link_offset="12ms", media_clock=media_clock)
    run = await run_graph(graph, network=network, for_s=1.9)
    it = run.metrics("it")
    assert troubles(it) == {}
    assert it["leg_b_packets_late"] == it["leg_b_packets_received"] > 1800
    assert gaps_in(run.nodes["recorder"].recording()) == []
    assert names(run) == ["timestamps_outside_window", "unprotected"]
    (told,) = run.events("timestamps_outside_window")
    assert told["leg"] == "b"
    (alarm,) = run.events("unprotected")
    assert alarm["silent_leg"] == "b"
    assert "too late for the link offset" in alarm["reason"]
    assert it["protection"] == "leg a alone"


@pytest.mark.slow
async def test_the_same_group_on_both_networks(graphs, gaps_in, troubles, autojump_clock):
    network = SimNetwork(separate=NETWORKS)
    graph = graph_of(graphs, second=leg_b(interface="eth1")).replace(SECOND, leg_b(interface="eth1", group=A), 1)
    run = await run_graph(graph, network=network)
    it = run.metrics("it")
    assert it["leg_a_packets_received"] == it["leg_b_packets_received"] == it["packets_received"] == 1000
    assert troubles(it) == {}
    assert gaps_in(run.nodes["recorder"].recording()) == []


@pytest.mark.parametrize(("step", "lost_ms"), [(-100, 2), (250, 300)])
@pytest.mark.slow
async def test_another_grandmaster_brings_no_old_audio_back(graphs, autojump_clock, step, lost_ms):
    # Media time is set back (or on) by less than the ring holds; both ends follow.
    network = SimNetwork(separate=NETWORKS)
    async with running_graph(graph_of(graphs, "2s", link_offset="20ms"), network=network) as run:
        await trio.sleep(1)
        run.nodes["house"].step(step * 1_000_000)
        await trio.sleep(1.5)
    recorded = run.nodes["recorder"].recording()
    sounding = recorded[recorded.any(axis=1)]
    index = counted(sounding)
    assert (np.diff(index) >= 1).all(), "nothing twice, nothing backwards"
    assert len(sounding) >= 96_000 - lost_ms * 48, "what its sender had to catch up"
    assert index[-1] == 95_999


@pytest.mark.slow
async def test_a_description_has_both_legs(graphs, gaps_in, autojump_clock, tmp_path):
    network = SimNetwork(separate=NETWORKS)
    sending = graphs.sending(sdp_out="twice.sdp") + SECOND
    source, sink = graphs.receiving(sdp="twice.sdp").split("[sinks", 1)
    graph = graphs.head + sending + source + leg_b(interface="eth1") + "[sinks" + sink
    run = await run_graph(graph, network=network, folder=tmp_path)
    it = run.metrics("it")
    assert it["leg_a_packets_received"] == it["leg_b_packets_received"] == it["packets_received"] == 1000
    assert gaps_in(run.nodes["recorder"].recording()) == []


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("leg-b = {port = 5004}\n", "both legs are the same"),
        ('leg-b = {group = "nowhere"}\n', "'nowhere' is not an IPv4 address"),
    ],
)
async def test_wrong_legs(graphs, second, message):
    with pytest.raises(GraphError, match=message):
        await run_graph(graph_of(graphs, second=second))
