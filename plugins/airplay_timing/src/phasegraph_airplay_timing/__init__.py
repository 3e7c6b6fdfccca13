"""Phasegraph plugin: AirPlay timing.

What makes a clock is imported when a graph has one: of kinds, the options are enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from phasegraph import hookimpl

if TYPE_CHECKING:
    import click

    from phasegraph import ClockKind, Graph, Problem


@hookimpl
def register_clocks() -> Iterable[ClockKind[Any]]:
    """The kinds ``airplay`` and ``nqptp``."""
    from phasegraph import ClockKind, call_imported

    from .nqptp.options import EXAMPLE as NQPTP_EXAMPLE
    from .nqptp.options import NqptpConfig
    from .options import EXAMPLE, AirplayConfig

    return [
        ClockKind(
            kind="airplay",
            summary="Follows the clock of an AirPlay group, or is it.",
            config=AirplayConfig,
            factory=call_imported("phasegraph_airplay_timing.airplay_clock:AirplayClock"),
            example=EXAMPLE,
        ),
        ClockKind(
            kind="nqptp",
            summary="Reads the time that nqptp has, or kernel airplay serve, for the receivers of this computer.",
            config=NqptpConfig,
            factory=call_imported("phasegraph_airplay_timing.nqptp.nqptp_clock:NqptpClock"),
            example=NQPTP_EXAMPLE,
        ),
    ]


@hookimpl
def register_commands(cli: click.Group) -> None:
    """``kernel airplay``."""
    from .serve_command import airplay_command

    cli.add_command(airplay_command)


@hookimpl
def validate_graph(graph: Graph) -> Iterable[Problem]:
    """Problems of the ``airplay`` clocks' options, beyond their types and beside other clocks."""
    from phasegraph import Problem

    from .options import AirplayConfig, clocks_without_unicast, problems_of

    found = [
        Problem(f"{node.path}.{option}", message, hint)
        for node in graph.nodes.values()
        if isinstance(node.config, AirplayConfig)
        for option, message, hint in problems_of(node.config)
    ]
    clocks = [graph.nodes[id] for id in graph.order if graph.nodes[id].role == "clocks"]
    found += [
        Problem(
            f"{node.path}.event-port",
            f"clock {other!r} has the same UDP ports of that interface, and receives the datagrams for this one",
            "set another interface or other ports; or, if the other clock uses multicast, write this one after it",
        )
        for node, other in clocks_without_unicast(clocks)
    ]
    return found
