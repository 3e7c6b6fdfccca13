"""From a TOML document to nodes: top-level keys, ids, kinds, and the options of every table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from .._core.config import NodeConfig, RecorderConfig
from .._core.kinds import AnyKind, ResamplerKind
from .._core.node import path_in
from .._core.role import GRAPH_ROLES, Role
from .._option_types import INVALID, Diagnostics, Reference, record_of, references
from .._option_types.wording import did_you_mean, dotted_path, format_value, join_words
from .._plugins.loader import CONTROL, Registry, options_record
from .graph import ControlProcess
from .unknown_kinds import find_kind, unknown_control_process

SCHEMA = 1
"""The version of graph.toml that this version of Phasegraph reads."""
_LONGEST_ID = 64
ID_PATTERN = f"^[A-Za-z0-9_-]{{1,{_LONGEST_ID}}}$"
"""What an id looks like, as a regular expression."""


class ParsedNode(msgspec.Struct, frozen=True):
    """A node, as far as its table is valid; other problems of the graph can still be found."""

    role: Role
    id: str
    path: str
    """Place in the graph."""
    kind: AnyKind | None = None
    values: dict[str, Any] = {}
    """The valid options, by attribute, with defaults."""
    config: NodeConfig | None = None
    """None if anything about the table is invalid."""
    references: tuple[Reference, ...] = ()
    """The nodes and files that its options refer to."""

    @property
    def domain_rule(self) -> str:
        """Whose time paces the node: ``clock``, ``device`` or ``none``."""
        return getattr(self.kind, "domain", "none")


ParsedNodes = Mapping[tuple[str, ...], ParsedNode]
"""Nodes in which nothing is wrong, by all that they were parsed from: role, id, the folders of paths, and the table."""


def parse_tables(
    document: Mapping[str, Any],
    registry: Registry,
    diagnostics: Diagnostics,
    before: ParsedNodes = MappingProxyType({}),
) -> tuple[list[ParsedNode], ParsedNodes]:
    """Every node, in the order in which roles start; problems go to ``diagnostics``.

    Nodes that were parsed ``before`` are not parsed again. Returns those of this document too.
    """
    _check_schema(document, diagnostics)
    for key, value in document.items():
        if key not in (*GRAPH_ROLES, CONTROL, "recorder", "schema"):
            known = (*GRAPH_ROLES, CONTROL, "profiles", "recorder", "schema")
            what = "unknown role" if isinstance(value, Mapping) else "unknown key"
            diagnostics.error(
                dotted_path("", key), what, did_you_mean(key, known) or f"roles are {join_words(GRAPH_ROLES, 'and')}"
            )
    parsed_nodes: dict[str, ParsedNode] = {}
    result: list[ParsedNode] = []
    clean: dict[tuple[str, ...], ParsedNode] = {}
    folders = str(diagnostics.folder), str(diagnostics.cwd)
    for role in GRAPH_ROLES:
        nodes = document.get(role, {})
        if not isinstance(nodes, Mapping):
            diagnostics.unexpected(role, f"tables such as [{role}.NAME]", nodes)
            continue
        for id, table in nodes.items():
            origin = (role, id, *folders, _text_of(table))
            parsed = before.get(origin)
            if parsed is None:
                found = len(diagnostics.problems) + len(diagnostics.notes)
                parsed = _parse_node(role, id, table, registry, diagnostics)
                if parsed is None:
                    continue
                spotless = found == len(diagnostics.problems) + len(diagnostics.notes)
            else:
                spotless = True
            if spotless and origin[-1]:
                clean[origin] = parsed
            if id in parsed_nodes:
                used = f"the id '{id}' is used by {parsed_nodes[id].path} too"
                diagnostics.error(parsed.path, used, "ids are unique in a graph: rename one")
            parsed_nodes.setdefault(id, parsed)
            result.append(parsed)
    return result, clean


def _text_of(table: object) -> str:
    # Values that are equal and of different types, such as 1 and true, have different texts. Empty where there is none.
    try:
        return repr(table)
    except ValueError:  # a number of more digits than Python writes
        return ""


def parse_recorder(document: Mapping[str, Any], diagnostics: Diagnostics) -> RecorderConfig | None:
    """The flight recorder of a document, where it has one; problems go to ``diagnostics``."""
    table = document.get("recorder")
    if table is None:
        return None
    parsed: RecorderConfig | None = _parse_options(RecorderConfig, table, "recorder", diagnostics)
    if parsed is None or "folder" in table:
        return parsed
    return replace(parsed, folder=path_in(diagnostics.folder, parsed.folder))  # the default is as a file would have it


def parse_control(
    document: Mapping[str, Any], registry: Registry, diagnostics: Diagnostics
) -> tuple[ControlProcess, ...]:
    """The programs beside the graph of a document; problems go to ``diagnostics``."""
    tables = document.get(CONTROL, {})
    if not isinstance(tables, Mapping):
        diagnostics.unexpected(CONTROL, f"tables such as [{CONTROL}.KIND]", tables)
        return ()
    processes = []
    for name, table in tables.items():
        at, kind = dotted_path(CONTROL, name), registry.control_processes.get(name)
        if kind is None:
            diagnostics.error(at, *unknown_control_process(registry, name))
        elif (config := _parse_options(kind.config, table, at, diagnostics)) is not None:
            processes.append(ControlProcess(kind=kind, config=config))
    return tuple(processes)


def _parse_options(struct: type[msgspec.Struct], table: Any, at: str, diagnostics: Diagnostics) -> Any:
    # An instance of the struct; None, with problems reported, if the table is wrong.
    if not isinstance(table, Mapping):
        diagnostics.unexpected(at, "a table", table)
        return None
    record = record_of(struct)
    values, complete = record.decode_options(table, at, diagnostics)
    config = record.construct(values, at, diagnostics) if complete else INVALID
    return None if config is INVALID else config


def _check_schema(document: Mapping[str, Any], diagnostics: Diagnostics) -> None:
    version = document.get("schema")
    if version is None:
        diagnostics.error("schema", f"missing: expected schema = {SCHEMA}", "put it in the first line")
    elif isinstance(version, bool) or version != SCHEMA:
        newer = isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA
        hint = "this graph needs a newer version of Phasegraph" if newer else ""
        diagnostics.error("schema", f"expected schema {SCHEMA}, got {format_value(version)}", hint)


def _parse_node(role: Role, id: str, table: Any, registry: Registry, diagnostics: Diagnostics) -> ParsedNode | None:
    at = dotted_path(role, id)
    if not isinstance(table, Mapping):
        diagnostics.unexpected(at, "a table", table, f"write [{role}.NAME], one table for each node")
        return None
    if not re.fullmatch(ID_PATTERN.strip("^$"), id):
        diagnostics.error(at, f"expected an id of 1 to {_LONGEST_ID} letters, digits, '-' and '_'")
    kind = find_kind(registry, role, table, at, diagnostics)
    if kind is None or isinstance(kind, ResamplerKind):
        return ParsedNode(role, id, at)
    try:
        record = options_record(kind.config)
    except Exception as error:  # a plugin's types may make msgspec raise anything
        reason = f"the options of '{kind.kind}' cannot be described: {error}"
        diagnostics.error(at, reason, "install a matching version of its plugin; kernel plugins names it")
        return ParsedNode(role, id, at)
    options = {name: value for name, value in table.items() if name != "kind"}
    values, complete = record.decode_options(options, at, diagnostics)
    config = record.construct(values, at, diagnostics) if complete else INVALID
    named = tuple(references(record, values, at))
    return ParsedNode(role, id, at, kind, values, None if config is INVALID else config, named)
