"""What ``latency = "lowest"`` has found for the sinks of this user, in a small file that outlives the run."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from platformdirs import user_state_path

_MOST_SINKS = 200
"""Sinks that are kept: the newest."""


class FoundBuffer(msgspec.Struct, frozen=True):
    """What a run of a sink has found."""

    cover_ns: int
    """See `LowestBuffer.cover_ns`."""
    setting: str
    """The same for ever, as lines of a graph."""


def state_file() -> Path:
    """Path of the file: in the state folder of the platform (``$XDG_STATE_HOME/phasegraph`` on Linux)."""
    return user_state_path("phasegraph", appauthor=False) / "card-buffers.json"


def found_buffer(sink: str) -> FoundBuffer | None:
    """What the last run of a sink has found; None where no run has, or the file cannot be read."""
    return _load().get(sink)


def keep_found_buffer(sink: str, found: FoundBuffer) -> None:
    """Keep it for the next run. Raises OSError."""
    path = state_file()
    kept = {key: value for key, value in _load().items() if key != sink} | {sink: found}
    beside = path.with_suffix(f".{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(dict(list(kept.items())[-_MOST_SINKS:])), indent=2))
    beside.replace(path)


def _load() -> dict[str, FoundBuffer]:
    try:
        return msgspec.json.decode(state_file().read_bytes(), type=dict[str, FoundBuffer])
    except (OSError, msgspec.MsgspecError):
        return {}
