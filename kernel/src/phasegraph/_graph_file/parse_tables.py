"""From a document to drafts of nodes: the shape of the file, ids, kinds, and every table's options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from .._core.config import NodeConfig
from .._core.kinds import AnyKind, ResamplerKind
from .._option_types.from_struct import record_of
from .._option_types.shape import WRONG, Mention, Reading
from .._option_types.wording import did_you_mean, either, place, show
from .._plugins.loader import Registry
from .unknown_kinds import find_kind
from .overlay import GRAPH_ROLES

SCHEMA = 1
"""The version of graph.toml that this kernel reads."""
_LONGEST_ID = 64
ID_PATTERN = f"^[A-Za-z0-9_-]{{1,{_LONGEST_ID}}}$"
"""What an id looks like, as a regular expression."""


class Draft(msgspec.Struct, frozen=True):
    """A node as far as its table could be read; what else is wrong with the graph can still be found."""

    role: str
    id: str
    kind: AnyKind | None = None
    values: dict[str, Any] = {}
    """The options that could be read, by attribute, with defaults."""
    config: NodeConfig | None = None
    """None where anything about the table is wrong."""

    @property
    def path(self) -> str:
        """Place in the graph."""
        return place(self.role, self.id)

    @property
    def domain_rule(self) -> str:
        """Whose time paces the node: ``clock``, ``device`` or ``none``."""
        return getattr(self.kind, "domain", "none")

    def mentions(self) -> Iterator[Mention]:
        """The nodes and files that its options name."""
        if self.kind is not None and not isinstance(self.kind, ResamplerKind):
            yield from record_of(self.kind.config).mentions(self.values, self.path)


def read_tables(document: Mapping[str, Any], registry: Registry, reading: Reading) -> list[Draft]:
    """A draft of every node, in the order in which roles start; what is wrong goes to ``reading``."""
    _check_schema(document, reading)
    for key, value in document.items():
        if key not in (*GRAPH_ROLES, "schema"):
            known = (*GRAPH_ROLES, "profiles", "schema")
            what = "unknown role" if isinstance(value, Mapping) else "unknown key"
            reading.wrong(place("", key), what, did_you_mean(key, known) or f"roles are {either(GRAPH_ROLES, 'and')}")
    drafts: dict[str, Draft] = {}
    result: list[Draft] = []
    for role in GRAPH_ROLES:
        nodes = document.get(role, {})
        if not isinstance(nodes, Mapping):
            reading.unexpected(role, f"tables such as [{role}.NAME]", nodes)
            continue
        for id, table in nodes.items():
            draft = _read_node(role, id, table, registry, reading)
            if draft is None:
                continue
            if id in drafts:
                used = f"the id '{id}' is used by {drafts[id].path} too"
                reading.wrong(draft.path, used, "ids are unique in a graph: rename one")
            drafts.setdefault(id, draft)
            result.append(draft)
    return result


def _check_schema(document: Mapping[str, Any], reading: Reading) -> None:
    version = document.get("schema")
    if version is None:
        reading.wrong("schema", f"missing: expected schema = {SCHEMA}", "put it in the first line")
    elif isinstance(version, bool) or version != SCHEMA:
        newer = isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA
        hint = "a newer phasegraph may be able to read this graph" if newer else ""
        reading.wrong("schema", f"this kernel reads schema {SCHEMA}, got {show(version)}", hint)


def _read_node(role: str, id: str, table: Any, registry: Registry, reading: Reading) -> Draft | None:
    at = place(role, id)
    if not isinstance(table, Mapping):
        reading.unexpected(at, "a table", table, f"write [{role}.NAME], one table for each node")
        return None
    if not re.fullmatch(ID_PATTERN.strip("^$"), id):
        reading.wrong(at, f"an id has 1 to {_LONGEST_ID} letters, digits, '-' and '_', and nothing else")
    kind = find_kind(registry, role, table, at, reading)
    if kind is None or isinstance(kind, ResamplerKind):
        return Draft(role, id)
    record = record_of(kind.config)
    options = {name: value for name, value in table.items() if name != "kind"}
    values, complete = record.read_options(options, at, reading)
    config = record.make(values, at, reading) if complete else WRONG
    return Draft(role, id, kind, values, None if config is WRONG else config)
