"""Phasegraph plugin: AirPlay timing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from phasegraph import ClockKind, Graph, Problem, hookimpl


@hookimpl
def register_clocks() -> Iterable[ClockKind[Any]]:
    """The kind ``airplay``."""
    from .node import KIND

    return [KIND]


@hookimpl
def validate_graph(graph: Graph) -> Iterable[Problem]:
    """What is wrong with the options of the ``airplay`` clocks beyond their types."""
    from .options import AirplayConfig, problems_of

    return [
        Problem(f"{node.path}.{option}", message, hint)
        for node in graph.nodes.values()
        if isinstance(node.config, AirplayConfig)
        for option, message, hint in problems_of(node.config)
    ]
