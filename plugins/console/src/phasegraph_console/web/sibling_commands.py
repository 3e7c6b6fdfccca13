"""Answers of other commands of Phasegraph: announced sessions, descriptions in words, options explained.

They are plugins' commands, and a plugin does not import another one: each runs as a process of its own, with a time
limit, at most two at once, and what it prints as JSON is the answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

_AT_ONCE = 2
_LIMIT_S = 20.0
FIRST_LOOK_S = 4
LONG_LOOK_S = 31
"""Devices announce their sessions every 30 s."""
_FRESH_S = 60.0
_VERIFY_LIMIT_S = 120.0


class SiblingFailed(Exception):
    """A command could not answer. The message is its reason."""


class SiblingCommands:
    """Runs commands of this installation."""

    def __init__(self, interface: str | None = None) -> None:
        """``interface``: where to listen for announced sessions; None for the command's own choice."""
        self._interface = interface
        self._slots = trio.Semaphore(_AT_ONCE)
        self._schema: dict[str, Any] | None = None
        self._wanted = trio.Event()
        self.sessions: list[dict[str, Any]] = []
        self.listening = False
        """Whether `keep_listening` is at work."""
        self.sessions_problem = ""

    async def explain_sdp(self, sdp: str) -> Any:
        """A description as ``kernel sdp --format json`` explains it. Raises SiblingFailed."""
        return await self._run_command(["sdp", "-", "--format", "json"], sdp.encode(), codes=(0, 1))

    async def verify(self, capture: Path, *, compare_audio: bool) -> dict[str, Any]:
        """A capture as ``kernel verify --format json`` judges it, without its plots. Raises SiblingFailed."""
        words = ["verify", str(capture), "--format", "json", *(["--a2a"] if compare_audio else [])]
        verification: dict[str, Any] = await self._run_command(words, codes=(0, 1), limit_s=_VERIFY_LIMIT_S)
        for subject in verification["subjects"]:
            subject.pop("plots", None)
        return verification

    async def schema(self) -> dict[str, Any]:
        """The JSON Schema of graph files, with the installed kinds. Raises SiblingFailed."""
        if self._schema is None:
            self._schema = await self._run_command(["schema"])
        assert self._schema is not None
        return self._schema

    def want_sessions(self) -> None:
        """Ask `keep_listening` for sessions."""
        self._wanted.set()

    async def keep_listening(self) -> None:
        """Listen for announced sessions whenever they are wanted, until cancelled."""
        place = [] if self._interface is None else ["--interface", self._interface]
        while True:
            await self._wanted.wait()
            self.listening = True
            for look_s in (FIRST_LOOK_S, LONG_LOOK_S):
                words = ["discover", "--for", f"{look_s}s", "--format", "json", *place]
                try:
                    self.sessions = await self._run_command(words, limit_s=look_s + _LIMIT_S)
                    self.sessions_problem = ""
                except SiblingFailed as failure:
                    self.sessions_problem = str(failure)
                    break
            self.listening = False
            await trio.sleep(_FRESH_S / 4)
            self._wanted = trio.Event()

    async def _run_command(
        self, words: Sequence[str], given: bytes = b"", *, codes: Sequence[int] = (0,), limit_s: float = _LIMIT_S
    ) -> Any:
        command = [sys.executable, "-m", "phasegraph", *words]
        async with self._slots:
            with trio.move_on_after(limit_s):
                result = await trio.run_process(
                    command, stdin=given, capture_stdout=True, capture_stderr=True, check=False
                )
                if result.returncode not in codes:
                    raise SiblingFailed(_last_line(result.stderr) or f"kernel {words[0]} failed")
                try:
                    return json.loads(result.stdout)
                except ValueError:
                    raise SiblingFailed(f"kernel {words[0]} printed no JSON") from None
            raise SiblingFailed(f"kernel {words[0]} did not answer within {limit_s:g} s")


def _last_line(text: bytes | None) -> str:
    lines = (text or b"").decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
