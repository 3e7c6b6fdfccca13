"""Percentiles of times, without keeping the times."""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph_aes67.histogram import EMPTY, Distribution, Histogram

CALM = settings(derandomize=True, deadline=None, database=None)
BIN = 2 ** (1 / 16)
"""Ratio of a bin's edges."""


def of(*values: int) -> Distribution:
    histogram = Histogram()
    histogram.add(np.array(values, np.int64))
    return histogram.distribution()


def test_empty() -> None:
    assert EMPTY.metrics("lateness") == {}
    assert EMPTY.percentile(0.5) == 0
    assert of().metrics("lateness") == {}


def test_names_carry_the_unit() -> None:
    assert of(5_000_000).metrics("lateness") == {
        "lateness_p50_ns": 5_000_000,
        "lateness_p99_ns": 5_000_000,
        "lateness_max_ns": 5_000_000,
    }


def test_negative_times_have_percentiles_too() -> None:
    times = of(-24_000_000, *[-22_700_000] * 97, -21_000_000, -40)
    assert -22_700_000 <= times.percentile(0.5) <= -22_700_000 / BIN
    assert -21_000_000 <= times.percentile(0.99) <= -21_000_000 / BIN
    assert times.percentile(1.0) == -40
    assert -1_000 <= of(-7, 2_000_000).percentile(0.5) <= 0


def test_longer_than_the_last_bin_counts_there() -> None:
    times = of(10**15, 3_000)
    assert times.metrics("t")["t_max_ns"] == 10**15
    assert times.percentile(0.5) <= 3_000 * BIN


def test_what_was_added_since() -> None:
    histogram = Histogram()
    histogram.add(np.array([30_000_000] * 100))
    before = histogram.distribution()
    assert histogram.distribution().percentile_since(before, 0.99) == 0
    histogram.add(np.array([2_000_000] * 10))
    assert histogram.distribution().percentile_since(before, 0.99) == pytest.approx(2e6, rel=BIN - 1)
    assert histogram.distribution().percentile(0.99) == 30_000_000


def test_counts_add_up_over_calls() -> None:
    histogram = Histogram()
    for value in range(1, 101):
        histogram.add(np.array([value * 1_000_000]))
    assert histogram.distribution().percentile(0.5) == pytest.approx(50e6, rel=BIN - 1)
    assert histogram.distribution().percentile(0.99) == pytest.approx(99e6, rel=BIN - 1)
    assert histogram.distribution().percentile(1.0) == 100_000_000


@CALM
@given(
    st.lists(st.integers(-(10**9), 6 * 10**10), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0])
)
def test_percentiles_are_right_within_one_bin(values: list[int], fraction: float) -> None:
    exact = sorted(values)[max(0, int(np.ceil(fraction * len(values))) - 1)]
    got = of(*values).percentile(fraction)
    assert got <= max(values)
    assert got >= min(exact, max(values)), "never less than it was"
    assert got <= (exact * BIN if exact >= 1_000 else exact / BIN if exact <= -1_000 * BIN else 1_000 * BIN) + 1


def test_a_reader_in_another_thread_finds_every_value_once() -> None:
    histogram, added, wrong = Histogram(), [0], []
    interval = sys.getswitchinterval()

    def read() -> None:
        while added[0] < 20_000:
            least = added[0]
            count = histogram.distribution().count
            if not least <= count <= added[0] + 1:
                wrong.append((least, count, added[0]))

    sys.setswitchinterval(1e-6)
    try:
        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(20_000):
            histogram.add(np.array([5_000]))
            added[0] += 1
        reader.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert histogram.distribution().count == 20_000


def test_a_distribution_has_all_until_now_and_does_not_change() -> None:
    histogram = Histogram()
    for value in range(1, 20_001):
        histogram.add_one(value * 1_000)
        if value in (1, 5_000, 5_001):
            distribution = histogram.distribution()
            assert (distribution.count, distribution.largest_ns) == (value, value * 1_000)
        if value == 6_000:
            unread = histogram.distribution()
    assert (distribution.count, unread.count, histogram.distribution().count) == (5_001, 6_000, 20_000)


def test_bins_as_text() -> None:
    assert of().as_text() == ""
    assert of(-2_000_001, -5, 5, 1_000_000, 1_000_001).as_text() == "-1961172:1 0:1 1044:1 1024000:2"
