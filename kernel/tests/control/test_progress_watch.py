"""Standing still is trouble, and what never moved or has ended is not."""

from __future__ import annotations

from typing import Any

import pytest

from phasegraph._control.counter_rates import CounterHistory
from phasegraph._control.progress_watch import ProgressWatch


def node(count: int, *, name: str = "packets_received", state: str = "running", **more: str) -> dict[str, Any]:
    return {"role": "source", "pace": "clock", "state": state, "metrics": {name: count}, **more}


def said(*snapshots: tuple[float, dict[str, Any]]) -> list[str]:
    watch = ProgressWatch()
    return [watch.standstill(now_s, "a", snapshot) for now_s, snapshot in snapshots]


def test_packets_that_stand_still_for_a_second_are_trouble() -> None:
    came, moved, still, later = (0.0, node(10)), (0.5, node(20)), (1.4, node(20)), (2.6, node(20))
    assert said(came, moved, still, later, (3.0, node(21))) == ["", "", "", "no packet received for 2 s", ""]


@pytest.mark.parametrize(
    ("snapshot", "trouble"),
    [
        (node(0), ""),
        (node(5, state="ended"), ""),
        (node(5, state="restarting"), ""),
        (node(5, name="packets_sent", role="sink"), "no packet sent for 9 s"),
        (node(5, name="frames_out", pace="device", role="sink"), "no frame played for 9 s"),
        (node(5, name="frames_in", pace="device"), "no frame captured for 9 s"),
        (node(5, name="frames_in", pace="none", role="sink"), ""),
        ({"role": "clock", "pace": "none", "state": "running", "metrics": {"state": "locked"}}, ""),
    ],
)
def test_what_counts_as_standing_still(snapshot: dict[str, Any], trouble: str) -> None:
    assert said((0.0, snapshot), (9.0, snapshot))[-1] == trouble


def test_increases_are_those_of_ten_seconds_or_since_the_start() -> None:
    history, figures = CounterHistory(), {"packets_lost": 7, "packets_late": 0}
    assert history.increases(3.0, "a", figures) == {"packets_lost": 7}
    history.add_sample(4.0, {"a": figures})
    assert history.increases(13.9, "a", figures) == {"packets_lost": 7}
    assert history.increases(14.0, "a", {**figures, "packets_lost": 9}) == {"packets_lost": 2}
    assert history.increases(14.0, "a", {**figures, "packets_lost": 1}) == {}
