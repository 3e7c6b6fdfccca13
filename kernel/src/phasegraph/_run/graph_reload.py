"""A graph file that is read again while its graph runs: at SIGHUP, and with ``--watch`` when it has been saved."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from .._core.errors import NodeError
from .._core.graph_change import EditRefused, GraphEdit
from .._option_types.wording import format_count
from .context import Services
from .graph_changes import GraphChanges
from .supervise import Supervisor, describe

WATCH_S = 0.5
"""How often the file is checked. It is read when two checks find the same: the editor has written all of it."""
EVENT_NODE = "graph"
"""The node of events that are about the whole graph."""
_MOST_PROBLEMS = 20
FileState = tuple[int, int, int]
"""Inode, size and time of change of a file."""


class GraphReload:
    """Reads the graph file of a run again. Lives on the control plane."""

    def __init__(self, path: Path | None, changes: GraphChanges, supervisor: Supervisor, services: Services) -> None:
        """``path`` is the file; None where the graph has none."""
        self._path = path
        self._changes = changes
        self._supervisor = supervisor
        self._services = services
        self.began: Callable[[], object] = lambda: None
        """Called when a reload begins."""
        self.ended: Callable[[], object] = lambda: None
        """Called when it has ended, whatever came of it."""

    async def reload(self) -> bool:
        """Read the file and change the run to what it says; the profile and ``--set`` of the start stay in force.

        Returns whether that happened; otherwise an event and the log say why not, and nothing has changed.
        """
        await self._supervisor.started.wait()
        self.began()
        try:
            return await self._apply_file()
        finally:
            self.ended()

    async def watch(self) -> None:
        """Reload whenever the file has been saved; until cancelled."""
        applied = seen = await self._file_state()
        while True:
            await trio.sleep(WATCH_S)
            before, seen = seen, await self._file_state()
            if seen is not None and seen == before and seen != applied:
                applied = seen
                await self.reload()

    async def _apply_file(self) -> bool:
        if self._path is None:
            self._refused(["the graph of this run is no file"])
            return False
        try:
            text = await self._services.threads.run(EVENT_NODE, partial(self._path.read_text, "utf-8"))
            done = await self._changes.apply(GraphEdit(toml=text))
        except EditRefused as refused:
            self._refused(refused.plan.problems or [str(refused)])
        except (OSError, UnicodeDecodeError, NodeError) as error:
            self._refused([f"cannot read {self._path}: {describe(error)}"])
        else:
            changed = len(done.plan.changed)
            text = f"{format_count(changed, 'node')} changed" if changed else "nothing has changed"
            self._services.event(EVENT_NODE, "graph_reloaded", {"text": text})
            return True
        return False

    def _refused(self, problems: list[str]) -> None:
        for problem in problems[:_MOST_PROBLEMS]:
            self._services.log.error(f"the graph was not reloaded: {problem}")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        self._services.event(EVENT_NODE, "graph_refused", {"reason": problems[0] + more})

    async def _file_state(self) -> FileState | None:
        if self._path is None:
            return None
        try:
            status = await self._services.threads.run(EVENT_NODE, partial(os.stat, self._path))
        except (OSError, NodeError):  # while an editor replaces it
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
