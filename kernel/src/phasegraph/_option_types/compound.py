"""Shapes of values that hold others: lists, tables, alternatives; and of what the kernel does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from .._core.errors import NodeError
from .shape import INVALID, Diagnostics, Reference, Shape
from .wording import did_you_mean, dotted_path, format_count, join_words


class Option(msgspec.Struct, frozen=True):
    """One option of a table."""

    name: str
    """As a graph writes it, in kebab-case."""
    attribute: str
    """As the config struct calls it."""
    shape: Shape
    required: bool
    make_default: Callable[[], Any]
    description: str = ""

    def schema(self) -> dict[str, Any]:
        """JSON Schema with description and default."""
        schema = self.shape.schema()
        if self.description:
            schema["description"] = self.description
        default = None if self.required else self.shape.plain(self.make_default())
        return schema if default is None else {**schema, "default": default}


class Override(msgspec.Struct, frozen=True):
    """A value from the command line: a TOML value if it reads as one, and the text that was given."""

    text: str
    value: Any


class ListOf(Shape):
    """A list whose items have one shape."""

    def __init__(self, item: Shape, kind: type[Any], least: int = 0, most: int | None = None) -> None:
        """``kind`` is what it is decoded to: tuple or list."""
        self.item = item
        self.kind = kind
        self.least = least
        self.most = most

    @property
    def words(self) -> str:
        """The items and their number."""
        length = ""
        if self.most is not None:
            length = f" of {self.least}" + ("" if self.most == self.least else f" to {self.most}")
        elif self.least:
            length = f" of at least {self.least}"
        return f"a list{length}, each item {self.item.words}"

    def takes(self, value: object) -> bool:
        """A list."""
        return isinstance(value, list)

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """Every item, decoded."""
        if not isinstance(value, list):
            return diagnostics.unexpected(at, self.words, value)
        if len(value) < self.least or (self.most is not None and len(value) > self.most):
            return diagnostics.error(at, f"expected {self.words}, got {format_count(len(value), 'item')}")
        items = [self.item.read(item, f"{at}[{index}]", diagnostics) for index, item in enumerate(value)]
        return INVALID if any(item is INVALID for item in items) else self.kind(items)

    def schema(self) -> dict[str, Any]:
        """An array."""
        limits = {"minItems": self.least or None, "maxItems": self.most}
        known = {name: limit for name, limit in limits.items() if limit is not None}
        return {"type": "array", "items": self.item.schema(), **known}

    def plain(self, value: Any) -> Any:
        """A list."""
        return value if value is None else [self.item.plain(item) for item in value]

    def references(self, value: Any, at: str) -> Iterator[Reference]:
        """Those of every item."""
        for index, item in enumerate(value if isinstance(value, list | tuple) else ()):
            yield from self.item.references(item, f"{at}[{index}]")


class Record(Shape):
    """A table whose options are the fields of a struct."""

    words = "a table"

    def __init__(self, struct: type[msgspec.Struct], options: tuple[Option, ...]) -> None:
        self.struct = struct
        self.options = options

    def takes(self, value: object) -> bool:
        """A table."""
        return isinstance(value, Mapping)

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """The struct."""
        if not isinstance(value, Mapping):
            return diagnostics.unexpected(
                at, f"a table with {join_words([o.name for o in self.options], 'and')}", value
            )
        values, complete = self.read_options(value, at, diagnostics)
        return self.make(values, at, diagnostics) if complete else INVALID

    def read_options(self, table: Mapping[str, Any], at: str, diagnostics: Diagnostics) -> tuple[dict[str, Any], bool]:
        """The values that could be read, by attribute and with defaults; and whether that is all of them."""
        names = [option.name for option in self.options]
        before = len(diagnostics.problems)
        for name in table:
            if name not in names:
                hint = did_you_mean(name, names) or (
                    f"options are {join_words(names, 'and')}" if len(names) < 9 else ""
                )
                diagnostics.error(dotted_path(at, name), "unknown option", hint)
        values: dict[str, Any] = {}
        for option in self.options:
            where = dotted_path(at, option.name)
            if option.name in table:
                value = _read_option(option.shape, table[option.name], where, diagnostics)
            elif option.required:
                value = diagnostics.error(where, f"missing: expected {option.shape.words}")
            else:
                value = option.make_default()
            if value is not INVALID:
                values[option.attribute] = value
        return values, len(diagnostics.problems) == before

    def make(self, values: dict[str, Any], at: str, diagnostics: Diagnostics) -> Any:
        """The struct from all its values; its own checks (``__post_init__``) may refuse them."""
        try:
            return self.struct(**values)
        except NodeError as error:
            return diagnostics.error(dotted_path(at, error.option) if error.option else at, error.message, error.hint)
        except Exception as error:  # a plugin's code may raise anything
            text = str(error) if isinstance(error, ValueError) else ""
            return diagnostics.error(at, text or f"its plugin failed to check it: {type(error).__name__}: {error}")

    def schema(self) -> dict[str, Any]:
        """An object that allows no other properties."""
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {option.name: option.schema() for option in self.options},
            "additionalProperties": False,
        }
        required = [option.name for option in self.options if option.required]
        return {**schema, "required": required} if required else schema

    def plain(self, value: Any) -> Any:
        """A table of all its values but the absent ones."""
        if value is None:
            return None
        written = {option.name: option.shape.plain(getattr(value, option.attribute)) for option in self.options}
        return {name: item for name, item in written.items() if item is not None}

    def references(self, value: Any, at: str) -> Iterator[Reference]:
        """Those of every option; ``value`` may also be a part of the values, by attribute."""
        for option in self.options:
            known = value.get(option.attribute) if isinstance(value, dict) else getattr(value, option.attribute, None)
            yield from option.shape.references(known, dotted_path(at, option.name))


def _read_option(shape: Shape, value: Any, at: str, diagnostics: Diagnostics) -> Any:
    if not isinstance(value, Override):
        return shape.read(value, at, diagnostics)
    # On a command line `device=3` may mean the number or the text: what fits is what was meant. Only when neither
    # does are the reasons told.
    trial = diagnostics.on_command_line()
    decoded = shape.read(value.value, at, trial)
    if decoded is INVALID:
        decoded = shape.read(value.text, at, diagnostics.on_command_line())
    if decoded is INVALID:
        diagnostics.problems += trial.problems
    return decoded


def _without_overrides(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_overrides(item) for name, item in value.items()}
    return value.value if isinstance(value, Override) else value


class OneOf(Shape):
    """Alternatives, told apart by the type of the value where that is enough."""

    def __init__(self, shapes: tuple[Shape, ...]) -> None:
        self.shapes = shapes

    @property
    def words(self) -> str:
        """All of them."""
        return join_words([shape.words for shape in self.shapes])

    def takes(self, value: object) -> bool:
        """What any of them takes."""
        return any(shape.takes(value) for shape in self.shapes)

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """By the first that fits; with the reasons of the only candidate, or in general words."""
        candidates = [shape for shape in self.shapes if shape.takes(value)]
        if len(candidates) == 1:
            return candidates[0].read(value, at, diagnostics)
        for shape in candidates:
            decoded = shape.read(value, at, Diagnostics(diagnostics.folder, diagnostics.cwd))
            if decoded is not INVALID:
                return decoded
        return diagnostics.unexpected(at, self.words, value)

    def schema(self) -> dict[str, Any]:
        """Any of them."""
        return {"anyOf": [shape.schema() for shape in self.shapes]}

    def plain(self, value: Any) -> Any:
        """By the first whose own reading would take the result."""
        for shape in self.shapes:
            try:
                written = shape.plain(value)
            except (TypeError, ValueError, AttributeError):
                continue
            if shape.takes(written):
                return written
        return value

    def references(self, value: Any, at: str) -> Iterator[Reference]:
        """Those of whichever finds some."""
        for shape in self.shapes:
            found = list(shape.references(value, at))
            if found:
                yield from found
                return


class Other(Shape):
    """Any type that msgspec can convert to and that has no shape here; its messages are msgspec's."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    @property
    def words(self) -> str:
        """The type's name."""
        return f"a value of type {getattr(self.annotation, '__name__', self.annotation)}"

    def takes(self, value: object) -> bool:
        """Anything: reading decides."""
        return True

    def read(self, value: Any, at: str, diagnostics: Diagnostics) -> Any:
        """What msgspec makes of it."""
        try:
            return msgspec.convert(_without_overrides(value), self.annotation)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            return diagnostics.unexpected(at, self.words, value, str(error).replace("`", ""))

    def schema(self) -> dict[str, Any]:
        """Anything."""
        return {}

    def plain(self, value: Any) -> Any:
        """What msgspec would write."""
        return msgspec.to_builtins(value)
