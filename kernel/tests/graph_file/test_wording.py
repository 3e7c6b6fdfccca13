"""Words for people, ranges, and quantities written back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, inspect

from phasegraph._core.units import Quantity
from phasegraph._option_types.option_types import _limits, _type_of, _within
from phasegraph._option_types.wording import (
    did_you_mean,
    dotted_path,
    format_count,
    format_toml,
    format_value,
    join_words,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ("x" * 100, '"' + "x" * 60 + '..."'),
        (True, "true"),
        (1 << 200, "a very large number"),
        ({"a": 1}, "a table"),
        ([1, "a"], '[1, "a"]'),
        ([1] * 5, "a list of 5"),
        ([[1]], "a list of 1"),
        (1.5, "1.5"),
    ],
)
def test_values_in_messages(value: object, text: str) -> None:
    assert format_value(value) == text


def test_values_as_toml() -> None:
    assert format_toml({"a": [1, "x" * 70], "b": {"c": True}}) == '{a = [1, "' + "x" * 70 + '"], b = {c = true}}'


def test_lists_of_words() -> None:
    assert [join_words([]), join_words(["a"]), join_words(["a", "b"]), join_words(["a", "b", "c"], "and")] == [
        "", "a", "a or b", "a, b and c",
    ]  # fmt: skip
    assert (format_count(1, "clock"), format_count(2, "clock"), format_count(2, "entry", "entries")) == (
        "1 clock",
        "2 clocks",
        "2 entries",
    )


def test_dotted_paths() -> None:
    assert dotted_path("a", "b-c_1") == "a.b-c_1"
    assert dotted_path("", "a") == "a"
    assert dotted_path("a", "b c\n") == 'a."b c\\n"'


def test_did_you_mean() -> None:
    assert did_you_mean("L24", ["l24", "L16"]) == "did you mean 'l24'?"
    assert did_you_mean("zzz", ["a"]) == ""
    assert did_you_mean(3, ["3"]) == ""
    assert did_you_mean("a" * 61, ["a" * 61]) == ""


@pytest.mark.parametrize(
    ("meta", "words", "inside", "outside"),
    [
        (Meta(ge=0, le=127), "from 0 to 127", 127, 128),
        (Meta(ge=1), "of at least 1", 1, 0),
        (Meta(gt=0, lt=1), "above 0 and below 1", 0.5, 1),
        (Meta(le=4294967295), "of at most 4294967295", 4294967295, 4294967296),
        (Meta(multiple_of=8), "that is a multiple of 8", 16, 12),
        (Meta(), "", 1, None),
    ],
)
def test_bounds(meta: Meta, words: str, inside: float, outside: float | None) -> None:
    number = _type_of(float, (meta,))
    assert isinstance(number, inspect.FloatType)
    assert _limits(number, str) == words
    assert _within(number, inside)
    assert outside is None or not _within(number, outside)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("duration", 0, "0ns"),
        ("duration", 125_000, "125us"),
        ("duration", 3_000_000, "3ms"),
        ("duration", 90 * 10**9, "90s"),
        ("duration", 86400 * 10**9, "1d"),
        ("duration", -1_000_000, "-1ms"),
        ("frequency", 48000, "48kHz"),
        ("frequency", 44100, "44100Hz"),
        ("frequency", 997.5, "997.5Hz"),
        ("level", -20.0, "-20dBFS"),
        ("rate", 50_000.0, "50ppm"),
    ],
)
def test_quantities_are_written_as_a_graph_would(name: str, value: float, text: str) -> None:
    quantity = Quantity(name)  # type: ignore[arg-type]
    assert quantity.text(value) == text
    assert quantity.parse(text) == value


@given(st.integers(-(10**15), 10**15))
def test_any_duration_comes_back(ns: int) -> None:
    quantity = Quantity("duration")
    assert quantity.parse(quantity.text(ns)) == ns
