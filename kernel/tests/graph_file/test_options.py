"""Single options: which values are accepted, and how the others are refused."""

from __future__ import annotations

from typing import Any

import pytest

BASE = '[clocks.house]\nkind = "system"\n[sources.rec]\nkind = "net"\n'

CARD = """
[sources.rec]
kind = "reader"
path = "take.wav"
[sinks.c]
kind = "card"
input = "rec"
"""

REFUSED = [
    # option, TOML value, place below the node, message, hint
    ("link-offset", "3", "", 'expected a duration from 125us to 1s, such as "3ms", got 3', ""),
    ("link-offset", '"2s"', "", 'expected a duration from 125us to 1s, such as "3ms", got "2s"', ""),
    ("link-offset", '"3ns"', "", 'expected a duration from 125us to 1s, such as "3ms", got "3ns"', ""),
    ("link-offset", '"3 parsecs"', "", "unknown unit 'parsecs': use one of ns, us, µs, ms, s, min, h, d", ""),
    ("link-offset", '"0.5ns"', "", "'0.5ns' is not a whole number of ns", ""),
    ("link-offset", '"' + "9" * 200 + 'ms"', "", "expected a duration", ""),
    ("rate", "48000", "", 'expected a frequency with a unit, such as "48kHz", got 48000', ""),
    ("encoding", '"L25"', "", 'expected "L16", "L24", "AM824" or "float32", got "L25"', "did you mean 'L24'?"),
    ("encoding", "24", "", 'expected "L16", "L24", "AM824" or "float32", got 24', ""),
    ("gain", "0", "", "expected a number above 0, got 0", ""),
    ("gain", "nan", "", "expected a number above 0, got nan", ""),
    ("gain", "inf", "", "expected a number above 0, got inf", ""),
    ("gain", "0x" + "f" * 5000, "", "expected a number above 0, got a very large number", ""),
    ("gain", "true", "", "expected a number above 0, got true", ""),
    ("verbose", '"yes"', "", 'expected true or false, got "yes"', ""),
    ("verbose", "1", "", "expected true or false, got 1", ""),
    ("name", "3", "", "expected text that is not empty, got 3", 'put it in quotes: "3"'),
    ("name", '""', "", 'expected text that is not empty, got ""', ""),
    ("name", "2024-01-01", "", "expected text that is not empty, got 2024-01-01", ""),
    ("code", '"en"', "", 'expected text of the form ^[A-Z]{2}$, got "en"', ""),
    ("taps", '"1ms"', "", "expected a list of 0 to 3, each item a duration", ""),
    ("taps", '["1ms", 2, "3x"]', "[1]", "expected a duration with a unit", ""),
    ("taps", '["1ms", 2, "3x"]', "[2]", "unknown unit 'x'", ""),
    ("taps", '["1ms", "1ms", "1ms", "1ms"]', "", "got 4 items", ""),
    ("labels", '{a = "x"}', "", "expected a value of type", "Expected int"),
    ("leg-b", "3", "", "expected a table with group and port, got 3", ""),
    ("leg-b", "{}", ".group", "missing: expected text", ""),
    ("leg-b", '{group = "g", port = 0}', ".port", "expected a whole number from 1 to 65535, got 0", ""),
    ("leg-b", '{group = "g", prt = 1}', ".prt", "unknown option", "did you mean 'port'?"),
    ("sdp", '""', "", 'expected the path of a file, got ""', ""),
    ("clock", '["house"]', "", 'expected the id of a clock, got ["house"]', ""),
    ("clock", "{}", "", "expected the id of a clock, got a table", ""),
    ("on-failure", '"explode"', "", 'expected "stop", "restart" or "isolate", got "explode"', ""),
]


@pytest.mark.parametrize(("option", "value", "below", "message", "hint"), REFUSED)
def test_refused(examine: Any, option: str, value: str, below: str, message: str, hint: str) -> None:
    problems = [p for p in examine(f"{BASE}{option} = {value}\n").problems if p.path == f"sources.rec.{option}{below}"]
    assert len(problems) == 1
    assert message in problems[0].message
    assert hint in problems[0].hint


@pytest.mark.parametrize(
    ("device", "words"),
    [("[1]", "expected text or a whole number, got [1]"), ("true", "expected text or a whole number, got true")],
)
def test_an_alternative_names_all_that_it_takes(examine: Any, device: str, words: str) -> None:
    text = f"{CARD}device = {device}\n"
    assert [problem.message for problem in examine(text).problems] == [words]


@pytest.mark.parametrize(("device", "value"), [('"hw:1"', "hw:1"), ("1", 1)])
def test_an_alternative_takes_each(examine: Any, device: str, value: object) -> None:
    text = f"{CARD}device = {device}\n"
    assert examine(text).graph.nodes["c"].config.device == value


def test_a_problem_stays_on_one_line_whatever_the_value(examine: Any) -> None:
    problems = examine(f'{BASE}name = 3\n"a\\nb" = 1\nencoding = "x\\u001b[31m\\ny"\n').problems
    assert len(problems) == 3
    assert all(str(problem).isprintable() for problem in problems)
