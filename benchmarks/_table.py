"""Medians over rounds, and Markdown."""

from __future__ import annotations

import collections
import statistics
from collections.abc import Iterable, Sequence


def median(values: Iterable[float | None]) -> float | None:
    """Median of the values that exist."""
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def number(value: float | None, digits: int = 1) -> str:
    """A number for a cell; a dash when there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share for a cell."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def remarks(notes: Iterable[str]) -> str:
    """The remarks of all rounds in one cell, each with the number of rounds that had it."""
    every = list(notes)
    counts = collections.Counter(note for note in every if note)
    parts = [f"{note} ({times} of {len(every)} rounds)" for note, times in counts.items()]
    return "; ".join(parts).replace("|", "/").replace("\n", " ")


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first two are set right."""
    rule = ["---" if i < 2 else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
