"""Configuration: from graph.toml to a graph that is right, or to every reason why it is not."""

from __future__ import annotations

from .validate import Examination, examine_file, examine_text, load_graph, parse_graph
from .graph import Edge, Graph, GraphNode

__all__ = [
    "Edge",
    "Examination",
    "Graph",
    "GraphNode",
    "examine_file",
    "examine_text",
    "load_graph",
    "parse_graph",
]
