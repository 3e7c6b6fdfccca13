"""The order in which nodes are built, and cycles, which have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from .._core.config import FilePath, Ref
from .._option_types.shape import Reading
from .._option_types.wording import place
from .domains import UNKNOWN
from .parse_tables import Draft

_MOST_CYCLES = 20
"""How many are told: each takes a walk over the whole graph."""


def build_order(
    drafts: Sequence[Draft],
    domains: Mapping[str, str | None],
    writers: Mapping[str, Draft],
    reading: Reading,
) -> tuple[str, ...]:
    """Ids so that each node comes after those that it needs. Notes cycles."""
    paths = {draft.path: draft.id for draft in drafts}
    # Dictionaries as ordered sets: the order must not change from run to run.
    needs = {draft.path: {need: None for need in _needs(draft, domains, writers) if need in paths} for draft in drafts}
    for _ in range(_MOST_CYCLES):
        try:
            return tuple(paths[path] for path in TopologicalSorter(needs).static_order())
        except CycleError as error:
            cycle: list[str] = error.args[1]  # each one needed by the next
            _note(cycle, reading)
            del needs[cycle[1]][cycle[0]]
    return ()


def _needs(draft: Draft, domains: Mapping[str, str | None], writers: Mapping[str, Draft]) -> list[str]:
    needs: list[str] = []
    for mention in draft.mentions():
        if isinstance(mention.mark, Ref):
            needs.append(place(mention.mark.role, mention.value))
        elif isinstance(mention.mark, FilePath) and mention.mark.mode == "read" and mention.value in writers:
            needs.append(writers[mention.value].path)
    clock = domains.get(draft.path)
    if draft.domain_rule == "clock" and clock not in (None, UNKNOWN):
        needs.append(place("clocks", str(clock)))
    return needs


def _note(cycle: list[str], reading: Reading) -> None:
    # Told once, whichever of its nodes the sorter met first.
    if len(cycle) == 2:
        reading.wrong(cycle[0], "it needs itself: by a reference, or by a file that it both reads and writes")
        return
    ring = cycle[:-1]
    first = ring.index(min(ring))
    ring = ring[first:] + ring[:first]
    reading.wrong(
        ring[0],
        f"a cycle: {' -> '.join([*ring, ring[0]])}, each needed by the next",
        "cut it at one input, fallback or file",
    )
