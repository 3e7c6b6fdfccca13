"""Several cards play one stream together: each frame sounds at media time plus link offset, whatever the card."""

import numpy as np
import pytest

from phasegraph.testing import SimLocalClock

GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
rate-offset = "12ppm"
[sources.stage]
kind = "sim-source"
clock = "house"
signal = "sine"
frequency = "100Hz"
link-offset = "120ms"
[compensators.align]
kind = "sim-align"
time = "50ms"
[sinks.left]
kind = "soundcard"
device = "USB"
input = "stage"
compensator = "align"
[sinks.right]
kind = "soundcard"
device = "HDMI"
input = "stage"
compensator = "align"
buffer = "20ms"
"""


@pytest.mark.parametrize("blocks", [(256, 256), (192, 960)])
@pytest.mark.slow
async def test_two_cards_of_other_rate_and_latency_sound_together(blocks, make_card, play, autojump_clock):
    left, right = make_card(ppm=80.0), make_card(name="HDMI 0", ppm=-60.0)
    (left.block, right.block), (left.latency_s, right.latency_s) = blocks, (0.0041, 0.0525)
    for card in (left, right):
        card.noise_s = 3e-6
        card.lateness = lambda random: abs(random.normal(0, 1e-4))
    run = await play(GRAPH, left, right, for_s=4, local=SimLocalClock(ppm=-25.0))
    placed = [card.misplaced(run.nodes["house"], link_offset_s=0.12) for card in (left, right)]
    for _, early in placed:
        assert abs(early[0]) * 48_000 < 0.5  # the first frame: within what stamps of 3 us tell
        assert np.abs(early[20:]).max() * 48_000 < 0.5
    # At the same moments: what comes out of both is less than a frame apart, and less than 15 us.
    moments = np.linspace(1.2, 3.8, 1000)
    apart = np.diff([np.interp(moments, times, early) for times, early in placed], axis=0)
    assert np.abs(apart).max() < 15e-6
    latencies = [run.metrics(sink)["latency_ns"] for sink in ("left", "right")]
    assert latencies[1] - latencies[0] > 50_000_000


async def test_resampled_or_not_the_link_offset_is_the_latency(make_card, play, autojump_clock):
    card = make_card()
    graph = GRAPH.split("[sinks.right]")[0].replace("12ppm", "0ppm")
    run = await play(graph, card, for_s=1)
    early = card.misplaced(run.nodes["house"], link_offset_s=0.12)[1]
    assert np.abs(early).max() < 50e-9
