"""A graph file, validated with the installed plugins: for commands that plugins add."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .._plugins.loader import load
from .graph import Graph
from .validate import load_graph


def read_graph(path: Path, *, profile: str | None = None, overrides: Sequence[str] = ()) -> Graph:
    """The graph of a file. ``overrides`` are ``ROLE.ID.OPTION=VALUE``. Raises GraphError with every problem."""
    return load_graph(path, load(), profile=profile, overrides=overrides)
