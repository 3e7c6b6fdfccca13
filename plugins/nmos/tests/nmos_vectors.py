"""Schemas and examples of the specifications, from the folder that PHASEGRAPH_VECTORS names."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

VECTORS = Path(os.environ.get("PHASEGRAPH_VECTORS", "vectors")) / "nmos"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="PHASEGRAPH_VECTORS names no folder with `nmos`")


@cache
def _schemas(api: str) -> Registry[Any]:
    folder = VECTORS / api / "APIs" / "schemas"
    resources = [
        (path.name, Resource.from_contents(json.loads(path.read_text("utf-8")), default_specification=DRAFT4))
        for path in folder.glob("*.json")
    ]
    return Registry().with_resources(resources)


def check_schema(api: str, schema: str, value: Any) -> None:
    """Fail unless a value is of a schema: `check_schema("is-08-v1.0", "io-response-schema", body)`."""
    validator = Draft4Validator({"$ref": f"{schema}.json"}, registry=_schemas(api))
    problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert problems == [], f"{schema}: {problems[:5]} in {json.dumps(value)[:500]}"


def example(api: str, name: str) -> Any:
    """An example of a specification: `example("is-08-v1.0", "map/map-activations-post")`."""
    return json.loads((VECTORS / api / "examples" / f"{name}.json").read_text("utf-8"))
