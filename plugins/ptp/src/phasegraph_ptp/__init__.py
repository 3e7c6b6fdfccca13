"""Phasegraph plugin: IEEE 1588 (PTP) for media networks.

What makes a clock is imported when a graph has one: of kinds, the options are enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from phasegraph import hookimpl

if TYPE_CHECKING:
    from phasegraph import Build, ClockKind, ClockSource, Graph, Problem

    from .options import PtpConfig


@hookimpl
def register_clocks() -> Iterable[ClockKind[Any]]:
    """The kinds ``ptp`` and ``ptp4l``."""
    from phasegraph import ClockKind, call_imported

    from .options import EXAMPLE, PtpConfig
    from .ptp4l.options import EXAMPLE as PTP4L_EXAMPLE
    from .ptp4l.options import Ptp4lConfig

    return [
        ClockKind(
            kind="ptp",
            summary="Follows an IEEE 1588 grandmaster, or is one, and leaves the system's clock alone.",
            config=PtpConfig,
            factory=_ptp,
            example=EXAMPLE,
        ),
        ClockKind(
            kind="ptp4l",
            summary="Follows a ptp4l that runs on this computer, and opens no port of PTP.",
            config=Ptp4lConfig,
            factory=call_imported("phasegraph_ptp.ptp4l.ptp4l_clock:Ptp4lClock"),
            example=PTP4L_EXAMPLE,
        ),
    ]


@hookimpl
def validate_graph(graph: Graph) -> Iterable[Problem]:
    """Options of ``ptp`` clocks that their profiles, or each other, do not allow."""
    from .options import PtpConfig

    return [
        problem
        for node in graph.nodes.values()
        if isinstance(node.config, PtpConfig)
        for problem in _problems(f"{node.role}.{node.id}", node.config)
    ]


def _problems(path: str, config: PtpConfig) -> Iterable[Problem]:
    from phasegraph import Problem

    from .settings_from_config import option_problems

    return [Problem(f"{path}.{option}", message, hint) for option, message, hint in option_problems(config)]


def _ptp(config: PtpConfig, build: Build) -> ClockSource:
    if not isinstance(config.interface, str) and len(config.interface) > 1:
        from .redundant_clock import RedundantPtpClock

        return RedundantPtpClock(config, build)
    from .ptp_clock import PtpClock

    return PtpClock(config, build)
