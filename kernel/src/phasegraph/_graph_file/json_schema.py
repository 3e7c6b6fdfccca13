"""JSON Schema (draft 2020-12) of graph.toml with the kinds that are installed, for editors' completion."""

from __future__ import annotations

from typing import Any

from .._core.config import RecorderConfig
from .._core.kinds import AnyKind, ResamplerKind
from .._core.role import GRAPH_ROLES, Role
from .._option_types import json_schema, record_of
from .._plugins.loader import CONTROL, Registry
from .parse_tables import ID_PATTERN, SCHEMA

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def graph_schema(registry: Registry) -> dict[str, Any]:
    """The schema of a whole graph file. Every kind has a definition ``ROLE.KIND`` and, for profiles, where nothing
    is required, ``ROLE.KIND.part``."""
    definitions: dict[str, Any] = {}
    for role in GRAPH_ROLES:
        for name, kind in sorted(registry.kinds(role).items()):
            if isinstance(kind, ResamplerKind):
                continue
            whole = _table(role, kind)
            definitions[f"{role}.{name}"] = whole
            definitions[f"{role}.{name}.part"] = {key: value for key, value in whole.items() if key != "required"}
    return {
        "$schema": _DIALECT,
        "title": "Phasegraph graph",
        "type": "object",
        "properties": {
            "schema": {"const": SCHEMA, "description": "Version of the format."},
            **{role: _nodes(registry, role) for role in GRAPH_ROLES},
            "recorder": {
                "description": "The flight recorder: packets of the last seconds, written where there is trouble.",
                **json_schema(record_of(RecorderConfig)),
            },
            CONTROL: {
                "description": "Programs beside the run, each in a process of its own.",
                "type": "object",
                "properties": {
                    name: {"description": kind.summary, **json_schema(record_of(kind.config))}
                    for name, kind in sorted(registry.control_processes.items())
                },
                "additionalProperties": False,
            },
            "profiles": {
                "description": "Tables laid over the graph by --profile NAME.",
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {role: _nodes(registry, role, part=True) for role in GRAPH_ROLES},
                    "additionalProperties": False,
                },
            },
        },
        "required": ["schema"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _nodes(registry: Registry, role: Role, *, part: bool = False) -> dict[str, Any]:
    # A whole table fits exactly one kind, by its `kind`. A part may omit it, and so fit several.
    ending, choice = (".part", "anyOf") if part else ("", "oneOf")
    references = [{"$ref": f"#/$defs/{role}.{name}{ending}"} for name in sorted(registry.kinds(role))]
    return {
        "description": f"The graph's {role}, by id.",
        "type": "object",
        "propertyNames": {"pattern": ID_PATTERN},
        "additionalProperties": {choice: references} if references else False,
    }


def _table(role: Role, kind: AnyKind) -> dict[str, Any]:
    assert not isinstance(kind, ResamplerKind), "resamplers have no tables"
    table = json_schema(record_of(kind.config))
    return {
        "title": f"{kind.kind} ({role.singular})",
        "description": kind.summary,
        **table,
        "properties": {"kind": {"const": kind.kind, "description": kind.summary}, **table["properties"]},
        "required": ["kind", *table.get("required", [])],
    }
