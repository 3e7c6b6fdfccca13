"""What runs have found, in a small file that outlives them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

Kept = TypeVar("Kept", bound=msgspec.Struct)


def state_path(name: str) -> Path:
    """Path of a file in the state folder of the platform (``$XDG_STATE_HOME/phasegraph`` on Linux)."""
    from platformdirs import user_state_path

    return user_state_path("phasegraph", appauthor=False) / name


class StateFile(Generic[Kept]):
    """Values by key, as JSON. A file that is missing or damaged counts as empty."""

    def __init__(self, path: Path, kind: type[Kept], most: int = 200) -> None:
        """``kind`` is what a value is; the newest ``most`` are kept."""
        self.path = path
        self._kind = kind
        self._most = most

    def load(self) -> dict[str, Kept]:
        """All values, the oldest first."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, self._kind])  # type: ignore[name-defined]
        except (OSError, msgspec.MsgspecError):
            return {}

    def keep(self, fresh: Mapping[str, Kept]) -> None:
        """Put these values in the place of older ones, in one step. Raises OSError."""
        kept = {key: value for key, value in self.load().items() if key not in fresh} | dict(fresh)
        newest = dict(list(kept.items())[-self._most :])
        beside = self.path.with_suffix(f".{os.getpid()}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(newest), indent=2))
        beside.replace(self.path)
