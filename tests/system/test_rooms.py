"""Two receivers of one stream, each with a card and a PTP follower of its own, sound together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from phasegraph._cli.app import cli

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"
TOGETHER_NS = 10_000


@pytest.mark.parametrize("seed", range(3))
def test_they_stay_within_ten_microseconds(tmp_path: Path, seed: int) -> None:
    report = tmp_path / "report.json"
    words = ["simulate", EXAMPLES / "rooms.toml", "--scenario", EXAMPLES / "worlds" / "rooms.toml", "--for", "2min"]
    result = CliRunner().invoke(cli, [*map(str, words), "--seed", str(seed), "--report", str(report)])
    assert result.exit_code == 0, result.output
    told = json.loads(report.read_text())
    assert 0 < told["simulation"]["true_apart_max_ns"] < TOGETHER_NS
    rates = [told["nodes"][room]["metrics"]["true_device_rate_ppb"] for room in ("hall", "foyer")]
    assert rates == pytest.approx([88_000, -52_000], abs=100)  # against a counter that is 8 ppm slow
    for edge in told["edges"].values():
        assert (edge["metrics"]["resyncs"], edge["metrics"]["underruns"]) == (0, 0)


def test_six_rooms_of_an_airplay_group_agree(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = ["simulate", EXAMPLES / "airplay-rooms.toml", "--scenario", EXAMPLES / "worlds" / "airplay-rooms.toml"]
    result = CliRunner().invoke(cli, [*map(str, words), "--for", "30s", "--report", str(report)])
    assert result.exit_code == 0, result.output
    told = json.loads(report.read_text())
    simulation = told["simulation"]
    for name in ("apart", "clocks_apart"):
        assert 0 < simulation[f"true_{name}_p99_ns"] < 50_000
        assert simulation[f"true_{name}_max_ns"] < 250_000
    assert told["nodes"]["bath-clock"]["metrics"]["true_recovery_s"] < 1.5  # it starts again after 20 s


def test_a_comparison_has_the_distance_between_the_rooms() -> None:
    words = ["compare", EXAMPLES / "rooms.toml", "--scenario", EXAMPLES / "worlds" / "rooms.toml", "--for", "1min"]
    command = [*map(str, words), "--strategies", "combined"]
    (result,) = json.loads(CliRunner().invoke(cli, [*command, "--format", "json"]).stdout)["results"]
    assert 0 < result["apart_p99_ns"] <= result["apart_max_ns"] < TOGETHER_NS
    assert "between cards, us max" in CliRunner().invoke(cli, command).stdout
