"""What the shapes of options have in common: reading a value, and saying what was expected."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from .._core.config import FilePath, Ref
from .._core.errors import Problem
from .wording import format_value

INVALID: Final[Any] = object()
"""What reading gives for a value that does not fit; the problems are with the `Diagnostics`."""


class Diagnostics:
    """One pass over a graph's values: where its relative paths begin, and what was wrong so far."""

    def __init__(self, folder: Path, cwd: Path) -> None:
        """``folder`` is the graph's; ``cwd`` is where paths given on the command line begin."""
        self.folder = folder
        self.cwd = cwd
        self.problems: list[Problem] = []

    def error(self, path: str, message: str, hint: str = "") -> Any:
        """Note a problem; gives `INVALID`, to be returned."""
        self.problems.append(Problem(path, message, hint))
        return INVALID

    def unexpected(self, path: str, words: str, value: object, hint: str = "") -> Any:
        """Note that a value is not what was expected; gives `INVALID`."""
        return self.error(path, f"expected {words}, got {format_value(value)}", hint)

    def on_command_line(self) -> Diagnostics:
        """A pass of its own over a value from the command line."""
        return Diagnostics(self.cwd, self.cwd)


class Reference(msgspec.Struct, frozen=True):
    """A node or file that an option names."""

    path: str
    """Place of the option in the graph."""
    mark: Ref | FilePath
    value: str
    """A node's id, or an absolute path."""


class Shape(ABC):
    """What an option's value looks like: one of the classes in ``scalars`` and ``compound``."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is expected, to follow "expected": ``a whole number from 0 to 127``."""

    @abstractmethod
    def takes(self, value: object) -> bool:
        """Whether a value is of the right type; it may still be out of range."""

    @abstractmethod
    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """The decoded value, or `INVALID` with every reason noted in ``diagnostics``."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON Schema of what a graph may write."""

    def plain(self, value: Any) -> Any:
        """A decoded value as a graph would write it: the inverse of `read`."""
        return value

    def references(self, value: Any, at: str) -> Iterator[Reference]:
        """The nodes and files that a decoded value names."""
        return iter(())
