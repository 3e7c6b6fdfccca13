"""The second run with a card begins with what the first one learned of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegraph.testing import GraphRun, run_graph_now

GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.stage]
kind = "sim-source"
clock = "house"
link-offset = "60ms"
[compensators.align]
kind = "{kind}"
[sinks.card]
kind = "sim-card"
input = "stage"
compensator = "align"
rate-offset = "80ppm"
granularity = 6
block = 512
"""


def ratio_ppb(run: GraphRun) -> float:
    told: float = run.report["edges"]["stage->card"]["metrics"]["ratio_ppb"]
    return told


@pytest.mark.parametrize("kind", ["combined", "ptp-feed-forward", "buffer-feedback"])
@pytest.mark.slow
def test_it_is_right_from_the_first_sound(tmp_path: Path, kind: str) -> None:
    graph, file = GRAPH.format(kind=kind), tmp_path / "devices.json"
    run_graph_now(graph, for_s=12.0, device_rates=file)
    assert ratio_ppb(run_graph_now(graph, for_s=0.5, device_rates=file)) == pytest.approx(-80_000, abs=5000)
    assert abs(ratio_ppb(run_graph_now(graph, for_s=0.5)) + 80_000) > 5000
