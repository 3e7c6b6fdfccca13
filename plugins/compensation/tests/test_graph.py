"""A whole crossing in virtual time: a simulated card that is off by 400 ppm plays a known stream."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from phasegraph import GraphError
from phasegraph.testing import GraphRun, run_graph_now

GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.stage]
kind = "sim-source"
clock = "house"
signal = "sine"
[compensators.align]
kind = "none"
allow-slips = true
[sinks.card]
kind = "sim-card"
input = "stage"
compensator = "align"
rate-offset = "400ppm"
keep = "2s"
"""


@pytest.fixture(scope="module")
def played() -> GraphRun:
    return run_graph_now(GRAPH, for_s=4.7)


@pytest.mark.slow
def test_it_slips_as_often_as_the_clocks_ask(played: GraphRun) -> None:
    metrics = played.report["edges"]["stage->card"]["metrics"]
    # 400 ppm of 4.7 s at 48 kHz are 90 frames; each slip takes up 24 to 25 of them.
    assert metrics["resyncs"] == 3
    assert abs(metrics["phase_error_ns"]) <= 24.6 / 48_000 * 1e9
    assert metrics["ratio_ppb"] == 0


def test_between_slips_the_tone_is_clean(played: GraphRun) -> None:
    tone = played.nodes["card"].recording()[:, 0].astype(float)[-(1 << 15) :]
    assert len(tone) == 1 << 15
    # An unaltered sine follows its two predecessors: y[n] = 2 cos(w) y[n-1] - y[n-2].
    follows = np.stack([tone[1:-1], tone[:-2]], axis=1)
    fit = np.linalg.lstsq(follows, tone[2:], rcond=None)[0]
    assert np.abs(tone[2:] - follows @ fit).max() < 3e-6
    assert np.abs(tone).max() > 0.05


def test_without_leave_the_graph_does_not_start() -> None:
    with pytest.raises(GraphError, match="allow-slips"):
        run_graph_now(GRAPH.replace("allow-slips = true", ""), for_s=1.0)


@pytest.mark.parametrize("kind", ["combined", "ptp-feed-forward", "buffer-feedback"])
@pytest.mark.slow
def test_a_tone_is_clean_and_the_card_is_known_to_the_next_run(kind: str, tmp_path: Path) -> None:
    graph = GRAPH.replace('"none"\nallow-slips = true', f'"{kind}"').replace("400ppm", "100ppm")
    learned = tmp_path / "devices.json"
    played = run_graph_now(graph, for_s=12.0, device_rates=learned)
    metrics = played.report["edges"]["stage->card"]["metrics"]
    assert metrics["ratio_ppb"] == pytest.approx(-100_000, abs=1_000)
    assert (metrics["resyncs"], metrics["missing_frames"]) == (0, 0)
    tone = played.nodes["card"].recording()[:, 0].astype(float)[-(1 << 15) :]
    follows = np.stack([tone[1:-1], tone[:-2]], axis=1)
    fit = np.linalg.lstsq(follows, tone[2:], rcond=None)[0]
    assert np.abs(tone[2:] - follows @ fit).max() < 3e-6
    (rate,) = json.loads(learned.read_text()).values()
    assert rate["rate_ppb"] == pytest.approx(100_000, abs=1_000)

    again = run_graph_now(graph, for_s=0.35, device_rates=learned)
    assert again.report["edges"]["stage->card"]["metrics"]["ratio_ppb"] == pytest.approx(-100_000, abs=3_000)
