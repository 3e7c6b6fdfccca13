"""A stream on a simulated sound card, by each strategy, with everything between them as it runs for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from phasegraph._cli.app import cli

pytestmark = pytest.mark.slow
GRAPH = Path(__file__).parents[2] / "examples" / "speakers.toml"
EDGE = "stage->speakers"


def simulated(folder: Path, *options: str) -> dict[str, Any]:
    """The report of a simulation of the example."""
    report = folder / "report.json"
    result = CliRunner().invoke(cli, ["simulate", str(GRAPH), *options, "--report", str(report)])
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(report.read_text())
    return told


@pytest.mark.parametrize("scenario", ["studio", "usb-card"])
@pytest.mark.parametrize("kind", ["combined", "ptp-feed-forward", "buffer-feedback"])
def test_a_tone_of_10_khz_comes_out_clean(tmp_path: Path, kind: str, scenario: str) -> None:
    chosen = ("--set", f"compensators.align.kind={kind}", "--scenario", scenario)
    told = simulated(tmp_path, *chosen, "--for", "60s", "--audio", "15s")
    assert told["nodes"]["speakers"]["metrics"]["true_thd_n_db"] < -130.0
    edge = told["edges"][EDGE]["metrics"]
    assert abs(edge["ratio_ppb"]) > 10_000  # it is resampled
    assert (edge["resyncs"], edge["underruns"], edge["missing_frames"]) == (0, 0, 0)


def test_a_card_whose_rate_changes_within_two_seconds_stays_in_its_place(tmp_path: Path) -> None:
    edge = simulated(tmp_path, "--scenario", "drift-step", "--for", "7min")["edges"][EDGE]["metrics"]
    assert edge["true_alignment_error_max_frames"] < 3.0
    assert edge["true_pitch_slope_max_ppb_per_s"] < 20_001
    assert (edge["resyncs"], edge["underruns"]) == (0, 0)
