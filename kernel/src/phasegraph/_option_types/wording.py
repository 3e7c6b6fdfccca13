"""Words for people: values as a graph writes them, places in a graph, and "did you mean"."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")
_LONGEST = 60
_MOST_OPTIONS = 300  # looking for the closest of thousands, thousands of times, would take minutes


def format_value(value: object) -> str:
    """A value of a graph in TOML, cut where it is long. Never fails, and stays on one line."""
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST else value[:_LONGEST] + "..."
        return json.dumps(text, ensure_ascii=not text.isprintable())
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to print what is very long
        return "a very large number"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        items = (
            [format_value(item) for item in value[:4]]
            if all(not isinstance(item, list | dict) for item in value)
            else []
        )
        return f"[{', '.join(items)}]" if len(items) == len(value) else f"a list of {len(value)}"
    return str(value)


def format_toml(value: Any) -> str:
    """A default or an example in TOML, whole."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {format_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(format_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return format_value(value)


def dotted_path(parent: str, name: str) -> str:
    """The dotted place of ``name`` within ``parent``; an odd name is quoted, as TOML does."""
    part = name if _BARE.match(name) else format_value(name)
    return f"{parent}.{part}" if parent else part


def join_words(words: Sequence[str], last: str = "or") -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def format_count(number: int, word: str, many: str = "") -> str:
    """``1 clock``, ``2 clocks``."""
    return f"{number} {word if number == 1 else many or word + 's'}"


def did_you_mean(word: object, options: Iterable[str]) -> str:
    """A hint with the option that looks most like ``word``; empty if none does."""
    if not isinstance(word, str) or len(word) > _LONGEST:
        return ""
    by_lower = {option.lower(): option for option in options}
    if len(by_lower) > _MOST_OPTIONS:
        return ""
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=1)
    return f"did you mean '{by_lower[close[0]]}'?" if close else ""
