"""The order in which nodes are built; cycles are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from .._core.config import FilePath, Ref
from .._core.role import Role
from .._option_types import Diagnostics
from .._option_types.wording import dotted_path
from .domains import UNKNOWN
from .parse_tables import ParsedNode

_MOST_CYCLES = 20
"""Cycles that are reported at most: each takes a walk over the whole graph."""


def build_order(
    parsed_nodes: Sequence[ParsedNode],
    domains: Mapping[str, str | None],
    writers: Mapping[str, ParsedNode],
    diagnostics: Diagnostics,
) -> tuple[str, ...]:
    """Ids in an order in which each node comes after the nodes that it needs. Reports cycles."""
    paths = {parsed.path: parsed.id for parsed in parsed_nodes}
    # Dictionaries as ordered sets: the order must not change from run to run.
    needs = {
        parsed.path: {need: None for need in _needs(parsed, domains, writers) if need in paths}
        for parsed in parsed_nodes
    }
    for _ in range(_MOST_CYCLES):
        try:
            return tuple(paths[path] for path in TopologicalSorter(needs).static_order())
        except CycleError as error:
            cycle: list[str] = error.args[1]  # each one needed by the next
            _report_cycle(cycle, diagnostics)
            del needs[cycle[1]][cycle[0]]
    return ()


def _needs(parsed: ParsedNode, domains: Mapping[str, str | None], writers: Mapping[str, ParsedNode]) -> list[str]:
    needs: list[str] = []
    for reference in parsed.references:
        if isinstance(reference.mark, Ref):
            needs.append(dotted_path(reference.mark.role, reference.value))
        elif isinstance(reference.mark, FilePath) and reference.mark.mode == "read" and reference.value in writers:
            needs.append(writers[reference.value].path)
    clock = domains.get(parsed.path)
    if parsed.domain_rule == "clock" and clock not in (None, UNKNOWN):
        needs.append(dotted_path(Role.CLOCK, str(clock)))
    return needs


def _report_cycle(cycle: list[str], diagnostics: Diagnostics) -> None:
    # Named by its first path, whichever node the sorter met first.
    if len(cycle) == 2:
        diagnostics.error(
            cycle[0], "this node needs itself: by a reference, or by a file that it both reads and writes"
        )
        return
    ring = cycle[:-1]
    first = ring.index(min(ring))
    ring = ring[first:] + ring[:first]
    diagnostics.error(
        ring[0],
        f"these nodes need each other in a cycle: {' -> '.join([*ring, ring[0]])}",
        "remove one input, fallback or file of the cycle",
    )
