"""What is kept over restarts: what controllers have set, and the seed of the UUIDs where the computer has none."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

_CONNECTIONS = "connections.json"
_CONTROLS = "controls.json"
_SEED = "seed"
_MOST_BYTES = 16 << 20
_MACHINE_ID = Path("/etc/machine-id")


class StateFolder:
    """A folder of the user."""

    def __init__(self, path: str = "", run: str = "") -> None:
        """``path`` may be empty: then it is systemd's, or one of the user. ``run`` is the name of the run whose node
        this is, of a node that offers one run alone: it is a node of its own beside others of the computer."""
        self._run = run
        unit = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        self.path = Path(path) if path else Path(unit, "nmos") if unit else user_state_path("phasegraph") / "nmos"
        if run and not path:
            self.path /= run

    def read_connections(self) -> dict[str, Any]:
        """What controllers have connected, by UUID; empty where nothing can be read."""
        return self._read(_CONNECTIONS)

    def write_connections(self, kept: dict[str, Any]) -> None:
        """Replace what was kept, in one step. Raises OSError."""
        self._write(_CONNECTIONS, json.dumps(kept, indent=1))

    def read_controls(self) -> dict[str, Any]:
        """What controllers have set in the device model, by role path; empty where nothing can be read."""
        return self._read(_CONTROLS)

    def write_controls(self, kept: dict[str, Any]) -> None:
        """Replace what was kept, in one step. Raises OSError."""
        self._write(_CONTROLS, json.dumps(kept, indent=1))

    def _read(self, name: str) -> dict[str, Any]:
        try:
            file = self.path / name
            if file.stat().st_size > _MOST_BYTES:
                return {}
            kept = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def seed(self, text: str = "") -> uuid.UUID:
        """The seed of all UUIDs: from a text, from the computer's id, or from one that is made once. Raises OSError."""
        given = bool(text)
        if not given:
            try:
                text = _MACHINE_ID.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):
                text = ""
        if not text:
            file = self.path / _SEED
            if not file.exists():
                self._write(_SEED, str(uuid.uuid4()))
            text = file.read_text("utf-8").strip()
        if self._run and not given:
            text = f"{text}/{self._run}"
        return uuid.uuid5(uuid.NAMESPACE_DNS, f"phasegraph-nmos/{text}")

    def _write(self, name: str, text: str) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.path / f".{name}.{os.getpid()}.part"
        try:
            part.write_text(text, "utf-8")
            part.replace(self.path / name)
        except OSError:
            part.unlink(missing_ok=True)
            raise
