"""From a config struct's annotations to the shapes of its options."""

from __future__ import annotations

import enum
import functools
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from .._core.config import FilePath, Ref
from .._core.units import Quantity
from .bounds import Bounds
from .compound import ListOf, OneOf, Option, Other, Record
from .scalars import Choice, File, Flag, Measure, Number, ReferenceType, Text
from .shape import Shape

_OURS = (Quantity, Ref, FilePath)


def record_of(struct: type[msgspec.Struct]) -> Record:
    """The options of a config struct, or of a table within one."""
    return _record(struct)


@functools.cache
def _record(struct: type[msgspec.Struct]) -> Record:
    return Record(struct, tuple(_option(field) for field in msgspec.structs.fields(struct)))


def _option(field: msgspec.structs.FieldInfo) -> Option:
    marks = get_args(field.type)[1:] if get_origin(field.type) is Annotated else ()
    descriptions = [mark.description for mark in marks if isinstance(mark, msgspec.Meta) and mark.description]
    return Option(
        name=field.encode_name,
        attribute=field.name,
        shape=shape_of(field.type),
        required=field.required,
        make_default=functools.partial(_default, field),
        description=descriptions[-1] if descriptions else "",
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def shape_of(annotation: Any, marks: tuple[Any, ...] = ()) -> Shape:
    """The shape of a type; ``marks`` are the annotations of what it is a part of."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape_of(arguments[0], (*marks, *arguments[1:]))
    if origin in (Union, types.UnionType):
        members = tuple(shape_of(member, marks) for member in arguments if member is not types.NoneType)
        return members[0] if len(members) == 1 else OneOf(members)
    if origin is Literal:
        return Choice({value: value for value in arguments})
    if origin in (tuple, list) and (item := _item(arguments)) is not None:
        return _list(annotation, origin, item, marks)
    if isinstance(annotation, type):
        return _of_class(annotation, marks)
    return Other(annotation)


def _item(arguments: tuple[Any, ...]) -> Any:
    """The type of all items; None where they differ."""
    items = [argument for argument in arguments if argument is not Ellipsis]
    return items[0] if items and all(item == items[0] for item in items) else None


def _list(annotation: Any, origin: type[Any], item: Any, marks: tuple[Any, ...]) -> Shape:
    metas = [mark for mark in marks if isinstance(mark, msgspec.Meta)]
    least = max((meta.min_length for meta in metas if meta.min_length is not None), default=0)
    most = min((meta.max_length for meta in metas if meta.max_length is not None), default=None)
    arguments = get_args(annotation)
    if origin is tuple and Ellipsis not in arguments:
        least = most = len(arguments)
    # Lengths are the list's own; what a text means holds for its items too.
    return ListOf(shape_of(item, tuple(mark for mark in marks if isinstance(mark, _OURS))), origin, least, most)


def _of_class(cls: type[Any], marks: tuple[Any, ...]) -> Shape:
    metas = [mark for mark in marks if isinstance(mark, msgspec.Meta)]
    meaning = next((mark for mark in reversed(marks) if isinstance(mark, _OURS)), None)
    if issubclass(cls, enum.Enum):
        return Choice({member.value: member for member in cls})
    if issubclass(cls, msgspec.Struct) and cls.__struct_config__.tag is None:
        return record_of(cls)
    if cls is bool:
        return Flag()
    if cls in (int, float):
        bounds = Bounds.of(metas)
        return Measure(meaning, bounds) if isinstance(meaning, Quantity) else Number(cls is int, bounds)
    if cls is str:
        if isinstance(meaning, Ref):
            return ReferenceType(meaning)
        if isinstance(meaning, FilePath):
            return File(meaning)
        return _text(metas)
    return Other(cls)


def _text(metas: list[msgspec.Meta]) -> Text:
    pattern = next((meta.pattern for meta in reversed(metas) if meta.pattern is not None), None)
    least = max((meta.min_length for meta in metas if meta.min_length is not None), default=0)
    most = min((meta.max_length for meta in metas if meta.max_length is not None), default=None)
    return Text(pattern, least, most)
