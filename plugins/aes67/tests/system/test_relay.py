"""From one AES67 stream to another: bit for bit on one clock, steered between two."""

import numpy as np
import pytest

from phasegraph.testing import counted, run_graph


def relay(graphs, *, offset, clocks="", clock=None, duration="200ms", packet_time="1ms", **edge):
    """A program goes to ``first``, from there through ``it`` to ``second``, and is recorded at last."""
    table = graphs.table
    both = {"kind": "aes67", "interface": "eth0", "packet_time": packet_time}
    heard = {**both, "conceal": False}
    ours, other = ({"clock": "house"}, {"clock": clock}) if clock else ({}, {})
    return (
        graphs.head
        + clocks
        + table("sources.program", kind="sim-sequence", duration=duration)
        + table("sinks.first", input="program", group="239.69.1.1", **both, **ours)
        + table("sources.it", group="239.69.1.1", link_offset=offset, end_after="100ms", **heard, **ours)
        + table("sinks.second", input="it", group="239.69.1.2", **both, **other, **edge)
        + table("sources.again", group="239.69.1.2", link_offset="9ms", end_after="200ms", **heard, **other)
        + table("sinks.recorder", kind="sim-recorder", input="again")
    )


@pytest.mark.parametrize("offset_ms", [2, 5, 20])
async def test_on_one_clock_it_is_exact_and_late_by_the_link_offset(graphs, sent, troubles, autojump_clock, offset_ms):
    run = await run_graph(relay(graphs, offset=f"{offset_ms}ms"), for_s=3)
    assert run.report["ended"] == "completed"
    assert run.report["edges"]["it->second"]["crossing"] is False
    it, again = run.nodes["it"].stream, run.nodes["again"].stream
    recorded = run.nodes["recorder"].recording()
    sounding = np.flatnonzero(recorded.any(axis=1))
    assert len(sounding) == 9_600, "silence before and after, which keeps flowing"
    assert recorded[sounding].tobytes() == sent(9_600).tobytes()
    # Media frame n comes in again as frame n + link offset.
    assert again.first + sounding[0] == it.first + 48 * offset_ms
    for id in ("it", "again"):
        assert troubles(run.metrics(id)) == {}


async def test_a_link_offset_that_is_too_short_is_told_by_the_figures(graphs, autojump_clock):
    # What leaves needs 1 ms of lead and the data plane's quantum: 500 us cannot be.
    run = await run_graph(relay(graphs, offset="500us"), for_s=3)
    assert run.metrics("it")["packets_late"] == 200
    assert run.metrics("it")["lateness_p50_ns"] > 500_000


STEERED = '[clocks.other]\nkind = "sim-clock"\nrate-offset = "{ppm}ppm"\n[compensators.align]\n{compensator}\n'


@pytest.mark.parametrize("ppm", [100, -100])
@pytest.mark.slow
async def test_between_two_clocks_it_is_steered(graphs, troubles, autojump_clock, ppm):
    clocks = STEERED.format(ppm=ppm, compensator='kind = "sim-align"')
    graph = relay(
        graphs, offset="20ms", clocks=clocks, clock="other", duration="1500ms", compensator="align", packet_time="4ms"
    )
    run = await run_graph(graph, for_s=1.4)
    edge = run.report["edges"]["it->second"]
    assert edge["crossing"] is True
    assert edge["metrics"]["ratio_ppb"] == pytest.approx(-1000 * ppm, rel=0.05)
    assert edge["metrics"]["resyncs"] == 0
    for id in ("it", "again"):
        assert troubles(run.metrics(id)) == {}
    recorded = run.nodes["recorder"].recording()
    index = counted(recorded[-9_600:])
    step = np.diff(index)
    assert set(step.tolist()) <= {0, 1, 2}, "the counter goes on without a jump"
    assert (index[-1] - index[0]) / (len(index) - 1) == pytest.approx(1 - ppm * 1e-6, abs=1.1e-4)


@pytest.mark.slow
async def test_between_two_clocks_without_compensation_it_slips(graphs, troubles, autojump_clock):
    pytest.importorskip("phasegraph_compensation", reason="the plugin with the compensator 'none' is not installed")
    none = 'kind = "none"\nallow-slips = true\nslip-after = 10\nresampler = "sim-linear"'
    clocks = STEERED.format(ppm=200, compensator=none)
    graph = relay(
        graphs, offset="20ms", clocks=clocks, clock="other", duration="3s", compensator="align", packet_time="4ms"
    )
    run = await run_graph(graph, for_s=2.5)
    slips = run.report["edges"]["it->second"]["metrics"]["resyncs"]
    # 200 ppm of 48 kHz are 9.6 frames a second.
    assert slips == int(2.5 * 9.6 / 10) == 2
    for id in ("it", "again"):
        assert troubles(run.metrics(id)) == {}
    recorded = run.nodes["recorder"].recording()
    begin = int(np.flatnonzero(recorded.any(axis=1))[0])
    index = counted(recorded[begin + 2000 :])
    behind = np.arange(len(index)) - (index - index[0])
    assert behind[-1] == pytest.approx(10 * slips, abs=2)
    # A slip fades from one place to the other within 10 ms; the counter, too, is between them meanwhile.
    fading = np.abs(behind[:, None] - 10 * np.arange(slips + 1)).min(axis=1) > 1
    assert 0 < fading.sum() <= slips * 480, "between the slips it goes on"
    assert (np.diff(behind) >= -1).all()
