"""Entry points of installed distributions.

They are read from the ``.dist-info`` and ``.egg-info`` folders of ``sys.path`` themselves: to import
`importlib.metadata`, and to let it look for them, takes 25 ms of CPU time, a tenth of a start. It is asked where
something else than such a folder may have some, as a zip file or an egg.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from functools import reduce
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple

_VALUE = re.compile(r"([\w.]+)\s*(?::\s*([\w.]+))?\s*(?:\[.*\])?")
_METADATA = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}


class EntryPoint(NamedTuple):
    """One line of a distribution's entry points."""

    name: str
    value: str
    """``module``, or ``module:attribute``."""
    version: str = "?"
    """Of the distribution."""

    def load(self) -> Any:
        """Import the module; returns it, or its attribute."""
        match = _VALUE.fullmatch(self.value)
        if match is None:
            raise ValueError(f"{self.value!r} is not module:attribute")
        module, attributes = match.groups()
        return reduce(getattr, (attributes or "").split(".") if attributes else (), importlib.import_module(module))


def entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group. Of two distributions of one name, the first on the path counts."""
    if any(os.path.isfile(path) or path.endswith(".egg") for path in sys.path) or any(
        hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder
    ):
        return _by_importlib(group)
    header, known, found = f"[{group}]", set[str](), list[EntryPoint]()
    for folder in _metadata_folders():
        name = re.sub(r"[-_.]+", "_", folder.name.removesuffix(folder.suffix).partition("-")[0]).lower()
        if name in known or not name:
            continue
        known.add(name)
        try:
            text = (folder / "entry_points.txt").read_text("utf-8")
        except OSError:
            continue
        if header in text:
            version = _version(folder)
            found += [EntryPoint(*line, version) for line in _lines(text, header)]
    return found


def _metadata_folders() -> Iterator[Path]:
    for path in sys.path:
        try:
            names = os.listdir(path or ".")
        except OSError:
            continue
        yield from (Path(path, name) for name in names if name.endswith(tuple(_METADATA)))


def _lines(text: str, header: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == header and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _version(folder: Path) -> str:
    try:
        text = (folder / _METADATA[folder.suffix]).read_text("utf-8")
    except OSError:
        return "?"
    line = re.search(r"^Version: (\S+)", text, re.MULTILINE)
    return line[1] if line else "?"


def _by_importlib(group: str) -> list[EntryPoint]:
    from importlib import metadata

    return [
        EntryPoint(entry.name, entry.value, entry.dist.version if entry.dist is not None else "?")
        for entry in metadata.entry_points(group=group)
    ]
