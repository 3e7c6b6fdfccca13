"""One clock out of two paths, and how they compare: arithmetic alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import NS_PER_S, ClockEstimate, ClockState, PublisherSettings
from phasegraph_ptp.path_comparison import PathComparison
from phasegraph_ptp.redundant_paths import RedundantPaths, paths_agree

SETTINGS = PublisherSettings(lock_within_ns=20_000, unlock_beyond_ns=1_000_000)
TAI_NS = 1_795_000_000 * NS_PER_S
STEP_NS = NS_PER_S // 8


def path(
    now_ns: int, error_ns: int = 0, *, state: ClockState = ClockState.LOCKED, delay_ns: float = 8_000.0, **more: object
) -> ClockEstimate:
    """What a path tells of a local time that is right."""
    told: dict[str, object] = {"sigma_ns": 200.0, "bound_ns": 9_000.0, "timescale": "ptp", "grandmaster": "gm", **more}
    return ClockEstimate(  # type: ignore[arg-type]
        local_ns=now_ns, reference_ns=TAI_NS + now_ns + error_ns, state=state, path_delay_ns=delay_ns, **told
    )


def error_ns(estimate: ClockEstimate, now_ns: int) -> int:
    return estimate.reference_at(now_ns) - TAI_NS - now_ns


def settled(paths: RedundantPaths, *errors_ns: int, **more: object) -> int:
    """Feed the same errors for 20 s; the local time then."""
    now_ns = 0
    for _ in range(160):
        now_ns += STEP_NS
        paths.combine(now_ns, [path(now_ns, each, **more) for each in errors_ns])  # type: ignore[arg-type]
    return now_ns


def test_the_surer_path_counts_more() -> None:
    paths = RedundantPaths(SETTINGS)
    estimate = paths.combine(1, [path(1, 1_000), path(1, 4_000, sigma_ns=400.0)])
    assert abs(error_ns(estimate, 1) - 1_600) <= 1  # (1000 / 1 + 4000 / 4) / (1 / 1 + 1 / 4)
    assert paths.used == 2


@given(
    errors=st.tuples(st.integers(-9_000, 9_000), st.integers(-9_000, 9_000)),
    sigmas=st.tuples(st.floats(10, 5_000), st.floats(10, 5_000)),
    slack=st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)),
)
def test_the_bound_holds_if_those_of_the_paths_do(
    errors: tuple[int, int], sigmas: tuple[float, float], slack: tuple[int, int]
) -> None:
    told = [
        path(1, error, sigma_ns=sigma, bound_ns=float(abs(error) + more))
        for error, sigma, more in zip(errors, sigmas, slack, strict=True)
    ]
    estimate = RedundantPaths(SETTINGS).combine(1, told)
    assert abs(error_ns(estimate, 1)) <= estimate.bound_ns + 1
    assert estimate.bound_ns <= sum(each.bound_ns for each in told) + 1


def test_a_path_that_is_lost_moves_the_clock_slowly_and_within_its_bound() -> None:
    paths = RedundantPaths(SETTINGS)
    now_ns = settled(paths, -1_000, 1_000)
    before = paths.combine(now_ns, [path(now_ns, -1_000), path(now_ns, 1_000)])
    assert (before.state, error_ns(before, now_ns)) == (ClockState.LOCKED, 0)
    moved = [0]
    for _ in range(160):
        now_ns += STEP_NS
        lost = path(now_ns, -1_000, state=ClockState.HOLDOVER)
        estimate = paths.combine(now_ns, [lost, path(now_ns, 1_000)])
        assert estimate.state is ClockState.LOCKED
        assert abs(error_ns(estimate, now_ns)) <= estimate.bound_ns
        moved.append(error_ns(estimate, now_ns))
    assert max(abs(after - before) for before, after in pairwise(moved)) <= 100
    assert abs(moved[-1] - 1_000) < 20
    assert estimate.discontinuities == 0


def test_paths_that_do_not_agree_leave_the_clock_with_the_one_that_led() -> None:
    paths = RedundantPaths(SETTINGS)
    now_ns = settled(paths, 0, 500_000)
    estimate = paths.combine(now_ns, [path(now_ns, 0), path(now_ns, 500_000)])
    assert (error_ns(estimate, now_ns), paths.used, paths.lead) == (0, 1, 0)
    assert not paths_agree(1, path(1), path(1, timescale="arb"))


def test_without_any_path_the_clock_is_in_holdover_and_then_unlocked() -> None:
    paths = RedundantPaths(SETTINGS)
    now_ns = settled(paths, 0, 0) + STEP_NS
    held = [path(now_ns, state=ClockState.HOLDOVER, bound_ns=bound) for bound in (50_000.0, 40_000.0)]
    assert paths.combine(now_ns, held).state is ClockState.HOLDOVER
    assert paths.lead == 0, "no path is better known than the one that led"
    now_ns += STEP_NS
    lost = [path(now_ns, state=ClockState.UNLOCKED, bound_ns=2_000_000.0) for _ in range(2)]
    assert paths.combine(now_ns, lost).state is ClockState.UNLOCKED


def test_two_paths_in_holdover_do_not_take_turns() -> None:
    paths = RedundantPaths(SETTINGS)
    now_ns = settled(paths, 0, 3_000_000)
    before = paths.combine(now_ns, [path(now_ns, 0), path(now_ns, 3_000_000)])
    for turn in range(40):  # each publishes in its turn, and the older estimate has the smaller bound
        now_ns += STEP_NS
        bounds = (50_000.0 + turn % 2, 50_001.0 - turn % 2)
        held = [
            path(now_ns, each, state=ClockState.HOLDOVER, bound_ns=bound, grandmaster=name)
            for each, bound, name in zip((0, 3_000_000), bounds, ("gm", "other"), strict=True)
        ]
        estimate = paths.combine(now_ns, held)
    assert (paths.lead, estimate.discontinuities) == (0, before.discontinuities)


def test_the_first_path_that_locks_leads_and_a_jump_of_it_is_one_discontinuity() -> None:
    paths = RedundantPaths(SETTINGS)
    unknown = ClockEstimate(local_ns=0, reference_ns=0)
    assert paths.combine(0, [unknown, unknown]).state is ClockState.UNLOCKED
    for now_ns in range(STEP_NS, 20 * STEP_NS, STEP_NS):
        estimate = paths.combine(now_ns, [unknown, path(now_ns)])
    assert (estimate.state, paths.lead) == (ClockState.LOCKED, 1)
    now_ns += STEP_NS
    jumped = path(now_ns, 5 * NS_PER_S, discontinuities=1, grandmaster="other")
    estimate = paths.combine(now_ns, [unknown, jumped])
    assert (estimate.discontinuities, error_ns(estimate, now_ns)) == (1, 5 * NS_PER_S)


def compared(comparison: PathComparison, seconds: int, first: dict[str, float], second: dict[str, float]) -> str:
    began_ns = comparison._compared_ns
    for now_ns in range(began_ns + STEP_NS, began_ns + seconds * NS_PER_S, STEP_NS):
        comparison.compare(now_ns, [path(now_ns, **first), path(now_ns, **second)])  # type: ignore[arg-type]
    return comparison.trouble(now_ns)


GOOD: dict[str, float] = {}
LATE = {"error_ns": -2_500, "delay_ns": 10_500.0}


@pytest.mark.parametrize(("first", "second", "named"), [(LATE, GOOD, "eth0"), (GOOD, LATE, "eth1")])
def test_the_path_whose_delay_changed_is_named_and_forgiven(
    first: dict[str, float], second: dict[str, float], named: str
) -> None:
    comparison = PathComparison(["eth0", "eth1"])
    assert compared(comparison, 30, GOOD, GOOD) == ""
    told = compared(comparison, 60, first, second)
    assert f"the path of {named} became lopsided by 5.0 us (delay 10.5 us, 8.0 us before)" in told
    assert compared(comparison, 30, GOOD, GOOD) == ""


def test_less_than_a_microsecond_or_a_few_seconds_is_no_trouble() -> None:
    comparison = PathComparison(["eth0", "eth1"])
    assert compared(comparison, 60, GOOD, {"error_ns": -900}) == ""
    assert compared(comparison, 8, GOOD, LATE) == ""


def test_paths_beyond_their_bounds_have_two_times() -> None:
    told = compared(PathComparison(["eth0", "eth1"]), 60, GOOD, {"error_ns": 60_000})
    assert "the grandmasters gm and gm do not tell one time" in told


def test_a_path_that_is_not_locked_is_not_compared() -> None:
    comparison = PathComparison(["eth0", "eth1"])
    comparison.compare(1, [path(1), path(1, 9_000, state=ClockState.HOLDOVER)])
    assert comparison.apart_ns is None
