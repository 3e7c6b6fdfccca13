"""Random edits of random graphs: see `phasegraph.testing.change_trials`. 1000 trials, most of them with ``--slow``."""

from __future__ import annotations

import pytest

from phasegraph.testing import ChangeTrial


def run_trials(first: int, count: int) -> dict[str, int]:
    """Trials with these seeds, and how often each change happened."""
    counts = {"applied": 0, "refused": 0}
    for seed in range(first, first + count):
        trial = ChangeTrial(seed)
        try:
            trial.run()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        counts["applied"] += trial.applied
        counts["refused"] += trial.refused
        for change, times in trial.counts.items():
            counts[change] = counts.get(change, 0) + times
    return counts


@pytest.mark.parametrize("first", [0, 10, 20, 30])
@pytest.mark.slow
def test_random_edits_do_what_they_say_and_nothing_else(first: int) -> None:
    counts = run_trials(first, 10)
    changes = {"applied", "refused", "untouched", "live", "switched", "restarted", "added", "removed"}
    assert set(counts) == changes, "every kind of change is among ten trials"


@pytest.mark.slow
@pytest.mark.parametrize("first", range(40, 1000, 40))
def test_many_more_random_edits(first: int) -> None:
    run_trials(first, 40)
