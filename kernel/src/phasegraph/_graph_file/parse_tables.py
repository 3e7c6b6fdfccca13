"""From a document to drafts of nodes: the shape of the file, ids, kinds, and every table's options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from .._core.config import NodeConfig
from .._core.kinds import AnyKind, ResamplerKind
from .._core.role import GRAPH_ROLES, Role
from .._option_types import INVALID, Diagnostics, Reference, record_of, references
from .._option_types.wording import did_you_mean, dotted_path, format_value, join_words
from .._plugins.loader import Registry
from .unknown_kinds import find_kind

SCHEMA = 1
"""The version of graph.toml that this kernel reads."""
_LONGEST_ID = 64
ID_PATTERN = f"^[A-Za-z0-9_-]{{1,{_LONGEST_ID}}}$"
"""What an id looks like, as a regular expression."""


class ParsedNode(msgspec.Struct, frozen=True):
    """A node as far as its table could be read; what else is wrong with the graph can still be found."""

    role: Role
    id: str
    kind: AnyKind | None = None
    values: dict[str, Any] = {}
    """The options that could be read, by attribute, with defaults."""
    config: NodeConfig | None = None
    """None where anything about the table is wrong."""

    @property
    def path(self) -> str:
        """Place in the graph."""
        return dotted_path(self.role, self.id)

    @property
    def domain_rule(self) -> str:
        """Whose time paces the node: ``clock``, ``device`` or ``none``."""
        return getattr(self.kind, "domain", "none")

    def references(self) -> Iterator[Reference]:
        """The nodes and files that its options name."""
        if self.kind is not None and not isinstance(self.kind, ResamplerKind):
            yield from references(record_of(self.kind.config), self.values, self.path)


def parse_tables(document: Mapping[str, Any], registry: Registry, diagnostics: Diagnostics) -> list[ParsedNode]:
    """A draft of every node, in the order in which roles start; what is wrong goes to ``diagnostics``."""
    _check_schema(document, diagnostics)
    for key, value in document.items():
        if key not in (*GRAPH_ROLES, "schema"):
            known = (*GRAPH_ROLES, "profiles", "schema")
            what = "unknown role" if isinstance(value, Mapping) else "unknown key"
            diagnostics.error(
                dotted_path("", key), what, did_you_mean(key, known) or f"roles are {join_words(GRAPH_ROLES, 'and')}"
            )
    parsed_nodes: dict[str, ParsedNode] = {}
    result: list[ParsedNode] = []
    for role in GRAPH_ROLES:
        nodes = document.get(role, {})
        if not isinstance(nodes, Mapping):
            diagnostics.unexpected(role, f"tables such as [{role}.NAME]", nodes)
            continue
        for id, table in nodes.items():
            parsed = _read_node(role, id, table, registry, diagnostics)
            if parsed is None:
                continue
            if id in parsed_nodes:
                used = f"the id '{id}' is used by {parsed_nodes[id].path} too"
                diagnostics.error(parsed.path, used, "ids are unique in a graph: rename one")
            parsed_nodes.setdefault(id, parsed)
            result.append(parsed)
    return result


def _check_schema(document: Mapping[str, Any], diagnostics: Diagnostics) -> None:
    version = document.get("schema")
    if version is None:
        diagnostics.error("schema", f"missing: expected schema = {SCHEMA}", "put it in the first line")
    elif isinstance(version, bool) or version != SCHEMA:
        newer = isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA
        hint = "a newer phasegraph may be able to read this graph" if newer else ""
        diagnostics.error("schema", f"this kernel reads schema {SCHEMA}, got {format_value(version)}", hint)


def _read_node(role: Role, id: str, table: Any, registry: Registry, diagnostics: Diagnostics) -> ParsedNode | None:
    at = dotted_path(role, id)
    if not isinstance(table, Mapping):
        diagnostics.unexpected(at, "a table", table, f"write [{role}.NAME], one table for each node")
        return None
    if not re.fullmatch(ID_PATTERN.strip("^$"), id):
        diagnostics.error(at, f"an id has 1 to {_LONGEST_ID} letters, digits, '-' and '_', and nothing else")
    kind = find_kind(registry, role, table, at, diagnostics)
    if kind is None or isinstance(kind, ResamplerKind):
        return ParsedNode(role, id)
    record = record_of(kind.config)
    options = {name: value for name, value in table.items() if name != "kind"}
    values, complete = record.decode_options(options, at, diagnostics)
    config = record.construct(values, at, diagnostics) if complete else INVALID
    return ParsedNode(role, id, kind, values, None if config is INVALID else config)
