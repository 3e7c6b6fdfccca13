"""What is wrong with the values of a graph, collected while they are decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from .._core.errors import Problem
from .wording import format_value

INVALID: Final[Any] = object()
"""The result of decoding a value that does not fit; the problems are in the `Diagnostics`."""


class Override(msgspec.Struct, frozen=True):
    """A value from the command line: a TOML value if it parses as one, and the text that was given."""

    text: str
    value: Any


class Diagnostics:
    """The problems found in one pass over a graph, and where its relative paths start."""

    def __init__(self, folder: Path, cwd: Path) -> None:
        """``folder`` is the graph's; ``cwd`` is where paths given on the command line start."""
        self.folder = folder
        self.cwd = cwd
        self.problems: list[Problem] = []
        self.notes: list[tuple[str, str]] = []
        """What will be wrong in a later version: place, and a sentence."""

    def error(self, path: str, message: str, hint: str = "") -> Any:
        """Add a problem. Returns `INVALID`."""
        self.problems.append(Problem(path, message, hint))
        return INVALID

    def unexpected(self, path: str, expected: str, value: object, hint: str = "") -> Any:
        """Add the problem that a value is not what is expected. Returns `INVALID`."""
        return self.error(path, f"expected {expected}, got {format_value(value)}", hint)
