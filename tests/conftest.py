"""The example of a plugin by somebody else is not part of the workspace: ``test_third_party`` installs and tests it."""

from __future__ import annotations

from pathlib import Path

import pytest

collect_ignore = ["third_party"]


@pytest.fixture(autouse=True)
def _no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test's runs learn of devices is not known to the next, nor to who runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
