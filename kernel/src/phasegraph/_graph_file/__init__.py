"""Configuration: from graph.toml to a graph that is right, or to every reason why it is not."""

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
