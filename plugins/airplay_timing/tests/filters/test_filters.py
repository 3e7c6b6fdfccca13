"""The filters on stamps with known truth."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph_airplay_timing.filters import (
    FILTERS,
    DelayExchange,
    FilterSolution,
    LeaderSync,
    NqptpFilter,
    TimingFilter,
)

S, MS = 10**9, 10**6
OFFSET = 123_456 * S


def feed(
    filter: TimingFilter,
    *,
    seconds: float,
    ppm: float = 20.0,
    here: tuple[int, int] = (MS, 0),
    there: tuple[int, int] = (MS, 0),
    answered: bool = True,
    waits: tuple[int, int] | None = None,
    seed: int = 1,
    every_ns: int = 125 * MS,
) -> list[tuple[float, FilterSolution]]:
    """Stamps, with delays of (least, mean of what comes on top); returns (error, solution) of each.

    ``waits`` is how long an answer waits in the leader; without it the arrival of answers is not known.
    """
    random = Random(seed)

    def true_offset(local_ns: int) -> float:
        return OFFSET + local_ns * ppm / 1e6

    def delay(of: tuple[int, int]) -> int:
        return of[0] + (round(random.expovariate(1 / of[1])) if of[1] else 0)

    found = []
    for number in range(round(seconds * S / every_ns)):
        sent = number * every_ns
        arrived = sent + delay(here)
        told = max(arrived, sent + MS + delay(here))
        sync = LeaderSync(origin_ns=sent + round(true_offset(sent)), arrived_ns=arrived, told_ns=told)
        filter.add_sample(sync)
        if answered:
            reached = told + delay(there)
            back = None if waits is None else reached + delay(waits) + delay(here)
            filter.add_sample(
                DelayExchange(
                    sync=sync, asked_ns=told, reached_ns=reached + round(true_offset(reached)), answered_ns=back
                )
            )
            told = back or told
        solution = filter.solve(told)
        if solution is not None:
            found.append((solution.offset_ns - true_offset(told), solution))
    return found


@pytest.mark.parametrize("name", ["envelope", "median"])
@pytest.mark.parametrize("ppm", [-100.0, 0.0, 35.0])
def test_equal_delays_leave_no_error(name: str, ppm: float) -> None:
    found = feed(FILTERS[name](), seconds=30, ppm=ppm)
    for error, solution in found[100:]:
        assert abs(error) < 200
        assert abs(solution.rate * 1e6 - ppm) < 0.2
        assert solution.two_way
        assert abs((solution.delay_ns or 0) - MS) < 200


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["envelope", "median"]),
    st.floats(-100, 100),
    st.integers(0, 20 * MS),
    st.integers(0, 20 * MS),
    st.integers(0, 10 * MS),
    st.none() | st.tuples(st.integers(0, 2 * MS), st.integers(0, 2 * MS)),
    st.integers(0, 10**6),
)
def test_the_bound_covers_every_asymmetry(
    name: str, ppm: float, here: int, there: int, jitter: int, waits: tuple[int, int] | None, seed: int
) -> None:
    found = feed(
        FILTERS[name](), seconds=6, ppm=ppm, here=(here, jitter), there=(there, jitter), waits=waits, seed=seed
    )
    for error, solution in found:
        assert abs(error) <= solution.bound_ns + 2


@pytest.mark.slow
def test_answers_are_packets_of_the_leader_too() -> None:
    """Of more packets the fastest is faster; and answers that wait for long in the leader do no harm."""
    squares = []
    for waits in (None, (MS // 10, MS // 10), (3 * MS, 9 * MS)):
        found = []
        for seed in range(40):
            runs = feed(
                FILTERS["envelope"](), seconds=3, here=(MS, 2 * MS), there=(MS, MS // 10), waits=waits, seed=seed
            )
            found.append(runs[-1][0])
        squares.append(sum(error**2 for error in found) / len(found))
    alone, prompt, slow = squares
    assert prompt < 0.8 * alone
    assert slow < 1.1 * alone


@pytest.mark.slow
def test_sigma_is_about_the_error() -> None:
    ratios = []
    for seed in range(8):
        found = feed(FILTERS["envelope"](), seconds=40, here=(MS, 3 * MS), there=(MS, 3 * MS), seed=seed)
        ratios += [abs(error) / solution.sigma_ns for error, solution in found[160::40]]
    assert sum(ratio <= 3 for ratio in ratios) >= 0.98 * len(ratios)
    assert sorted(ratios)[len(ratios) // 2] > 0.1  # nor is it much too large


@pytest.mark.parametrize("jitter", [5 * MS, *(pytest.param(it, marks=pytest.mark.slow) for it in (MS // 3, 20 * MS))])
def test_sigma_covers_the_error_from_the_start(jitter: int) -> None:
    # Also with clocks far apart, whose rate takes a while to be known.
    ratios = []
    for seed in range(12):
        ppm = (-30.0, 30.0, 100.0)[seed % 3]
        found = feed(FILTERS["envelope"](), seconds=20, ppm=ppm, here=(MS, jitter), there=(MS, jitter), seed=seed)
        ratios += [abs(error) / solution.sigma_ns for error, solution in found[2:] if solution.two_way]
    assert sum(ratio <= 3 for ratio in ratios) >= 0.97 * len(ratios)


def test_the_bound_grows_when_nothing_comes() -> None:
    filter = FILTERS["envelope"]()
    _, last = feed(filter, seconds=20)[-1]
    bounds = []
    for later in (1, 10, 100, 1000):
        solution = filter.solve(last.local_ns + later * S)
        assert solution is not None
        bounds.append(solution.bound_ns)
        truth = OFFSET + solution.local_ns * 20 / 1e6
        assert abs(solution.offset_ns - truth) < solution.bound_ns
    assert bounds == sorted(bounds)
    assert bounds[-1] > 10 * last.bound_ns


def test_a_leader_that_ceases_to_answer_is_one_way_in_the_end() -> None:
    filter = FILTERS["envelope"]()
    feed(filter, seconds=20)
    bounds = []
    for second in range(20, 400, 4):
        local, offset = second * S, OFFSET + second * 20_000
        filter.add_sample(LeaderSync(origin_ns=local + offset, arrived_ns=local + MS, told_ns=local + MS))
        solution = filter.solve(local + MS)
        assert solution is not None
        assert abs(solution.offset_ns - offset) < 5_000  # the delay is remembered
        assert solution.two_way == (second < 320)
        bounds.append(solution.bound_ns)
    assert bounds[:60] == sorted(bounds[:60])
    assert bounds[-1] > 99 * MS


@pytest.mark.parametrize("name", ["envelope", "median"])
def test_syncs_alone_are_said_to_be_one_way(name: str) -> None:
    found = feed(FILTERS[name](), seconds=30, here=(4 * MS, MS), answered=False)
    for error, solution in found[40:]:
        assert not solution.two_way
        assert -12 * MS < error <= 0.1 * MS  # too low by the delay, which was not measured
        assert solution.bound_ns >= 100 * MS


def test_syncs_alone_err_by_no_more_than_the_least_delay_in_the_end() -> None:
    # What is not answered cannot be known, and nothing else is to be missing.
    for seed in range(4):
        found = feed(
            FILTERS["envelope"](), seconds=360, here=(2 * MS, 5 * MS), answered=False, seed=seed, every_ns=2 * S
        )
        errors = sorted(error for error, _ in found[-30:])
        assert -2.4 * MS < errors[0] < errors[-1] < -1.6 * MS


@pytest.mark.slow
def test_a_slow_change_of_rate_is_followed() -> None:
    # A device that warms up: 20 ppb/s, as fast as is allowed for.
    filter, worst = FILTERS["envelope"](), 0.0
    for number in range(8 * 60):
        local = number * 125 * MS

        def offset(local_ns: int) -> int:
            seconds = local_ns / S
            return OFFSET + round(10 * seconds * seconds)

        arrived = local + 50_000
        sync = LeaderSync(origin_ns=local + offset(local), arrived_ns=arrived, told_ns=arrived)
        filter.add_sample(sync)
        reached = arrived + 100_000
        filter.add_sample(DelayExchange(sync=sync, asked_ns=arrived + 50_000, reached_ns=reached + offset(reached)))
        solution = filter.solve(arrived + 50_000)
        assert solution is not None
        error = solution.offset_ns - offset(solution.local_ns)
        assert abs(error) <= solution.bound_ns
        worst = max(worst, abs(error))
    assert worst < 30_000


# (offset seen, local time of the Follow_Up) -> the offset that nqptp has after it: worked out by hand from its
# published rules. All in nanoseconds.
NQPTP = [
    (1_000_000, 0, 1_000_000),
    (1_400_000, S // 2, 1_400_000),  # within the first second what is more is believed at once
    (900_000, S // 2 + 1, 1_400_000),  # and what is less, not at all
    (1_400_160, S + 1, 1_400_010),  # after it, a sixteenth
    (1_400_009, S + 2, 1_400_010),  # -1 / 256 is 0 in C
    (1_399_498, S + 3, 1_400_008),  # -512 / 256
    (-8_599_992, S + 4, 1_390_243),  # no more than -2.5 ms at once: -2 500 000 / 256 = -9765
]


def test_nqptps_arithmetic() -> None:
    filter = NqptpFilter()
    assert filter.solve(0) is None
    for seen, told, smoothed in NQPTP:
        filter.add_sample(LeaderSync(origin_ns=told + seen, arrived_ns=told - 12_345, told_ns=told))
        solution = filter.solve(told)
        assert solution is not None
        assert solution.offset_ns == smoothed
        assert not solution.two_way


@pytest.mark.parametrize(("correction", "adds"), [(65536 * 5 + 65535, 5), (-65536 * 5 - 1, -5), (-1, 0)])
def test_nqptp_cuts_corrections_off_towards_zero(correction: int, adds: int) -> None:
    filter = NqptpFilter()
    filter.add_sample(LeaderSync(origin_ns=100, correction=correction, arrived_ns=0, told_ns=0))
    solution = filter.solve(0)
    assert solution is not None
    assert solution.offset_ns == 100 + adds


def test_the_median_waits_for_three_and_takes_the_middle_two() -> None:
    filter = FILTERS["median"]()
    for number, error in enumerate((56 * 31_556_952 * S, 0, 40, 60)):
        sync = LeaderSync(origin_ns=error, arrived_ns=0, told_ns=0)
        filter.add_sample(DelayExchange(sync=sync, asked_ns=0, reached_ns=error))
        solution = filter.solve(0)
        assert (solution is None) == (number < 2)
    assert solution is not None
    assert solution.offset_ns == 50


def test_every_filter_has_a_name_and_starts_empty() -> None:
    assert set(FILTERS) == {"envelope", "median", "nqptp"}
    for make in FILTERS.values():
        assert make().solve(5) is None
