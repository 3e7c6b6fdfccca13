"""Ranges of numbers, as ``msgspec.Meta`` states them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


class Bounds(msgspec.Struct, frozen=True):
    """The range of an option, in its base unit."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    multiple_of: float | None = None

    @classmethod
    def of(cls, metas: list[msgspec.Meta]) -> Bounds:
        """What a field's annotations say together; the outermost wins."""
        limits: dict[str, float] = {}
        for meta in metas:
            for name in cls.__struct_fields__:
                limit = getattr(meta, name)
                if limit is not None:
                    limits[name] = limit
        return cls(**limits)

    def hold(self, value: float) -> bool:
        """Whether a number is within."""
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
            and (self.multiple_of is None or value % self.multiple_of == 0)
        )

    def words(self, text: Callable[[float], str]) -> str:
        """To follow the name of the quantity: ``from 0 to 127``; ``text`` writes one number."""
        if self.ge is not None and self.le is not None:
            parts = [f"from {text(self.ge)} to {text(self.le)}"]
        else:
            ends = (
                ("of at least", self.ge),
                ("above", self.gt),
                ("of at most", self.le),
                ("below", self.lt),
            )
            parts = [f"{word} {text(limit)}" for word, limit in ends if limit is not None]
        if self.multiple_of is not None:
            parts.append(f"that is a multiple of {text(self.multiple_of)}")
        return " and ".join(parts)

    def schema(self) -> dict[str, Any]:
        """The range in the words of JSON Schema."""
        names = {
            "ge": "minimum",
            "gt": "exclusiveMinimum",
            "le": "maximum",
            "lt": "exclusiveMaximum",
            "multiple_of": "multipleOf",
        }
        limits = {name: getattr(self, field) for field, name in names.items()}
        return {name: limit for name, limit in limits.items() if limit is not None}
