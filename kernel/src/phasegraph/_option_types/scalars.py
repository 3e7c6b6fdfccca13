"""Shapes of single values: text, numbers, quantities, choices, references and files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from .._core.config import FilePath, Ref
from .._core.node import path_in
from .._core.role import Role
from .._core.units import Quantity
from .bounds import Bounds
from .shape import INVALID, Diagnostics, Reference, Shape
from .wording import did_you_mean, format_value, join_words


class Text(Shape):
    """Any text, or text of a pattern or length."""

    words = "text"

    def __init__(self, pattern: str | None = None, least: int = 0, most: int | None = None) -> None:
        self.pattern = pattern
        self.least = least
        self.most = most
        if pattern is not None:
            self.words = f"text of the form {pattern}"
        elif most is not None:
            self.words = f"text of {least} to {most} characters"
        elif least:
            self.words = "text that is not empty" if least == 1 else f"text of at least {least} characters"

    def takes(self, value: object) -> bool:
        """Text."""
        return isinstance(value, str)

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """The text as it is."""
        if not isinstance(value, str):
            hint = f'put it in quotes: "{format_value(value)}"' if isinstance(value, int | float) else ""
            return diagnostics.unexpected(at, self.words, value, hint)
        fits = self.least <= len(value) and (self.most is None or len(value) <= self.most)
        if not fits or (self.pattern is not None and re.search(self.pattern, value) is None):
            return diagnostics.unexpected(at, self.words, value)
        return value

    def schema(self) -> dict[str, Any]:
        """A string."""
        limits = {"pattern": self.pattern, "minLength": self.least or None, "maxLength": self.most}
        return {"type": "string", **{name: limit for name, limit in limits.items() if limit is not None}}


class ReferenceType(Text):
    """The id of another node; whether it is there is found out when all tables are read."""

    def __init__(self, ref: Ref) -> None:
        super().__init__()
        self.ref = ref
        self.words = f"the id of a {ref.role.singular}" if ref.role is not Role.RESAMPLER else "a kind of resampler"

    def references(self, value: Any, at: str) -> Iterator[Reference]:
        """The node."""
        if isinstance(value, str):
            yield Reference(at, self.ref, value)


class File(Text):
    """A file's path; decoded to an absolute one."""

    def __init__(self, mark: FilePath) -> None:
        super().__init__()
        self.mark = mark
        self.words = "the path of a file" + (" to write" if mark.mode == "write" else "")

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """The path, beginning at the graph's folder, or where the command was given."""
        text = super().read(value, at, diagnostics)
        if text is INVALID:
            return INVALID
        if not text:
            return diagnostics.unexpected(at, self.words, value)
        try:
            return path_in(diagnostics.folder, text)
        except (OSError, ValueError, RuntimeError) as error:  # a null character, a loop of links
            return diagnostics.error(at, f"{format_value(value)} is no path: {error}")

    def references(self, value: Any, at: str) -> Iterator[Reference]:
        """The file."""
        if isinstance(value, str):
            yield Reference(at, self.mark, value)


class Number(Shape):
    """A number without a unit."""

    def __init__(self, whole: bool, bounds: Bounds) -> None:
        self.whole = whole
        self.bounds = bounds

    @property
    def words(self) -> str:
        """The kind of number and its range."""
        return f"a {'whole ' if self.whole else ''}number {self.bounds.words(str)}".rstrip()

    def takes(self, value: object) -> bool:
        """A number; true and false are none."""
        return isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """An int, or a finite float."""
        if not self.takes(value):
            return diagnostics.unexpected(at, self.words, value)
        try:
            number = value if self.whole else float(value)
        except OverflowError:
            return diagnostics.unexpected(at, self.words, value)
        if not self.bounds.hold(number) or not (self.whole or math.isfinite(number)):
            return diagnostics.unexpected(at, self.words, value)
        return number

    def schema(self) -> dict[str, Any]:
        """An integer or number with its range."""
        return {"type": "integer" if self.whole else "number", **self.bounds.schema()}


class Measure(Shape):
    """A number with a unit; decoded to the base unit."""

    def __init__(self, quantity: Quantity, bounds: Bounds) -> None:
        self.quantity = quantity
        self.bounds = bounds

    @property
    def example(self) -> str:
        """A value within the range, as a graph would write it."""
        if self.bounds.hold(self.quantity.parse(self.quantity.example)):
            return self.quantity.example
        ends = (self.bounds.ge, self.bounds.le, self.bounds.gt, self.bounds.lt)
        return next((self.quantity.text(end) for end in ends if end is not None), self.quantity.example)

    @property
    def words(self) -> str:
        """The quantity, an example and the range."""
        limits = self.bounds.words(self.quantity.text)
        return f'a {self.quantity.name} {limits or "with a unit"}, such as "{self.example}"'

    def takes(self, value: object) -> bool:
        """Text."""
        return isinstance(value, str)

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """Nanoseconds, Hz, dBFS or ppb."""
        if not isinstance(value, str) or len(value) > 100:
            return diagnostics.unexpected(at, self.words, value)
        try:
            number = self.quantity.parse(value)
        except ValueError as error:
            return diagnostics.error(at, str(error))
        if not self.bounds.hold(number):
            return diagnostics.unexpected(at, self.words, value)
        return number

    def schema(self) -> dict[str, Any]:
        """A string with a pattern. JSON Schema cannot state the range of what it means."""
        return {"type": "string", "pattern": self.quantity.pattern, "examples": [self.example]}

    def plain(self, value: Any) -> Any:
        """With its unit."""
        return value if value is None else self.quantity.text(value)


class Flag(Shape):
    """Yes or no."""

    words = "true or false"

    def takes(self, value: object) -> bool:
        """A boolean."""
        return isinstance(value, bool)

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """The boolean."""
        return value if isinstance(value, bool) else diagnostics.unexpected(at, self.words, value)

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


class Choice(Shape):
    """One of a few values, each with what it is decoded to."""

    def __init__(self, values: dict[Any, Any]) -> None:
        """``values`` maps what a graph writes to the decoded value (an enum's member, or the same)."""
        self.values = values

    @property
    def words(self) -> str:
        """The values."""
        return join_words([format_value(value) for value in self.values])

    def takes(self, value: object) -> bool:
        """A value of the type of the choices."""
        return any(type(value) is type(known) for known in self.values)

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """What the value stands for."""
        if not self.takes(value) or value not in self.values:
            names = [known for known in self.values if isinstance(known, str)]
            return diagnostics.unexpected(at, self.words, value, did_you_mean(value, names))
        return self.values[value]

    def schema(self) -> dict[str, Any]:
        """An enumeration."""
        return {"enum": list(self.values)}

    def plain(self, value: Any) -> Any:
        """What a graph writes."""
        return next((written for written, meant in self.values.items() if meant == value), value)
