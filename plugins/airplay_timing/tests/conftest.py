"""Captured packets, where they are present: in the folder that PHASEGRAPH_VECTORS names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def airplay_vectors() -> list[dict[str, Any]]:
    """The packets with their decodes; skips the test where they are not there."""
    file = Path(os.environ.get("PHASEGRAPH_VECTORS", "")) / "airplay" / "vectors.json"
    if not file.is_file():
        pytest.skip("PHASEGRAPH_VECTORS names no folder of captures")
    vectors: list[dict[str, Any]] = json.loads(file.read_text())["vectors"]
    return vectors
