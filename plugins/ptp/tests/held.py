"""How much a thing holds: what must not grow."""

from __future__ import annotations

import gc
from types import BuiltinFunctionType, FunctionType, ModuleType


def objects_of(thing: object) -> int:
    """How many objects it holds, all that they hold included."""
    seen: dict[int, object] = {}
    waiting: list[object] = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, type | ModuleType | FunctionType | BuiltinFunctionType):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return len(seen)
