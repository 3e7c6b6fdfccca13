"""Edges: which sources each sink reads, and which of these connections cross clock domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._core.config import as_inputs
from .._core.role import Role
from .._option_types import Diagnostics
from .._option_types.wording import dotted_path, format_value, join_words
from .._plugins.loader import Registry
from .domains import UNKNOWN, describe_domain
from .graph import Edge
from .parse_tables import ParsedNode


def find_edges(
    parsed_nodes: Sequence[ParsedNode], domains: Mapping[str, str | None], diagnostics: Diagnostics
) -> tuple[Edge, ...]:
    """The edges of all sinks. Reports empty inputs and empty channel maps."""
    edges: list[Edge] = []
    known = {parsed.id for parsed in parsed_nodes if parsed.role is Role.SOURCE}
    for sink in parsed_nodes:
        if sink.role is not Role.SINK or "input" not in sink.values:
            continue
        at = dotted_path(sink.path, "input")
        inputs = as_inputs(sink.values["input"])
        if not inputs:
            diagnostics.error(at, "expected at least one source, got an empty list")
        for index, entry in enumerate(inputs):
            if entry.channels == ():
                hint = "omit `channels` to read all of them"
                diagnostics.error(f"{at}[{index}].channels", "expected at least one channel, got an empty list", hint)
            if entry.source not in known:
                continue
            ends = domains[dotted_path(Role.SOURCE, entry.source)], domains[sink.path]
            crossing = UNKNOWN not in ends and None not in ends and ends[0] != ends[1]
            compensator = sink.values.get("compensator") if crossing else None
            edges.append(
                Edge(
                    source=entry.source,
                    sink=sink.id,
                    channels=entry.channels,
                    crossing=crossing,
                    compensator=compensator,
                )
            )
    return tuple(edges)


def check_edges(
    parsed_nodes: Sequence[ParsedNode],
    edges: Sequence[Edge],
    domains: Mapping[str, str | None],
    registry: Registry,
    diagnostics: Diagnostics,
) -> None:
    """Report crossings without a compensator, and sources without a clock that no sink reads."""
    sinks = {parsed.id: parsed for parsed in parsed_nodes if parsed.role is Role.SINK}
    hint = _compensator_hint(parsed_nodes, registry)
    reported: set[tuple[str, str]] = set()  # there may be two edges between the same nodes, with different channels
    for edge in edges:
        values = sinks[edge.sink].values
        if not edge.crossing or edge.compensator is not None or "compensator" not in values:
            continue
        if (edge.source, edge.sink) in reported:
            continue
        reported.add((edge.source, edge.sink))
        ends = domains[dotted_path(Role.SOURCE, edge.source)], domains[dotted_path(Role.SINK, edge.sink)]
        diagnostics.error(
            dotted_path(dotted_path(Role.SINK, edge.sink), "compensator"),
            f"the edge from '{edge.source}' ({describe_domain(ends[0])}) to '{edge.sink}' ({describe_domain(ends[1])}) "
            "crosses clock domains and names no compensator",
            hint,
        )
    if any("input" not in sink.values for sink in sinks.values()):
        return  # a sink whose input is invalid may be the one that reads the source
    read = {edge.source for edge in edges}
    for parsed in parsed_nodes:
        unread = parsed.role is Role.SOURCE and parsed.id not in read
        if unread and parsed.kind is not None and parsed.domain_rule == "none":
            hint = f'give a sink input = "{parsed.id}", or remove the table'
            diagnostics.error(parsed.path, "no sink reads this source, and it has no clock of its own", hint)


def _compensator_hint(parsed_nodes: Sequence[ParsedNode], registry: Registry) -> str:
    ids = [parsed.id for parsed in parsed_nodes if parsed.role is Role.COMPENSATOR][:5]
    if ids:
        return f"add compensator = {join_words([format_value(id) for id in ids])}"
    kinds = sorted(registry.compensators)
    kind = "combined" if "combined" in kinds or not kinds else kinds[0]
    return f'add compensator = "align" and a table [compensators.align] with kind = "{kind}"'
