"""Captured packets, where they are present: a folder ``shared/vectors`` beside or above the checkout, or the one
that the environment variable PHASEGRAPH_VECTORS names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def airplay_vectors() -> list[dict[str, Any]]:
    """The packets with their decodes; skips the test where they are not there."""
    named = os.environ.get("PHASEGRAPH_VECTORS")
    places = [Path(named)] if named else [parent / "shared" / "vectors" for parent in Path(__file__).resolve().parents]
    for place in places:
        file = place / "airplay" / "vectors.json"
        if file.is_file():
            vectors: list[dict[str, Any]] = json.loads(file.read_text())["vectors"]
            return vectors
    pytest.skip("no shared/vectors/airplay above this file, and PHASEGRAPH_VECTORS does not name such a folder")
