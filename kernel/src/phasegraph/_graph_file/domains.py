"""Clock domains: whose time paces each source and sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .._core.config import as_inputs
from .._core.role import Role
from .._option_types import Diagnostics
from .._option_types.wording import dotted_path, format_value, join_words
from .parse_tables import ParsedNode

UNKNOWN: Final = "?"
"""The domain of a node whose domain cannot be determined because of other problems; no clock has this id."""


def find_domains(parsed_nodes: Sequence[ParsedNode], diagnostics: Diagnostics) -> dict[str, str | None]:
    """The domain of every node, by its path in the graph: a clock's id, ``device:ID``, None or `UNKNOWN`."""
    clocks = {parsed.id: None for parsed in parsed_nodes if parsed.role is Role.CLOCK}
    domains: dict[str, str | None] = {}
    for parsed in parsed_nodes:  # sources come before sinks
        if parsed.role is Role.CLOCK:
            domains[parsed.path] = parsed.id
        elif parsed.role is Role.COMPENSATOR:
            domains[parsed.path] = None
        elif parsed.kind is None:
            domains[parsed.path] = UNKNOWN
        elif parsed.domain_rule == "device":
            domains[parsed.path] = f"device:{parsed.id}"
        elif parsed.domain_rule == "clock":
            domains[parsed.path] = _clock_domain(parsed, clocks, diagnostics)
        else:
            domains[parsed.path] = _input_domain(parsed, domains) if parsed.role is Role.SINK else None
    return domains


def describe_domain(domain: str | None) -> str:
    """A domain, for people: ``clock 'house'``."""
    if domain is None:
        return "no clock"
    if domain.startswith("device:"):
        return f"the clock of its own device, '{domain.removeprefix('device:')}'"
    return f"clock '{domain}'"


def _clock_domain(parsed: ParsedNode, clocks: Mapping[str, None], diagnostics: Diagnostics) -> str:
    named = parsed.values.get("clock")
    if isinstance(named, str):
        return named if named in clocks else UNKNOWN
    has_option = "clock" in getattr(getattr(parsed.kind, "config", None), "__struct_fields__", ())
    if has_option and "clock" not in parsed.values:
        return UNKNOWN  # the option is invalid, and that is already reported
    if len(clocks) == 1:
        return next(iter(clocks))
    path = dotted_path(parsed.path, "clock")
    if not clocks:
        diagnostics.error(path, "this node needs a clock, and the graph has none", "add a table [clocks.NAME]")
    else:
        names = join_words([format_value(clock) for clock in list(clocks)[:5]])
        diagnostics.error(path, f"no clock given, and the graph has {len(clocks)}", f"set clock = {names}")
    return UNKNOWN


def _input_domain(sink: ParsedNode, domains: Mapping[str, str | None]) -> str | None:
    # The sink has no clock of its own: it follows the first of its inputs that has one.
    if "input" not in sink.values:
        return UNKNOWN
    inputs = (domains.get(dotted_path(Role.SOURCE, entry.source), UNKNOWN) for entry in as_inputs(sink.values["input"]))
    return next((domain for domain in inputs if domain is not None), None)
