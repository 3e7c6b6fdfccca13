"""What a run says in words of its nodes."""

from __future__ import annotations

import pytest

from phasegraph._run.words import phrases

HOUR_NS = 3_600_000_000_000


def test_a_clock_that_knows_nothing_claims_no_accuracy() -> None:
    assert phrases({"state": "unlocked", "bound_ns": 2.0**63}) == ["unlocked"]
    assert phrases({"state": "acquiring", "bound_ns": HOUR_NS}) == ["acquiring"]
    assert phrases({"state": "locked", "bound_ns": 18_600.0}) == ["locked, right within 18.6 us"]


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"packets_received": 1200}, "received 1 200 packets; none lost or late"),
        ({"packets_received": 9, "packets_lost": 1, "packets_late": 2}, "received 9 packets; 1 lost, 2 late"),
        ({"packets_received": 0}, "received 0 packets"),  # its trouble says why
        ({"packets_received": 0, "packets_foreign": 7}, "received 0 packets; 7 foreign"),
    ],
)
def test_a_receiver(metrics: dict[str, int], said: str) -> None:
    assert "; ".join(phrases(metrics)) == said
