"""The trace: what is not known is not a number."""

from __future__ import annotations

import json
from pathlib import Path

from phasegraph import ClockEstimate
from phasegraph._run.trace import Trace


def test_errors_of_a_clock_that_knows_nothing_are_null(tmp_path: Path) -> None:
    warnings: list[str] = []
    trace = Trace(tmp_path / "trace.jsonl", warnings.append)
    trace.clock("house", 5, ClockEstimate(local_ns=0, reference_ns=0))
    trace.clock("house", 6, ClockEstimate(local_ns=0, reference_ns=0, sigma_ns=20.0, bound_ns=80.0))
    trace.close()
    lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert [(line["sigma_ns"], line["bound_ns"]) for line in lines] == [(None, None), (20.0, 80.0)]
    assert warnings == []
