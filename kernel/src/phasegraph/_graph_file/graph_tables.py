"""A valid graph as the tables of a graph file, and values that are laid over them by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.config import RecorderConfig
from .._core.role import GRAPH_ROLES, Role
from .._option_types import Diagnostics, record_of
from .._option_types.wording import did_you_mean, format_value, join_words
from .._plugins.loader import CONTROL
from .graph import Graph, GraphNode
from .node_memo import NodeMemo
from .overlay import Tables

_ROLES = {name: role for role in GRAPH_ROLES for name in (role.value, role.singular)}


def node_table(node: GraphNode) -> Tables:
    """A node as its table: the kind, and the options that differ from their defaults. Paths are absolute."""
    return {"kind": node.kind.kind, **options_table(node.config)}


def options_table(config: Any) -> Tables:
    """The options of a config struct that differ from their defaults, as a file writes them."""
    table: Tables = {}
    for option in record_of(type(config)).options:
        value = getattr(config, option.attribute)
        if value is not None and (option.required or value != option.make_default()):
            table[option.name] = option.written(value)
    return table


def graph_tables(graph: Graph, memo: NodeMemo | None = None) -> Tables:
    """A graph as a file has it, by role and id, with everything that was laid over the file.

    The tables of nodes that ``memo`` knows are the same objects as before: they are not to be changed.
    """
    known = memo.tables if memo is not None else {}
    written: dict[str, tuple[Any, Tables]] = {}
    tables: Tables = {"schema": graph.schema}
    if graph.recorder is not None:
        options = record_of(RecorderConfig).options
        tables["recorder"] = {one.name: one.written(getattr(graph.recorder, one.attribute)) for one in options}
    if graph.control:
        tables[CONTROL] = {each.kind.kind: options_table(each.config) for each in graph.control}
    for role in GRAPH_ROLES:
        nodes = graph.of_role(role)
        for node in nodes:
            config, table = known.get(node.id, (None, {}))
            written[node.id] = node.config, table if config is node.config else node_table(node)
        if nodes:
            tables[role.value] = {node.id: written[node.id][1] for node in nodes}
    if memo is not None:
        memo.tables = written
    return tables


def apply_settings(tables: Tables, settings: Mapping[str, Any], diagnostics: Diagnostics) -> Tables:
    """Tables with values laid over them, by path: ``ROLE.ID`` (a whole table) or ``ROLE.ID.OPTION``; None removes.

    A role is ``source`` or ``sources``.
    """
    result = {name: dict(table) if isinstance(table, dict) else table for name, table in tables.items()}
    for path, value in settings.items():
        name, _, rest = path.partition(".")
        id, _, option = rest.partition(".")
        role = _ROLES.get(name)
        if role is None or not id:
            hint = (
                did_you_mean(name, _ROLES) or f"roles are {join_words([role.singular for role in GRAPH_ROLES], 'and')}"
            )
            diagnostics.error(path, "expected ROLE.ID or ROLE.ID.OPTION, such as source.stage.link-offset", hint)
        else:
            nodes = result.setdefault(role.value, {})
            if option:
                _set_option(nodes, role, id, option.split("."), value, path, diagnostics)
            elif value is not None:
                nodes[id] = value
            elif nodes.pop(id, None) is None:
                _missing(nodes, role, id, path, diagnostics)
    return {name: table for name, table in result.items() if table != {}}


def _set_option(
    nodes: Tables, role: Role, id: str, names: list[str], value: Any, path: str, diagnostics: Diagnostics
) -> None:
    if not isinstance(nodes.get(id), Mapping):
        _missing(nodes, role, id, path, diagnostics)
        return
    table = nodes[id] = dict(nodes[id])
    for name in names[:-1]:
        below = table.get(name)
        table[name] = dict(below) if isinstance(below, Mapping) else {}
        table = table[name]
    if value is None:
        table.pop(names[-1], None)
    else:
        table[names[-1]] = value


def _missing(nodes: Tables, role: Role, id: str, path: str, diagnostics: Diagnostics) -> None:
    diagnostics.error(path, f"there is no {role.singular} {format_value(id)}", did_you_mean(id, nodes))
