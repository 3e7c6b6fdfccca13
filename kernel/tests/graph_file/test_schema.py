"""The JSON Schema of graph.toml."""

from __future__ import annotations

import json
import re
from typing import Any

from phasegraph._graph_file.json_schema import graph_schema
from phasegraph._plugins.loader import Registry


def test_every_installed_kind_is_one_alternative(registry: Any) -> None:
    schema = graph_schema(registry)
    assert schema["required"] == ["schema"]
    assert schema["properties"]["sinks"]["additionalProperties"] == {
        "oneOf": [{"$ref": f"#/$defs/sinks.{kind}"} for kind in ("card", "net", "strict", "writer")]
    }
    assert schema["$defs"]["sinks.writer"]["properties"]["kind"]["const"] == "writer"
    assert schema["$defs"]["sinks.writer"]["required"] == ["kind", "input", "path"]
    assert "required" not in schema["$defs"]["sinks.writer.part"]


def test_options_have_descriptions_ranges_and_defaults(registry: Any) -> None:
    options = graph_schema(registry)["$defs"]["sources.net"]["properties"]
    offset = options["link-offset"]
    assert (offset["type"], offset["default"], offset["examples"]) == ("string", "3ms", ["3ms"])
    assert offset["description"] == "How late a frame sounds."
    assert re.search(offset["pattern"], "2.5 ms")
    assert not re.search(offset["pattern"], "3 parsecs")
    assert options["gain"] == {"type": "number", "exclusiveMinimum": 0, "default": 1.0}
    assert options["encoding"] == {"enum": ["L16", "L24", "AM824", "float32"], "default": "L24"}
    assert options["leg-b"]["required"] == ["group"]
    assert options["leg-b"]["properties"]["port"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 65535,
        "default": 5004,
    }
    assert options["taps"]["maxItems"] == 3
    assert options["rate"]["default"] == "48kHz"


def test_profiles_hold_parts_of_tables(registry: Any) -> None:
    profile = graph_schema(registry)["properties"]["profiles"]["additionalProperties"]
    assert {"$ref": "#/$defs/clocks.system.part"} in profile["properties"]["clocks"]["additionalProperties"]["anyOf"]


def test_every_reference_leads_somewhere(registry: Any) -> None:
    schema = graph_schema(registry)
    references = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(schema)))
    assert references == set(schema["$defs"])


def test_no_kinds_no_tables() -> None:
    assert graph_schema(Registry())["properties"]["sinks"]["additionalProperties"] is False
