"""Sessions that are announced on an interface, as `kernel discover` finds them.

That is a plugin's command, and a plugin does not import another one: it runs as a process of its own.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import trio

_PATIENCE_S = 20.0
"""How much longer than it listens the command may take."""


class DiscoveredStream(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of a session."""

    group: str
    port: int
    encoding: str
    rate: int
    channels: int
    payload_type: int
    packet_time_ns: int | None = None
    ts_refclk: str = ""
    """The sender's clock, as the description has it (RFC 7273, 4.8)."""

    @property
    def address(self) -> str:
        """Group and port."""
        return f"{self.group}:{self.port}"


class DiscoveredSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session; one that is not usable has no streams."""

    name: str = ""
    origin: str = ""
    """The address of the host that announces it."""
    streams: tuple[DiscoveredStream, ...] = ()


class Announcements(msgspec.Struct, frozen=True, kw_only=True):
    """What was announced on an interface while the doctor listened."""

    listened_s: float
    sessions: tuple[DiscoveredSession, ...] = ()
    problem: str = ""
    """Why it could not listen; empty where it could."""

    @property
    def streams(self) -> list[tuple[DiscoveredSession, DiscoveredStream]]:
        """All streams, each with its session."""
        return [(session, stream) for session in self.sessions for stream in session.streams]


async def read_description(path: Path) -> tuple[DiscoveredStream, ...]:
    """The streams of a session description in a file; none where it is not usable, which `kernel check` says."""
    command = [sys.executable, "-m", "phasegraph", "sdp", str(path), "--format", "json"]
    with trio.move_on_after(_PATIENCE_S):
        result = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        with suppress(msgspec.MsgspecError):
            found = msgspec.json.decode(result.stdout, type=tuple[DiscoveredSession, ...])
            return tuple(stream for session in found for stream in session.streams)
    return ()


async def listen_for_sessions(interface: str, seconds: float) -> Announcements:
    """Listen for this long; with an empty name on the interface that the system chooses."""
    command = [sys.executable, "-m", "phasegraph", "discover", "--for", f"{seconds:g}s", "--format", "json"]
    command += ["--interface", interface] if interface else []
    problem = "kernel discover did not answer"
    with trio.move_on_after(seconds + _PATIENCE_S):
        result = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        try:
            found = msgspec.json.decode(result.stdout, type=tuple[DiscoveredSession, ...])
            return Announcements(listened_s=seconds, sessions=found)
        except msgspec.MsgspecError:
            lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
            problem = lines[-1] if lines else problem
    return Announcements(listened_s=seconds, problem=problem)
