"""Fixed-point times against values worked out by hand, and against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_airplay_timing.wire.fixed_point import (
    expand_48_16,
    from_48_16,
    from_ntp,
    ntp_difference_ns,
    to_48_16,
    to_ntp,
)

S = 10**9


@pytest.mark.parametrize(
    ("time_ns", "value"),
    [
        (0, 0),
        (S, 0x1_0000),
        (S + S // 2, 0x1_8000),
        (S - 1, 0xFFFF),
        (15_258, 0),  # a step is 15 258.8 ns
        (15_259, 1),
        (2**48 * S + S, 0x1_0000),
    ],
)
def test_48_16(time_ns: int, value: int) -> None:
    assert to_48_16(time_ns) == value


def test_no_time_before_the_epoch_in_48_16() -> None:
    with pytest.raises(ValueError, match="before the epoch"):
        to_48_16(-1)


@given(st.integers(0, 2**48 * S - 1))
def test_48_16_cuts_off_less_than_a_step_and_a_nanosecond(time_ns: int) -> None:
    lost = time_ns - from_48_16(to_48_16(time_ns))
    assert 0 <= lost <= 15_259


@given(st.integers(0, 2**40 * S), st.integers(-(2**31 - 2) * S, (2**31 - 2) * S))
def test_the_wrap_is_undone(time_ns: int, away_ns: int) -> None:
    low_bits = to_48_16(time_ns) % 2**48
    near_ns = max(0, time_ns + away_ns)
    assert expand_48_16(low_bits, near_ns) == from_48_16(to_48_16(time_ns))


@given(st.integers(0, 2**48 - 1))
def test_near_the_epoch_nothing_is_before_it(low_bits: int) -> None:
    assert expand_48_16(low_bits, 0) == from_48_16(low_bits)


@pytest.mark.parametrize(
    ("time_ns", "value"),
    [(0, 0), (S, 1 << 32), (S // 2, 1 << 31), (-S, 2**64 - (1 << 32)), (2**32 * S, 0), (1, 4), (S // 3, 0x5555_5554)],
)
def test_ntp(time_ns: int, value: int) -> None:
    assert to_ntp(time_ns) == value


@given(st.integers(0, 2**32 * S - 1))
def test_ntp_keeps_nanoseconds(time_ns: int) -> None:
    assert from_ntp(to_ntp(time_ns)) == time_ns
    assert abs(Fraction(to_ntp(time_ns), 2**32) - Fraction(time_ns, S)) <= Fraction(1, 2**33)


@given(st.integers(-(2**40) * S, 2**40 * S), st.integers(-(2**31 - 1) * S, (2**31 - 1) * S))
def test_ntp_differences_cross_the_wrap(earlier_ns: int, difference_ns: int) -> None:
    assert ntp_difference_ns(to_ntp(earlier_ns + difference_ns), to_ntp(earlier_ns)) == difference_ns
