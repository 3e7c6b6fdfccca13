"""The flight recorder of a run that receives: concealed frames and a jump of the clock are captured, with limits."""

from __future__ import annotations

import pytest
import trio

from phasegraph import GraphError
from phasegraph.testing import Impairment, SimNetwork, run_graph, running_graph


def recorder(graphs, **options):
    return graphs.table("recorder", last="2s", folder="caps", every="1s", **options)


def captures(folder):
    return sorted((folder / "caps").glob("*.pcapng")) if (folder / "caps").exists() else []


@pytest.mark.slow
async def test_a_gap_is_captured_with_what_led_to_it(graphs, tmp_path, autojump_clock):
    text = graphs.head + recorder(graphs) + graphs.sending(duration="6s") + graphs.receiving(conceal=True)
    network = SimNetwork()
    async with running_graph(text, folder=tmp_path, network=network) as run:
        await trio.sleep(2.5)
        assert captures(tmp_path) == []
        network.wire.impair(Impairment(loss=1.0))
        await trio.sleep(0.02)
        network.wire.impair(Impairment())
        await trio.sleep(2.5)
        (file,) = captures(tmp_path)
    (event,) = run.events("captured")
    assert event["cause"] == "frames of it were concealed"
    assert event["file"] == str(file)
    assert 1500 < event["packets"] <= 3000
    assert "frames-of-it-were-concealed" in file.name
    content = file.read_bytes()
    assert b"clock house: locked, timescale ptp, reference = stamp + " in content
    assert len(content) > 1500 * (12 + 288)


@pytest.mark.slow
async def test_captures_are_limited_in_rate_and_number(graphs, tmp_path, autojump_clock):
    text = graphs.head + recorder(graphs, most=2) + graphs.sending(duration="6s") + graphs.receiving(conceal=True)
    network = SimNetwork(impairment=Impairment(loss=0.01), seed=3)
    run = await run_graph(text, folder=tmp_path, network=network, for_s=5)
    first, second = (event["at_ns"] for event in run.events("captured"))
    assert 1e9 <= second - first <= 3e9
    assert len(captures(tmp_path)) == 2


@pytest.mark.slow
async def test_a_clock_that_jumps_is_captured(graphs, tmp_path, autojump_clock):
    head = graphs.head.rstrip() + '\nstep-after = "2s"\nstep = "2s"\n'
    text = head + recorder(graphs) + graphs.sending(duration="5s") + graphs.receiving()
    run = await run_graph(text, folder=tmp_path, for_s=4.5)
    assert run.events("captured")[0]["cause"] == "clock house jumped"


async def test_without_a_recorder_the_network_is_the_runs_own(graphs, tmp_path, autojump_clock):
    network = SimNetwork()
    async with running_graph(graphs.head + graphs.receiving(), network=network, folder=tmp_path) as run:
        assert run.session.services.network is network
        assert run.session.recorder is None


@pytest.mark.parametrize(
    ("option", "word"),
    [('last = "1ms"', "recorder.last"), ("memory-mib = 1", "recorder.memory-mib"), ("size = 5", "recorder.size")],
)
async def test_a_wrong_table_is_a_problem_of_the_graph(graphs, option, word):
    with pytest.raises(GraphError, match=word):
        await run_graph(graphs.head + f"[recorder]\n{option}\n" + graphs.receiving())
