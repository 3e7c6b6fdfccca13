"""From graph.toml to a valid graph, or to every problem that it has."""

from __future__ import annotations

from .graph import Edge, Graph, GraphNode
from .validate import Validation, load_graph, parse_graph, validate_file, validate_text

__all__ = [
    "Edge",
    "Graph",
    "GraphNode",
    "Validation",
    "load_graph",
    "parse_graph",
    "validate_file",
    "validate_text",
]
