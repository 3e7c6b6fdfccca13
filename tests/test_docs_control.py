"""The schema of the control socket, as docs/control.md shows it."""

from __future__ import annotations

import json
from pathlib import Path

from phasegraph._control.control_protocol import json_schema

SCHEMA = Path(__file__).resolve().parent.parent / "docs" / "control.schema.json"


def test_the_schema_in_the_documentation_is_that_of_the_code() -> None:
    assert json.loads(SCHEMA.read_text("utf-8")) == json_schema()
