"""Quantities: what is written with a unit is the number that it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import format_duration
from phasegraph._core.units import Quantity

DURATION, RATE, SAMPLE_RATE = Quantity("duration"), Quantity("rate"), Quantity("frequency", whole=True)


@pytest.mark.parametrize(
    ("quantity", "text", "value"),
    [
        (DURATION, "3ms", 3_000_000),
        (DURATION, "125us", 125_000),
        (DURATION, "125 µs", 125_000),
        (DURATION, "0.125ms", 125_000),
        (DURATION, "-2s", -2_000_000_000),
        (DURATION, "24h", 86_400_000_000_000),
        (DURATION, "1.5min", 90_000_000_000),
        (SAMPLE_RATE, "44.1kHz", 44100),
        (RATE, "50ppm", 50_000.0),
        (RATE, "-0.5ppb", -0.5),
        (Quantity("level"), "-20dBFS", -20.0),
    ],
)
def test_parses(quantity: Quantity, text: str, value: float) -> None:
    parsed = quantity.parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("quantity", "text", "says"),
    [
        (DURATION, "3", "with a unit"),
        (DURATION, 3, "with a unit"),
        (DURATION, "3 parsecs", "unknown unit 'parsecs'"),
        (DURATION, "0.5ns", "not a whole number of ns"),
        (DURATION, "1e3ms", "with a unit"),
        (DURATION, "ms", "with a unit"),
        (DURATION, "٣ms", "with a unit"),
        (SAMPLE_RATE, "44.1Hz", "not a whole number of Hz"),
        (RATE, "5%", "with a unit"),
    ],
)
def test_refuses_in_words(quantity: Quantity, text: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        quantity.parse(text)


@given(st.integers(-(2**52), 2**52))
def test_text_of_a_duration_is_parsed_back(value: int) -> None:
    assert DURATION.parse(DURATION.text(value)) == value


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_a_sentence(text: str) -> None:
    for name in ("duration", "frequency", "level", "rate"):
        try:
            Quantity(name).parse(text)  # type: ignore[arg-type]
        except ValueError as error:
            assert "such as" in str(error) or "unit" in str(error) or "whole" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1500, "1.5 µs"),
        (-2_000_000, "-2 ms"),
        (99_960_000, "100 ms"),
        (999_638_647, "1 s"),
        (7.2e12, "2 h"),
        (7.2e15, "2000 h"),
    ],
)
def test_durations_for_people(ns: float, text: str) -> None:
    assert format_duration(ns) == text


@given(st.floats(-1e9, 1e9))
def test_text_of_a_rate_is_parsed_back(value: float) -> None:
    assert RATE.parse(RATE.text(value)) == pytest.approx(value, rel=1e-12)
