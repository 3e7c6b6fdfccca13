"""The options of a configuration struct: decoded from a graph, explained in words, and described by a JSON Schema."""

from __future__ import annotations

from .diagnostics import INVALID, Diagnostics, Override
from .option_types import (
    Option,
    QuantityType,
    Record,
    Reference,
    decode,
    encode,
    expected,
    json_schema,
    record_of,
    references,
)

__all__ = [
    "INVALID",
    "Diagnostics",
    "Option",
    "Override",
    "QuantityType",
    "Record",
    "Reference",
    "decode",
    "encode",
    "expected",
    "json_schema",
    "record_of",
    "references",
]
