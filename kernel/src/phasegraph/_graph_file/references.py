"""What the options of nodes refer to: other nodes, kinds of resampler, and files."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from .._core.config import DEFAULT_RESAMPLER, FilePath, Ref
from .._core.files import file_problem
from .._core.role import GRAPH_ROLES, Role
from .._option_types import Diagnostics
from .._option_types.wording import did_you_mean, format_value
from .._plugins.loader import Registry
from .parse_tables import ParsedNode
from .unknown_kinds import unknown_kind


def check_references(
    parsed_nodes: Sequence[ParsedNode], used: Container[str | None], registry: Registry, diagnostics: Diagnostics
) -> None:
    """Report every reference to a node that does not exist, or that has another role.

    ``used`` are the compensators of crossings: only their resampler must be installed even if it is the default.
    """
    ids: dict[Role, set[str]] = {role: set() for role in GRAPH_ROLES}
    for parsed in parsed_nodes:
        ids[parsed.role].add(parsed.id)
    for parsed in parsed_nodes:
        for reference in parsed.references:
            if not isinstance(reference.mark, Ref):
                continue
            role, name = reference.mark.role, reference.value
            if role is Role.RESAMPLER:
                needed = parsed.id in used or name != DEFAULT_RESAMPLER
                if needed and name not in registry.resamplers:
                    diagnostics.error(reference.path, *unknown_kind(registry, role, name))
            elif name not in ids[role]:
                diagnostics.error(reference.path, *_missing_node(role, name, ids))


def _missing_node(role: Role, id: str, all_ids: Mapping[Role, set[str]]) -> tuple[str, str]:
    wanted = role.singular
    other = next((other for other in GRAPH_ROLES if id in all_ids[other]), None)
    if other is not None:
        return f"expected the id of a {wanted}, but '{id}' is a {other.singular}", ""
    ids = sorted(all_ids[role])
    hint = did_you_mean(id, ids) or ("" if ids else f"the graph has none: add a table [{role}.NAME]")
    return f"there is no {wanted} {format_value(id)}", hint


def writers_of(parsed_nodes: Sequence[ParsedNode], diagnostics: Diagnostics) -> dict[str, ParsedNode]:
    """The node that writes each file, by absolute path. Reports files that two nodes would write."""
    writers: dict[str, ParsedNode] = {}
    for parsed in parsed_nodes:
        for reference in parsed.references:
            if isinstance(reference.mark, FilePath) and reference.mark.mode == "write":
                first = writers.setdefault(reference.value, parsed)
                if first is not parsed:
                    diagnostics.error(reference.path, f"{first.path} writes the same file, {reference.value}")
    return writers


def check_files(parsed_nodes: Sequence[ParsedNode], writers: dict[str, ParsedNode], diagnostics: Diagnostics) -> None:
    """Report files that are no regular files, and input files that cannot be read and that no node writes."""
    for parsed in parsed_nodes:
        for reference in parsed.references:
            if not isinstance(reference.mark, FilePath):
                continue
            if reference.mark.mode == "read" and reference.value in writers:
                continue
            problem = file_problem(reference.value, to_write=reference.mark.mode == "write")
            if problem:
                diagnostics.error(reference.path, problem)
