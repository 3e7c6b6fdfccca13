"""What is known of the nodes of a run's graph, so that a change of one node costs no more than that node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .overlay import Tables
from .parse_tables import ParsedNodes


class NodeMemo:
    """The nodes of a graph as they were last parsed, and as they were last written as tables.

    Any thread: both mappings are replaced as a whole, so that the loser of a race parses some nodes again.
    """

    def __init__(self) -> None:
        self.parsed: ParsedNodes = {}
        self.tables: Mapping[str, tuple[Any, Tables]] = {}
        """The config of a node, which is the same object as long as the node is unchanged, and its table; by id."""
