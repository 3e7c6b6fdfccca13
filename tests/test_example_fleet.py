"""The example of a fleet: its nodes agree whatever fails, and a seed determines the run."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

FLEET = runpy.run_path(str(Path(__file__).resolve().parent.parent / "examples" / "fleet.py"), run_name="fleet")
NODES, SECONDS = 15, 360


def figures(seed: int) -> dict[str, Any]:
    found: dict[str, Any] = FLEET["simulate"](NODES, SECONDS, seed)[1].figures()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_nodes_agree_whatever_fails(seed: int) -> None:
    found = figures(seed)
    assert (found["outside_bound"], found["seconds_disagreed"]) == (0, 0)
    assert found["estimates"] > 0.7 * SECONDS * NODES
    assert found["locked_percent"] > 90
    assert found["error_median_ns"] < 500
    assert found["error_max_ns"] < 100_000


@pytest.mark.slow
def test_a_seed_determines_the_run() -> None:
    assert FLEET["simulate"](NODES, 60, 3)[1].figures() == FLEET["simulate"](NODES, 60, 3)[1].figures()


@pytest.mark.slow
def test_the_failures_happen() -> None:
    fleet = FLEET["Fleet"](NODES, 1)
    FLEET["failures"](fleet, SECONDS)
    grandmaster, spare, cut_off, last = *fleet.machines[:3], fleet.machines[-1]
    masters, connected, starts = set(), set(), set()
    for second in range(1, SECONDS + 1):
        fleet.run(second * FLEET["NS_PER_S"])
        acting = fleet.acting()
        masters.add(acting and acting.address)
        connected.add((grandmaster.connected, cut_off.connected))
        starts.add(last.since_ns)
    assert {grandmaster.address, spare.address} <= masters
    assert {(True, True), (False, True), (True, False)} <= connected
    assert len(starts) == 2


def test_a_wrong_clock_is_found_outside_its_bound_and_in_disagreement() -> None:
    fleet, agreement = FLEET["Fleet"](6, 1), FLEET["Agreement"]()
    fleet.run(30 * FLEET["NS_PER_S"])
    agreement.compare(fleet)
    assert (agreement.outside, agreement.disagreed) == (0, 0)
    fleet.machines[5].epoch_ns += 1_000_000
    agreement.compare(fleet)
    assert (agreement.outside, agreement.disagreed) == (1, 1)
