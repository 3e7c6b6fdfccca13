"""The gallery: each graph is checked, shown on its page, and simulated; what it promises holds there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from phasegraph._cli.app import cli

ROOT = Path(__file__).resolve().parent.parent
GALLERY = sorted((ROOT / "examples" / "gallery").glob("*.toml"))
PAGE = (ROOT / "docs" / "gallery.md").read_text("utf-8")
SCENARIOS = {"without-ptp": "usb-card"}
"""A graph is simulated in a studio, or in the world that it is for."""

by_graph = pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)


@by_graph
def test_it_is_valid_and_has_its_place_on_the_page(path: Path) -> None:
    result = CliRunner().invoke(cli, ["check", str(path)])
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"](../examples/gallery/{path.name})" in PAGE
    assert path.read_text("utf-8").startswith("# "), "it says what it is for"


@pytest.mark.parametrize("seconds", [18, 25])
@by_graph
@pytest.mark.slow
def test_it_does_in_simulation_what_it_promises(path: Path, seconds: int, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = ["simulate", str(path), "--for", f"{seconds}s", "--report", str(report)]
    words += ["--scenario", SCENARIOS.get(path.stem, "studio")]
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code, result.exception) == (0, None), result.output
    run: dict[str, Any] = json.loads(report.read_text("utf-8"))
    for id, node in run["nodes"].items():
        metrics = node["metrics"]
        if node["role"] == "clock":
            assert metrics["state"] == "locked", id
            assert metrics["true_outside_bound"] == 0, id
        elif node["role"] == "sink":
            assert (
                metrics.get("packets_sent", 0) + metrics.get("frames_in", 0) + metrics.get("frames_out", 0)
                > 800 * seconds
            )
            assert metrics.get("underruns", 0) == 0, id
        assert metrics.get("frames_concealed", 0) == 0 or path.stem in SCENARIOS, id
    for name, edge in run["edges"].items():
        metrics = edge["metrics"]
        assert metrics.get("underruns", 0) == metrics.get("resyncs", 0) == 0, name
        assert not edge["crossing"] or metrics["state"] == "locked", name
