"""What a run says in words of its nodes."""

from __future__ import annotations

from phasegraph._run.words import phrases

HOUR_NS = 3_600_000_000_000


def test_a_clock_that_knows_nothing_claims_no_accuracy() -> None:
    assert phrases({"state": "unlocked", "bound_ns": 2.0**63}) == ["unlocked"]
    assert phrases({"state": "acquiring", "bound_ns": HOUR_NS}) == ["acquiring"]
    assert phrases({"state": "locked", "bound_ns": 18_600.0}) == ["locked, right within 18.6 us"]
