"""Tables laid over a graph for one run: a profile of the file, and ``--set`` of the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from .._core.role import GRAPH_ROLES, Role
from .._option_types import Diagnostics, Override
from .._option_types.wording import did_you_mean, dotted_path, format_value, join_words

Tables = dict[str, Any]
"""A TOML table; of a graph, of a role, or of a node."""


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tables:
    """``base`` with the entries of ``over``; tables within tables are merged, everything else is replaced."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = merge(below, value) if both else value  # type: ignore[arg-type]  # both are mappings here
    return merged


def _overlay(document: Tables, role: Role, id: str, table: Mapping[str, Any]) -> None:
    nodes = document.get(role)
    nodes = dict(nodes) if isinstance(nodes, Mapping) else {}
    base = nodes.get(id)
    base = base if isinstance(base, Mapping) else {}
    # Another kind has other options: those of the old kind would be unknown options.
    replaced = "kind" in table and table["kind"] != base.get("kind")
    nodes[id] = dict(table) if replaced else merge(base, table)
    document[role] = nodes


def apply_profile(document: Tables, name: str | None, diagnostics: Diagnostics) -> Tables:
    """The document without its profiles, with the tables of the requested profile laid over it."""
    rest = {key: value for key, value in document.items() if key != "profiles"}
    profiles = document.get("profiles", {})
    if not isinstance(profiles, Mapping):
        diagnostics.unexpected("profiles", "tables such as [profiles.NAME.sources.ID]", profiles)
        profiles = {}
    entries: list[tuple[str, Role, str, Mapping[str, Any]]] = []
    for profile, roles in profiles.items():
        entries += [
            (profile, *entry) for entry in _profile_tables(roles, dotted_path("profiles", profile), diagnostics)
        ]
    if name is None:
        return rest
    if name not in profiles:
        known = f"profiles are {join_words(list(profiles), 'and')}" if profiles else "the graph has none"
        diagnostics.error("profiles", f"there is no profile '{name}'", did_you_mean(name, profiles) or known)
    for profile, role, id, table in entries:
        if profile != name:
            continue
        where = dotted_path(dotted_path(dotted_path("profiles", profile), role), id)
        if "kind" in table or _node_exists(rest, role, id, where, diagnostics):
            _overlay(rest, role, id, table)
    return rest


def _profile_tables(roles: object, at: str, diagnostics: Diagnostics) -> list[tuple[Role, str, Mapping[str, Any]]]:
    tables: list[tuple[Role, str, Mapping[str, Any]]] = []
    if not isinstance(roles, Mapping):
        diagnostics.unexpected(at, "tables of roles", roles)
        return tables
    for role, nodes in roles.items():
        where = dotted_path(at, role)
        if role not in GRAPH_ROLES:
            diagnostics.error(where, "unknown role", did_you_mean(role, GRAPH_ROLES) or f"roles are {_roles()}")
        elif not isinstance(nodes, Mapping):
            diagnostics.unexpected(where, "tables of nodes", nodes)
        else:
            for id, table in nodes.items():
                if isinstance(table, Mapping):
                    tables.append((Role(role), id, table))
                else:
                    diagnostics.unexpected(dotted_path(where, id), "a table", table)
    return tables


def _roles() -> str:
    return join_words(GRAPH_ROLES, "and")


def _node_exists(document: Tables, role: Role, id: str, at: str, diagnostics: Diagnostics) -> bool:
    nodes = document.get(role)
    ids = list(nodes) if isinstance(nodes, Mapping) else []
    if id in ids:
        return True
    hint = did_you_mean(id, ids) or "to add one, set its kind too"
    diagnostics.error(at, f"there is no {role.singular} {format_value(id)}", hint)
    return False


def apply_overrides(document: Tables, overrides: Sequence[str], diagnostics: Diagnostics) -> Tables:
    """The document with every ``ROLE.ID.OPTION=VALUE`` laid over it; of several values of one option the last wins."""
    result = dict(document)
    overlays: dict[tuple[Role, str], Tables] = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        parts = [part.strip() for part in path.split(".")]
        if not equals or not 3 <= len(parts) <= 8 or not all(parts):
            diagnostics.error(
                "--set", f"expected ROLE.ID.OPTION=VALUE, such as sources.stage.rate=48kHz, got {format_value(text)}"
            )
            continue
        name, id, *option = parts
        if name not in GRAPH_ROLES:
            hint = did_you_mean(name, GRAPH_ROLES) or f"roles are {_roles()}"
            diagnostics.error("--set", f"unknown role {format_value(name)} in {format_value(path)}", hint)
            continue
        role = Role(name)
        nested: Any = _value(value.strip(), kind=option == ["kind"])
        for name in reversed(option):
            nested = {name: nested}
        overlays[role, id] = merge(overlays.get((role, id), {}), nested)
    for (role, id), table in overlays.items():
        if "kind" in table or _node_exists(result, role, id, f"--set {role}.{id}", diagnostics):
            _overlay(result, role, id, table)
    return result


def _value(text: str, *, kind: bool) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}") if "\n" not in text else {}
    except (ValueError, RecursionError):
        parsed = {}
    value = parsed.get("value", text) if len(parsed) == 1 else text
    if kind:  # names of kinds are looked up before options are read
        return value if isinstance(value, str) else text
    return Override(text, value)
