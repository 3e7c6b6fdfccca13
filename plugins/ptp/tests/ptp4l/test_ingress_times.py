"""Stamps of a steered clock in local time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_ptp.ptp4l.ingress_times import ClockComparison, IngressTimes

S = 1_000_000_000
EPOCH = 1_790_000_000 * S


def looked(*relations: tuple[int, int]) -> IngressTimes:
    times = IngressTimes()
    for relation in relations:
        times.add_comparison(ClockComparison(*relation))
    return times


@given(ppm=st.integers(-900, 900), at=st.integers(0, S), offset=st.integers(-(2**62), 2**62))
def test_between_two_looks_the_clock_went_evenly(ppm: int, at: int, offset: int) -> None:
    times = looked((100 * S, offset), (101 * S, offset + ppm * 1000))
    clock = 100 * S + at + offset + at * ppm // 1_000_000
    local = times.local_ns(clock)
    assert local is not None
    assert abs(local - (100 * S + at)) <= 2


@pytest.mark.parametrize("clock", [EPOCH + 101 * S + 1, EPOCH + 98 * S, 0, EPOCH + 37 * S + 100 * S])
def test_other_stamps_are_not_converted(clock: int) -> None:
    assert looked((100 * S, EPOCH), (101 * S, EPOCH)).local_ns(clock) is None


def test_one_look_is_not_enough() -> None:
    assert looked((100 * S, EPOCH)).local_ns(EPOCH + 100 * S) is None
    assert IngressTimes().local_ns(EPOCH) is None


@pytest.mark.parametrize("step", [2_000_000, -2_000_000, 3600 * S, -3600 * S])
def test_a_step_is_returned_and_nothing_is_interpolated_over_it(step: int) -> None:
    times = looked((100 * S, EPOCH), (101 * S, EPOCH))
    assert times.add_comparison(ClockComparison(102 * S, EPOCH + step)) == step
    assert times.local_ns(EPOCH + step + 102 * S - 1000) is None
    assert times.add_comparison(ClockComparison(103 * S, EPOCH + step)) == 0
    assert times.local_ns(EPOCH + step + 103 * S - 1000) == 103 * S - 1000


def test_slewing_is_no_step() -> None:
    times = looked((100 * S, EPOCH))
    assert times.add_comparison(ClockComparison(101 * S, EPOCH + 500_000)) == 0
