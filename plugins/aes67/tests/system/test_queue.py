"""Whole graphs on a host that holds packets until their time."""

import numpy as np
import pytest
import trio

from phasegraph.testing import SimNetwork, run_graph, running_graph

MS = 1_000_000


@pytest.mark.parametrize("packet_time", ["125us", "1ms", "4ms"])
async def test_what_arrives_and_when_is_the_same(graphs, gaps_in, troubles, autojump_clock, packet_time):
    figures = []
    for pacing in ("thread", "auto"):
        graph = graphs.head + graphs.sending(duration="300ms", packet_time=packet_time, lead="4ms", pacing=pacing)
        run = await run_graph(graph + graphs.receiving(link_offset="6ms"), network=SimNetwork(holds=True))
        recorded = run.nodes["recorder"].recording()
        assert len(recorded) == 14_400
        assert gaps_in(recorded) == []
        assert troubles(run.metrics("it")) == {}
        assert run.metrics("out")["pacing"] == ("thread" if pacing == "thread" else "queue")
        assert "pacing_reason" not in run.metrics("out")
        names = ("lateness_p50_ns", "lateness_p99_ns", "lateness_max_ns", "packets_received")
        figures.append([run.metrics("it")[name] for name in names])
    assert figures[0] == figures[1]


@pytest.mark.slow
async def test_a_live_input_has_the_latency_that_it_has_without(graphs, sent, troubles, autojump_clock):
    table, both = graphs.table, {"kind": "aes67", "interface": "eth0"}
    graph = (
        graphs.head
        + table("sources.program", kind="sim-sequence", duration="200ms")
        + table("sinks.first", input="program", group="239.69.1.1", **both)
        + table("sources.it", group="239.69.1.1", link_offset="2ms", end_after="100ms", conceal=False, **both)
        + table("sinks.second", input="it", group="239.69.1.2", lead="3ms", pacing="queue", **both)
        + table("sinks.third", input="it", group="239.69.1.3", **both)
        + table("sources.again", group="239.69.1.2", link_offset="9ms", end_after="200ms", conceal=False, **both)
        + table("sinks.recorder", kind="sim-recorder", input="again")
    )
    run = await run_graph(graph, network=SimNetwork(holds=True), for_s=3)
    assert run.metrics("second")["pacing"] == "queue"
    assert run.metrics("third")["pacing"] == "thread"
    assert "set lead to at least 1500us" in run.metrics("third")["pacing_reason"]
    recorded = run.nodes["recorder"].recording()
    sounding = np.flatnonzero(recorded.any(axis=1))
    assert recorded[sounding].tobytes() == sent(9_600).tobytes()
    assert run.nodes["again"].stream.first + sounding[0] == run.nodes["it"].stream.first + 48 * 2
    for id in ("it", "again"):
        assert troubles(run.metrics(id)) == {}


@pytest.mark.slow
async def test_the_queue_goes_while_it_runs(graphs, gaps_in, autojump_clock):
    network = SimNetwork(holds=True)
    graph = (
        graphs.head
        + graphs.sending(duration="13s", packet_time="10ms", channels=1)
        + graphs.receiving(link_offset="90ms", channels=1)
    )
    async with running_graph(graph, network=network) as run:
        metrics = run.nodes["out"].metrics
        await trio.sleep(1)
        assert metrics()["pacing"] == "queue"
        network.holds = False
        await trio.sleep(5)
        assert metrics()["pacing"] == "thread"
        assert "does not hold packets" in metrics()["pacing_reason"]
        network.holds = True
        await trio.sleep(5)
        assert metrics()["pacing"] == "queue"
    assert [event["pacing"] for event in run.events("pacing_changed")] == ["thread", "queue"]
    # What was with the queue when it went came in early; the rest in time.
    assert gaps_in(run.nodes["recorder"].recording()) == []


async def test_a_queue_that_is_asked_for_and_is_not_there(graphs, autojump_clock):
    run = await run_graph(graphs.head + graphs.sending(duration="1s", pacing="queue"), for_s=2)
    assert run.report["ended"] == "failed"
    (failed,) = [event for event in run.report["events"] if event["node"] == "out" and "hold" in str(event)]
    assert "this simulated host does not hold packets" in str(failed)
