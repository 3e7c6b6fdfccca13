"""Modules that a process imports later, or never, since each costs CPU time at the start."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast


class _DeferredModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        # Only for attributes that are not there, as those that the import system sets are.
        spec = self.__spec__
        self.__class__ = ModuleType  # type: ignore[assignment]
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module(self)
        return getattr(self, name)


def defer_import(name: str) -> None:
    """Let ``import NAME`` bind a module that is imported when the first of its attributes is used.

    ``importlib.util.LazyLoader`` imports it at the second ``import`` statement already, which reads ``__spec__``.
    For the main thread, before there are others: a second thread must not be the one that uses it first.
    """
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is not None:
        module = importlib.util.module_from_spec(spec)
        module.__class__ = _DeferredModule
        sys.modules[name] = module


@contextmanager
def imported_without(name: str) -> Iterator[None]:
    """Within it, a module that has not been imported yet counts as not installed."""
    missing = name not in sys.modules
    if missing:
        sys.modules[name] = cast(ModuleType, None)
    try:
        yield
    finally:
        if missing:
            del sys.modules[name]


def call_imported(function: str) -> Callable[..., Any]:
    """A function that is imported when it is called: ``"package.module:name"``, for factories of kinds."""
    module, _, name = function.partition(":")

    def call(*arguments: Any) -> Any:
        # What the ``import`` statement calls, since ``-X importtime`` does not see importlib.import_module.
        return getattr(__import__(module, fromlist=(name,)), name)(*arguments)

    return call
