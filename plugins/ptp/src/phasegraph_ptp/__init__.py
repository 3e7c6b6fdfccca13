"""Phasegraph plugin: IEEE 1588 (PTP) for media networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from phasegraph import hookimpl

if TYPE_CHECKING:
    from phasegraph import ClockKind, Graph, Problem


@hookimpl
def register_clocks() -> Iterable[ClockKind[Any]]:
    """The kinds ``ptp`` and ``ptp4l``."""
    from .clock import KIND as PTP
    from .ptp4l.node import KIND as PTP4L

    return [PTP, PTP4L]


@hookimpl
def validate_graph(graph: Graph) -> Iterable[Problem]:
    """Options of ``ptp`` clocks that their profiles, or each other, do not allow."""
    from phasegraph import Problem

    from .instance import problems_of
    from .options import PtpConfig

    return [
        Problem(f"{node.role}.{node.id}.{option}", message, hint)
        for node in graph.nodes.values()
        if isinstance(node.config, PtpConfig)
        for option, message, hint in problems_of(node.config)
    ]
