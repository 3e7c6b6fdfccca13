"""Clock domains: whose time paces each source and sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .._core.config import as_inputs
from .._option_types.shape import Reading
from .._option_types.wording import either, place, show
from .parse_tables import Draft

UNKNOWN: Final = "?"
"""The domain of a node that is too wrong to tell; no clock has this id."""


def find_domains(drafts: Sequence[Draft], reading: Reading) -> dict[str, str | None]:
    """The domain of every node, by its place in the graph: a clock's id, ``device:ID``, None or `UNKNOWN`."""
    clocks = {draft.id: None for draft in drafts if draft.role == "clocks"}
    domains: dict[str, str | None] = {}
    for draft in drafts:  # sources come before sinks
        if draft.role == "clocks":
            domains[draft.path] = draft.id
        elif draft.role == "compensators":
            domains[draft.path] = None
        elif draft.kind is None:
            domains[draft.path] = UNKNOWN
        elif draft.domain_rule == "device":
            domains[draft.path] = f"device:{draft.id}"
        elif draft.domain_rule == "clock":
            domains[draft.path] = _named_clock(draft, clocks, reading)
        else:
            domains[draft.path] = _adopted(draft, domains) if draft.role == "sinks" else None
    return domains


def describe(domain: str | None) -> str:
    """A domain in words: ``clock 'house'``."""
    if domain is None:
        return "no clock"
    if domain.startswith("device:"):
        return f"the clock of its own device, '{domain.removeprefix('device:')}'"
    return f"clock '{domain}'"


def _named_clock(draft: Draft, clocks: Mapping[str, None], reading: Reading) -> str:
    named = draft.values.get("clock")
    if isinstance(named, str):
        return named if named in clocks else UNKNOWN
    has_option = "clock" in getattr(getattr(draft.kind, "config", None), "__struct_fields__", ())
    if has_option and "clock" not in draft.values:
        return UNKNOWN  # what was written is wrong, and already said
    if len(clocks) == 1:
        return next(iter(clocks))
    path = place(draft.path, "clock")
    if not clocks:
        reading.wrong(path, "it runs on a clock, and the graph has none", "add a table [clocks.NAME]")
    else:
        names = either([show(clock) for clock in list(clocks)[:5]])
        reading.wrong(path, f"the graph has {len(clocks)} clocks: say which one paces this node", f"clock = {names}")
    return UNKNOWN


def _adopted(sink: Draft, domains: Mapping[str, str | None]) -> str | None:
    # Nothing paces the sink itself, so it follows the first of its inputs that has a pace.
    if "input" not in sink.values:
        return UNKNOWN
    inputs = (domains.get(place("sources", entry.source), UNKNOWN) for entry in as_inputs(sink.values["input"]))
    return next((domain for domain in inputs if domain is not None), None)
