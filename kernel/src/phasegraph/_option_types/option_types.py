"""The types of options, and one function for each operation on them.

Plain types are those of `msgspec.inspect`, with their constraints. Types are added for what msgspec does not know: a
quantity with its unit, the id of another node, a file, and a `Record`, whose options are decoded one by one, so that
every problem is found and not only the first.
"""

from __future__ import annotations

import enum
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from functools import cache, singledispatch
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from .._core.config import FilePath, FormerName, Live, Ref
from .._core.errors import NodeError
from .._core.node import path_in
from .._core.role import Role
from .._core.units import Quantity
from .diagnostics import INVALID, Diagnostics, Override
from .wording import did_you_mean, dotted_path, format_count, format_value, join_words

NumberType = inspect.IntType | inspect.FloatType
_MEANINGS = (Quantity, Ref, FilePath)


class QuantityType(inspect.Type):
    """Text with a unit; decoded to a number in the base unit."""

    quantity: Quantity
    number: NumberType

    @property
    def example(self) -> str:
        """A value within the range, as a graph would write it."""
        example = self.quantity.example
        if _within(self.number, self.quantity.parse(example)):
            return example
        limits = (self.number.ge, self.number.le, self.number.gt, self.number.lt)
        return next((self.quantity.text(limit) for limit in limits if limit is not None), example)


class MarkedTextType(inspect.Type):
    """Text that names another node (`Ref`) or a file (`FilePath`); a file is decoded to an absolute path."""

    mark: Ref | FilePath


class ChoiceType(inspect.Type):
    """One of a few values; ``values`` maps what a graph writes to the decoded value (the same, or an enum's member)."""

    values: dict[Any, Any]


class SequenceType(inspect.Type):
    """A list whose items have one type; decoded to ``build``: tuple or list."""

    item: inspect.Type
    build: type[Any]
    min_length: int | None = None
    max_length: int | None = None


class OtherType(inspect.Type):
    """Any other type that msgspec can convert to; the messages are msgspec's."""

    annotation: Any


class Option(msgspec.Struct, frozen=True):
    """One option of a table."""

    name: str
    """As a graph writes it, in kebab-case."""
    attribute: str
    """As the config struct calls it."""
    type: inspect.Type
    required: bool
    make_default: Callable[[], Any]
    description: str = ""
    live: Live | None = None
    """Whether, and how, it can change while the node runs."""
    former_name: str = ""
    """What graphs of the version before may call it."""

    @property
    def default(self) -> Any:
        """The default as a graph would write it; None if there is none."""
        return None if self.required else self.written(self.make_default())

    def written(self, value: Any) -> Any:
        """A value of the option as a graph would write it."""
        return encode(self.type, value)


class Reference(msgspec.Struct, frozen=True):
    """A node or file that an option names."""

    path: str
    """Place of the option in the graph."""
    mark: Ref | FilePath
    value: str
    """A node's id, or an absolute path."""


class Record(inspect.Type):
    """A table whose options are the fields of a struct."""

    struct: type[msgspec.Struct]
    options: tuple[Option, ...]

    def decode_options(
        self, table: Mapping[str, Any], at: str, diagnostics: Diagnostics
    ) -> tuple[dict[str, Any], bool]:
        """The values that could be decoded, by attribute and with defaults; and whether that is all of them."""
        names = [option.name for option in self.options]
        before = len(diagnostics.problems)
        table = self._with_present_names(table, at, diagnostics)
        for name in table:
            if name not in names:
                known = f"options are {join_words(names, 'and')}" if len(names) < 9 else ""
                diagnostics.error(dotted_path(at, name), "unknown option", did_you_mean(name, names) or known)
        values: dict[str, Any] = {}
        for option in self.options:
            path = dotted_path(at, option.name)
            if option.name in table:
                value = _decode_override(option.type, table[option.name], path, diagnostics)
            elif option.required:
                value = diagnostics.error(path, f"missing: expected {expected(option.type)}")
            else:
                value = option.make_default()
            if value is not INVALID:
                values[option.attribute] = value
        return values, len(diagnostics.problems) == before

    def _with_present_names(self, table: Mapping[str, Any], at: str, diagnostics: Diagnostics) -> Mapping[str, Any]:
        renamed = {option.former_name: option.name for option in self.options if option.former_name in table}
        for former, name in renamed.items():
            if name in table:
                diagnostics.error(dotted_path(at, former), f"this is '{name}' now, which is there too", "remove it")
            else:
                text = f"this option is called '{name}' now; its former name works until the next MINOR version"
                diagnostics.notes.append((dotted_path(at, former), text))
        return {renamed.get(key, key): value for key, value in table.items()} if renamed else table

    def construct(self, values: dict[str, Any], at: str, diagnostics: Diagnostics) -> Any:
        """The struct from all its values, or `INVALID`: its own checks (``__post_init__``) may refuse them."""
        try:
            return self.struct(**values)
        except NodeError as error:
            return diagnostics.error(dotted_path(at, error.option) if error.option else at, error.message, error.hint)
        except Exception as error:  # a plugin's code may raise anything
            text = str(error) if isinstance(error, ValueError) else ""
            return diagnostics.error(at, text or f"its plugin failed to check it: {type(error).__name__}: {error}")


def record_of(struct: type[msgspec.Struct]) -> Record:
    """The options of a config struct, or of a table within one. Raises TypeError for what is no struct."""
    return _record(struct)


@cache
def _record(struct: type[msgspec.Struct]) -> Record:
    return Record(struct, tuple(map(_option, msgspec.structs.fields(struct))))


def _option(field: msgspec.structs.FieldInfo) -> Option:
    has_value = field.default is not msgspec.NODEFAULT
    marks = get_args(field.type)[1:] if get_origin(field.type) is Annotated else ()
    descriptions = [mark.description for mark in marks if isinstance(mark, msgspec.Meta) and mark.description]
    return Option(
        name=field.encode_name,
        attribute=field.name,
        type=_type_of(field.type, ()),
        required=field.required,
        make_default=(lambda: field.default) if has_value else field.default_factory,
        description=descriptions[-1] if descriptions else "",
        live=next((mark for mark in marks if isinstance(mark, Live)), None),
        former_name=next((mark.name for mark in marks if isinstance(mark, FormerName)), ""),
    )


def _type_of(annotation: Any, marks: tuple[Any, ...]) -> inspect.Type:
    """The option type of an annotation; ``marks`` are the annotations of the type that it is a part of."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_of(arguments[0], (*marks, *arguments[1:]))
    if origin in (Union, types.UnionType):
        members = tuple(_type_of(member, marks) for member in arguments if member is not types.NoneType)
        return members[0] if len(members) == 1 else inspect.UnionType(members)
    if origin is Literal:
        return ChoiceType({value: value for value in arguments})
    if origin in (tuple, list):
        items = [argument for argument in arguments if argument is not Ellipsis]
        if not items or any(item != items[0] for item in items):
            return OtherType(annotation)
        # Lengths are the list's own; the meaning of a text is also that of the items.
        item = _type_of(items[0], tuple(mark for mark in marks if isinstance(mark, _MEANINGS)))
        fixed = origin is tuple and Ellipsis not in arguments
        lengths = {"min_length": len(items), "max_length": len(items)} if fixed else _constraints(SequenceType, marks)
        return SequenceType(item, origin, **lengths)
    return _type_of_class(annotation, marks) if isinstance(annotation, type) else OtherType(annotation)


def _type_of_class(cls: type[Any], marks: tuple[Any, ...]) -> inspect.Type:
    meaning = next((mark for mark in reversed(marks) if isinstance(mark, _MEANINGS)), None)
    if issubclass(cls, enum.Enum):
        return ChoiceType({member.value: member for member in cls})
    if issubclass(cls, msgspec.Struct) and cls.__struct_config__.tag is None:
        return record_of(cls)
    if cls is bool:
        return inspect.BoolType()
    if cls in (int, float):
        kind = inspect.IntType if cls is int else inspect.FloatType
        number = kind(**_constraints(kind, marks))
        return QuantityType(meaning, number) if isinstance(meaning, Quantity) else number
    if cls is str:
        text = inspect.StrType(**_constraints(inspect.StrType, marks))
        return MarkedTextType(meaning) if isinstance(meaning, Ref | FilePath) else text
    return OtherType(cls)


def _constraints(kind: type[inspect.Type], marks: tuple[Any, ...]) -> dict[str, Any]:
    """What the `msgspec.Meta` among ``marks`` say together; the outermost wins."""
    metas = [mark for mark in marks if isinstance(mark, msgspec.Meta)]
    fields = [(name, getattr(meta, name, None)) for meta in metas for name in kind.__struct_fields__]
    return {name: limit for name, limit in fields if limit is not None}


def _limits(number: NumberType, text: Callable[[float], str]) -> str:
    """The range, to follow the name of a number: ``from 0 to 127``; ``text`` formats one limit."""
    if number.ge is not None and number.le is not None:
        parts = [f"from {text(number.ge)} to {text(number.le)}"]
    else:
        ends = (("of at least", number.ge), ("above", number.gt), ("of at most", number.le), ("below", number.lt))
        parts = [f"{words} {text(limit)}" for words, limit in ends if limit is not None]
    if number.multiple_of is not None:
        parts.append(f"that is a multiple of {text(number.multiple_of)}")
    return " and ".join(parts)


def _within(number: NumberType, value: float) -> bool:
    return (
        (number.ge is None or value >= number.ge)
        and (number.gt is None or value > number.gt)
        and (number.le is None or value <= number.le)
        and (number.lt is None or value < number.lt)
        and (number.multiple_of is None or value % number.multiple_of == 0)
    )


@singledispatch
def expected(kind: inspect.Type) -> str:
    """What a value must be, to follow "expected": ``a whole number from 0 to 127``."""
    return f"a value of type {getattr(getattr(kind, 'annotation', None), '__name__', '')}".rstrip()


@expected.register
def _(kind: QuantityType) -> str:
    limits = _limits(kind.number, kind.quantity.text) or "with a unit"
    return f'a {kind.quantity.name} {limits}, such as "{kind.example}"'


@expected.register
def _(kind: MarkedTextType) -> str:
    if isinstance(kind.mark, FilePath):
        return "the path of a file" + (" to write" if kind.mark.mode == "write" else "")
    role = kind.mark.role
    return "a kind of resampler" if role is Role.RESAMPLER else f"the id of a {role.singular}"


@expected.register
def _(kind: inspect.IntType) -> str:
    return f"a whole number {_limits(kind, str)}".rstrip()


@expected.register
def _(kind: inspect.FloatType) -> str:
    return f"a number {_limits(kind, str)}".rstrip()


@expected.register
def _(kind: inspect.StrType) -> str:
    least, most = kind.min_length or 0, kind.max_length
    if kind.pattern is not None:
        return f"text of the form {kind.pattern}"
    if most is not None:
        return f"text of {least} to {most} characters"
    if least > 1:
        return f"text of at least {least} characters"
    return "text that is not empty" if least else "text"


@expected.register
def _(kind: inspect.BoolType) -> str:
    return "true or false"


@expected.register
def _(kind: ChoiceType) -> str:
    return join_words(list(map(format_value, kind.values)))


@expected.register
def _(kind: SequenceType) -> str:
    least, most = kind.min_length or 0, kind.max_length
    length = f" of at least {least}" if least else ""
    if most is not None:
        length = f" of {least}" + ("" if most == least else f" to {most}")
    return f"a list{length}, each item {expected(kind.item)}"


@expected.register
def _(kind: Record) -> str:
    return "a table"


@expected.register
def _(kind: inspect.UnionType) -> str:
    return join_words(list(map(expected, kind.types)))


_TOML_TYPES: dict[type[inspect.Type], type[Any] | tuple[type[Any], ...]] = {
    QuantityType: str,
    MarkedTextType: str,
    inspect.StrType: str,
    inspect.IntType: int,
    inspect.FloatType: (int, float),
    inspect.BoolType: bool,
    SequenceType: list,
    Record: Mapping,
    OtherType: object,
}


def _accepts(kind: inspect.Type, value: object) -> bool:
    """Whether a value has the right TOML type; it may still be out of range."""
    if isinstance(kind, inspect.UnionType):
        return any(_accepts(each, value) for each in kind.types)
    if isinstance(kind, ChoiceType):
        return any(type(value) is type(known) for known in kind.values)
    if isinstance(value, bool) and isinstance(kind, NumberType):
        return False
    return isinstance(value, _TOML_TYPES[type(kind)])


def decode(kind: inspect.Type, value: Any, at: str, diagnostics: Diagnostics) -> Any:
    """The decoded value, or `INVALID` with every reason added to ``diagnostics``."""
    if _accepts(kind, value):
        return _decode(kind, value, at, diagnostics)
    if isinstance(kind, Record):
        names = join_words([option.name for option in kind.options], "and")
        return diagnostics.unexpected(at, f"a table with {names}", value)
    is_text = isinstance(kind, inspect.StrType | MarkedTextType)
    hint = f'put it in quotes: "{format_value(value)}"' if is_text and isinstance(value, int | float) else ""
    return diagnostics.unexpected(at, expected(kind), value, hint)


@singledispatch
def _decode(kind: inspect.Type, value: Any, at: str, diagnostics: Diagnostics) -> Any:
    """Decode a value of the right TOML type."""
    return value


@_decode.register
def _(kind: QuantityType, value: str, at: str, diagnostics: Diagnostics) -> Any:
    if len(value) <= 100:
        try:
            number = kind.quantity.parse(value)
        except ValueError as error:
            return diagnostics.error(at, str(error))
        if _within(kind.number, number):
            return number
    return diagnostics.unexpected(at, expected(kind), value)


@_decode.register
def _(kind: MarkedTextType, value: str, at: str, diagnostics: Diagnostics) -> Any:
    if isinstance(kind.mark, Ref):
        return value
    if not value:
        return diagnostics.unexpected(at, expected(kind), value)
    try:
        return path_in(diagnostics.folder, value)
    except (OSError, ValueError, RuntimeError) as error:  # a null character, a loop of links
        return diagnostics.error(at, f"{format_value(value)} is no path: {error}")


@_decode.register
def _(kind: inspect.IntType, value: int, at: str, diagnostics: Diagnostics) -> Any:
    return value if _within(kind, value) else diagnostics.unexpected(at, expected(kind), value)


@_decode.register
def _(kind: inspect.FloatType, value: float, at: str, diagnostics: Diagnostics) -> Any:
    number = float(value) if not isinstance(value, int) or value.bit_length() < 1024 else math.inf
    fits = math.isfinite(number) and _within(kind, number)
    return number if fits else diagnostics.unexpected(at, expected(kind), value)


@_decode.register
def _(kind: inspect.StrType, value: str, at: str, diagnostics: Diagnostics) -> Any:
    fits = (kind.min_length or 0) <= len(value) and (kind.max_length is None or len(value) <= kind.max_length)
    if fits and (kind.pattern is None or re.search(kind.pattern, value) is not None):
        return value
    return diagnostics.unexpected(at, expected(kind), value)


@_decode.register
def _(kind: ChoiceType, value: Any, at: str, diagnostics: Diagnostics) -> Any:
    if value in kind.values:
        return kind.values[value]
    names = [known for known in kind.values if isinstance(known, str)]
    return diagnostics.unexpected(at, expected(kind), value, did_you_mean(value, names))


@_decode.register
def _(kind: SequenceType, value: list[Any], at: str, diagnostics: Diagnostics) -> Any:
    if len(value) < (kind.min_length or 0) or (kind.max_length is not None and len(value) > kind.max_length):
        return diagnostics.error(at, f"expected {expected(kind)}, got {format_count(len(value), 'item')}")
    items = [decode(kind.item, item, f"{at}[{index}]", diagnostics) for index, item in enumerate(value)]
    return INVALID if any(item is INVALID for item in items) else kind.build(items)


@_decode.register
def _(kind: Record, value: Mapping[str, Any], at: str, diagnostics: Diagnostics) -> Any:
    values, complete = kind.decode_options(value, at, diagnostics)
    return kind.construct(values, at, diagnostics) if complete else INVALID


@_decode.register
def _(kind: inspect.UnionType, value: Any, at: str, diagnostics: Diagnostics) -> Any:
    """By the first type that fits; with the reasons of the only candidate, or in general words."""
    candidates = [each for each in kind.types if _accepts(each, value)]
    if len(candidates) == 1:
        return decode(candidates[0], value, at, diagnostics)
    for each in candidates:
        decoded = decode(each, value, at, Diagnostics(diagnostics.folder, diagnostics.cwd))
        if decoded is not INVALID:
            return decoded
    return diagnostics.unexpected(at, expected(kind), value)


@_decode.register
def _(kind: OtherType, value: Any, at: str, diagnostics: Diagnostics) -> Any:
    try:
        return msgspec.convert(_without_overrides(value), kind.annotation)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        return diagnostics.unexpected(at, expected(kind), value, str(error).replace("`", ""))


def _decode_override(kind: inspect.Type, value: Any, at: str, diagnostics: Diagnostics) -> Any:
    if not isinstance(value, Override):
        return decode(kind, value, at, diagnostics)
    # On a command line `device=3` may mean the number or the text: the one that fits is meant. The reasons are
    # reported only if neither fits.
    trial = Diagnostics(diagnostics.cwd, diagnostics.cwd)
    decoded = decode(kind, value.value, at, trial)
    if decoded is INVALID:
        decoded = decode(kind, value.text, at, Diagnostics(diagnostics.cwd, diagnostics.cwd))
    if decoded is INVALID:
        diagnostics.problems += trial.problems
    return decoded


def _without_overrides(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_overrides(item) for name, item in value.items()}
    return value.value if isinstance(value, Override) else value


def encode(kind: inspect.Type, value: Any) -> Any:
    """A decoded value as a graph would write it: the inverse of `decode`."""
    return None if value is None else _encode(kind, value)


@singledispatch
def _encode(kind: inspect.Type, value: Any) -> Any:
    return value


@_encode.register
def _(kind: QuantityType, value: Any) -> Any:
    return kind.quantity.text(value)


@_encode.register
def _(kind: ChoiceType, value: Any) -> Any:
    return next((written for written, decoded in kind.values.items() if decoded == value), value)


@_encode.register
def _(kind: SequenceType, value: Any) -> Any:
    return [encode(kind.item, item) for item in value]


@_encode.register
def _(kind: Record, value: Any) -> Any:
    written = {option.name: encode(option.type, getattr(value, option.attribute)) for option in kind.options}
    return {name: item for name, item in written.items() if item is not None}


@_encode.register
def _(kind: inspect.UnionType, value: Any) -> Any:
    for each in kind.types:
        try:
            written = encode(each, value)
        except (TypeError, ValueError, AttributeError):
            continue
        if _accepts(each, written):
            return written
    return value


@_encode.register
def _(kind: OtherType, value: Any) -> Any:
    return msgspec.to_builtins(value)


@singledispatch
def references(kind: inspect.Type, value: Any, at: str) -> Iterator[Reference]:
    """The nodes and files that a decoded value names; of a `Record`, ``value`` may be a dict by attribute."""
    return iter(())


@references.register
def _(kind: MarkedTextType, value: Any, at: str) -> Iterator[Reference]:
    if isinstance(value, str):
        yield Reference(at, kind.mark, value)


@references.register
def _(kind: SequenceType, value: Any, at: str) -> Iterator[Reference]:
    for index, item in enumerate(value if isinstance(value, list | tuple) else ()):
        yield from references(kind.item, item, f"{at}[{index}]")


@references.register
def _(kind: Record, value: Any, at: str) -> Iterator[Reference]:
    for option in kind.options:
        name = option.attribute
        known = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
        if known is not None and _may_refer(type(option.type)):
            yield from references(option.type, known, dotted_path(at, option.name))


@references.register
def _(kind: inspect.UnionType, value: Any, at: str) -> Iterator[Reference]:
    yield from next(filter(None, (list(references(each, value, at)) for each in kind.types)), [])


@cache
def _may_refer(type_of_kind: type[inspect.Type]) -> bool:
    return references.dispatch(type_of_kind) is not references.dispatch(object)


_JSON_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
}
_JSON_TYPES = {
    MarkedTextType: "string",
    inspect.StrType: "string",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.BoolType: "boolean",
}


def _json_limits(kind: inspect.Type, **names: str) -> dict[str, Any]:
    limits = {word: getattr(kind, field, None) for field, word in {**_JSON_LIMITS, **names}.items()}
    return {word: limit for word, limit in limits.items() if limit is not None}


@singledispatch
def json_schema(kind: inspect.Type) -> dict[str, Any]:
    """JSON Schema of what a graph may write."""
    name = _JSON_TYPES.get(type(kind))
    return {} if name is None else {"type": name, **_json_limits(kind)}


@json_schema.register
def _(kind: QuantityType) -> dict[str, Any]:
    # JSON Schema cannot state the range of what the text means.
    return {"type": "string", "pattern": kind.quantity.pattern, "examples": [kind.example]}


@json_schema.register
def _(kind: ChoiceType) -> dict[str, Any]:
    return {"enum": list(kind.values)}


@json_schema.register
def _(kind: SequenceType) -> dict[str, Any]:
    lengths = _json_limits(kind, min_length="minItems", max_length="maxItems")
    return {"type": "array", "items": json_schema(kind.item), **lengths}


@json_schema.register
def _(kind: inspect.UnionType) -> dict[str, Any]:
    return {"anyOf": list(map(json_schema, kind.types))}


@json_schema.register
def _(kind: Record) -> dict[str, Any]:
    properties = {option.name: _option_schema(option) for option in kind.options}
    required = [option.name for option in kind.options if option.required]
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _option_schema(option: Option) -> dict[str, Any]:
    schema = json_schema(option.type)
    if option.description:
        schema["description"] = option.description
    return schema if option.default is None else {**schema, "default": option.default}
