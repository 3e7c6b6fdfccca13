"""Public names of a package that are imported when they are first used.

The list of names is the package's stub, ``__init__.pyi``: one line a name, ``from .module import Name as Name``. Type
checkers read the same file, so that there is one list.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

_LINE = re.compile(r"^from \.([\w.]+) import (\w+) as \2$", re.MULTILINE)


def lazy_names(
    package: str, file: str, before_import: Callable[[str], None] = lambda module: None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    ``file`` is the package's ``__file__``; ``before_import`` is called with the module (relative to the package) from
    which a name is about to be imported.
    """
    with open(file.removesuffix(".py") + ".pyi", encoding="utf-8") as stub:
        module_of = {name: module for module, name in _LINE.findall(stub.read())}

    def import_name(name: str) -> Any:
        module = module_of.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        before_import(module)
        value = getattr(importlib.import_module(f"{package}.{module}"), name)
        setattr(importlib.import_module(package), name, value)
        return value

    def list_names() -> list[str]:
        return sorted({*vars(importlib.import_module(package)), *module_of})

    return import_name, list_names, sorted(module_of)
