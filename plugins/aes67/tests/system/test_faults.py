"""What a network does to packets: the rest stays where it belongs, gaps are silence, and every figure is exact."""

import numpy as np
import pytest
import trio

from phasegraph.testing import Every, Faults, Impairment, SimLocalClock, SimNetwork, SimWire, run_graph, running_graph

MS = 1_000_000
FRAMES = 48


def graph_of(graphs, duration="2200ms", **options):
    return graphs.head + graphs.sending(duration=duration) + graphs.receiving(**options)


@pytest.mark.slow
async def test_one_packet_in_a_thousand(graphs, gaps_in, troubles, autojump_clock):
    network = SimNetwork(
        faults=Faults(drop=Every(1000, 100), duplicate=Every(1000, 300), swap=Every(1000, 700)), seed=1
    )
    run = await run_graph(graph_of(graphs), network=network)
    truth = network.truth
    assert (truth.carried, truth.dropped, truth.duplicated, truth.swapped) == (2200, 3, 2, 2)
    recorded = run.nodes["recorder"].recording()
    assert len(recorded) == 2200 * FRAMES
    assert gaps_in(recorded) == [(number * FRAMES, FRAMES) for number in (100, 1100, 2100)]
    assert troubles(run.metrics("it")) == {"lost": 3, "duplicate": 2, "reordered": 2, "concealed": 3 * FRAMES}
    assert run.metrics("it")["packets_received"] == truth.delivered
    assert run.report["edges"]["it->recorder"]["metrics"]["missing_frames"] == 3 * FRAMES


@pytest.mark.parametrize(
    ("faults", "expected", "silent"),
    [
        pytest.param(Faults(drop=range(50, 60)), {"lost": 10, "concealed": 480}, [(2400, 480)], id="ten in a row"),
        pytest.param(Faults(drop={0}), {}, [], id="the first: nothing shows that it is missing"),
        pytest.param(Faults(swap={0}), {"reordered": 1}, [], id="the first came second"),
        pytest.param(
            Faults(drop={5, 7}, swap={6}),
            {"lost": 2, "reordered": 1, "concealed": 96},
            [(240, 48), (336, 48)],
            id="swapped between two that are lost",
        ),
        pytest.param(Faults(duplicate=range(100)), {"duplicate": 100}, [], id="everything twice"),
        pytest.param(Faults(swap=Every(2, 0)), {"reordered": 50}, [], id="every pair swapped"),
        pytest.param(
            Faults(drop=Every(2, 1)),
            {"lost": 49, "concealed": 49 * 48},
            [(48 * number, 48) for number in range(1, 98, 2)],
            id="every other one lost",
        ),
    ],
)
async def test_scripts(graphs, gaps_in, troubles, autojump_clock, faults, expected, silent):
    network = SimNetwork(faults=faults)
    run = await run_graph(graph_of(graphs, "100ms"), network=network)
    frames = run.nodes["recorder"].recording()
    if faults.drop == {0}:
        assert frames.shape[0] == 99 * FRAMES
        return
    assert gaps_in(frames) == silent
    assert troubles(run.metrics("it")) == expected
    lost_at_the_end = network.truth.dropped - expected.get("lost", 0)
    assert len(frames) == (100 - lost_at_the_end) * FRAMES


@pytest.mark.parametrize(("seed", "burst"), [(1, 1.0), pytest.param(2, 1.0, marks=pytest.mark.slow), (3, 3.0)])
async def test_chance(graphs, gaps_in, troubles, autojump_clock, seed, burst):
    network = SimNetwork(seed=seed)
    calm = Impairment()
    async with running_graph(graph_of(graphs, "800ms"), network=network) as run:
        await trio.sleep(0.2)
        network.wire.impair(Impairment(loss=0.02, loss_burst=burst, duplicate=0.02, swap=0.02, jitter_ns=300_000))
        await trio.sleep(0.5)
        network.wire.impair(calm)
        await trio.sleep(0.5)
    truth = network.truth
    assert truth.dropped
    assert truth.duplicated
    assert truth.swapped
    assert troubles(run.metrics("it")) == {
        "lost": truth.dropped,
        "duplicate": truth.duplicated,
        "reordered": truth.swapped,
        "concealed": truth.dropped * FRAMES,
    }
    gaps = gaps_in(run.nodes["recorder"].recording())
    assert sum(length for _, length in gaps) == truth.dropped * FRAMES
    assert all(begin % FRAMES == length % FRAMES == 0 for begin, length in gaps)


@pytest.mark.parametrize(
    "delay_ns", [2_300_000, 4_700_000, *(pytest.param(it, marks=pytest.mark.slow) for it in (4_300_000, 30_300_000))]
)
async def test_what_comes_after_the_link_offset_is_late(graphs, gaps_in, troubles, autojump_clock, delay_ns):
    # For a while every packet takes longer. Packets keep their order, so those that follow wait for them too.
    network = SimNetwork()
    async with running_graph(graph_of(graphs, "250ms"), network=network) as run:
        await trio.sleep(0.15)
        before = network.truth.carried
        network.wire.impair(Impairment(delay_ns=delay_ns))
        await trio.sleep(0.02)
        after = network.truth.carried
        network.wire.impair(Impairment())
        await trio.sleep(0.35)
    arrival, late, silent = 0, 0, []
    for number in range(250):
        media_ns = number * MS
        arrival = max(arrival, media_ns + MS + (delay_ns if before <= number < after else 20_000))
        too_late_ns = arrival - media_ns - 5 * MS
        if too_late_ns > 0:
            late += 1
            silent += range(number * FRAMES, number * FRAMES + min(FRAMES, too_late_ns * FRAMES // MS + 1))
    gaps = gaps_in(run.nodes["recorder"].recording())
    assert [frame for begin, length in gaps for frame in range(begin, begin + length)] == silent
    assert troubles(run.metrics("it")) == ({"late": late, "concealed": len(silent)} if late else {})


async def test_bursts_within_the_link_offset_are_harmless(graphs, gaps_in, troubles, autojump_clock):
    # As over Wi-Fi: nothing for 10 ms, then ten at once.
    network = SimNetwork(impairment=Impairment(burst_ns=10 * MS))
    run = await run_graph(graph_of(graphs, "200ms", link_offset="15ms"), network=network)
    assert gaps_in(run.nodes["recorder"].recording()) == []
    assert troubles(run.metrics("it")) == {}
    assert run.metrics("it")["lateness_max_ns"] > 9 * MS


async def test_what_the_network_refuses_is_a_gap(graphs, gaps_in, troubles, autojump_clock):
    network = SimNetwork()
    async with running_graph(graph_of(graphs, "300ms"), network=network) as run:
        await trio.sleep(0.1)
        ((egress,),) = run.nodes["out"]._sockets._egresses.values()
        egress._newest.refuse = 7
        await trio.sleep(0.5)
    out = run.metrics("out")
    assert (out["packets_sent"], out["send_errors"]) == (293, 7)
    assert troubles(run.metrics("it")) == {"lost": 7, "concealed": 7 * FRAMES}
    assert [length for _, length in gaps_in(run.nodes["recorder"].recording())] == [7 * FRAMES]


@pytest.mark.parametrize("burst", [1.0, 6.0])
@pytest.mark.slow
async def test_one_percent_at_random_is_concealed(graphs, sent, troubles, autojump_clock, burst):
    network = SimNetwork(seed=5)
    async with running_graph(graph_of(graphs, "5s", conceal=True), network=network) as run:
        await trio.sleep(0.2)
        network.wire.impair(Impairment(loss=0.01, loss_burst=burst, jitter_ns=300_000))
        await trio.sleep(4.5)
        network.wire.impair(Impairment())
        await trio.sleep(0.8)
    lost = network.truth.dropped
    assert lost > 20
    assert troubles(run.metrics("it")) == {"lost": lost, "concealed": lost * FRAMES}
    recorded = run.nodes["recorder"].recording()
    expected = sent(len(recorded))
    assert len(recorded) == 5000 * FRAMES
    wrong = (recorded != expected).any(axis=1)
    assert 0 < np.count_nonzero(wrong) <= lost * FRAMES, "what arrived is bit-exact"
    if burst == 1.0:  # short gaps of a slow ramp are not to be told from it
        assert np.abs(recorded - expected).max() < 0.05
    assert (recorded[wrong] != 0).any(axis=1).mean() > 0.9


@pytest.mark.slow
async def test_the_recent_lateness_forgets_what_the_network_was_like(graphs, autojump_clock):
    wire = SimWire(impairment=Impairment(delay_ns=5 * MS))
    network = SimNetwork(SimLocalClock(), wire)
    sending = graphs.sending(duration="60s", packet_time="4ms")
    receiving = graphs.receiving(packet_time="4ms", link_offset="20ms")
    async with running_graph(graphs.head + sending + receiving, network=network) as run:
        await trio.sleep(3)
        wire.impair(Impairment(delay_ns=20_000))
        await trio.sleep(12)
        figures = run.nodes["it"].metrics()
    assert figures["lateness_p99_ns"] == pytest.approx(9 * MS, rel=0.05)
    assert figures["lateness_recent_p99_ns"] == pytest.approx(4 * MS, rel=0.1)
