"""The connection to one run: its graph and status, kept up to date, and the way to change it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import trio

from phasegraph.control import (
    AppliedChange,
    AsyncRun,
    ChangePlan,
    ChangeTime,
    ControlError,
    EventLine,
    RunEvent,
    RunStatus,
    connect_async,
)

from .model.run_view import RunView, SessionParser, view_of_run

POLL_S = 1.0
SILENT_AFTER_S = 0.3
"""How long a switch waits for packets of the new stream: a receiver may be connected before its sender sends."""
READY_BEFORE_S = 0.15
"""How long before its time a scheduled switch waits for them no more: the run needs this to change at the frame."""
LEAST_SILENT_S = 0.02
SETTLE_S = 0.05
"""How long several events together lead to one look at the graph."""
Changes = Mapping[str, Any]
"""Changes of a graph: ``source.take.link-offset`` -> value, ``source.new`` -> table or None."""
Instant = ChangeTime | Literal["now"]
"""When changes take effect."""


class RunLink:
    """One run that this node offers."""

    def __init__(self, name: str, path: Path, parse_session: SessionParser) -> None:
        """``path`` is of the run's control socket."""
        self.name = name
        self._path = path
        self._parse_session = parse_session
        self._control: AsyncRun | None = None
        self._asking = trio.Lock()
        self.changing = trio.Lock()
        """Held while a change of this node's making is under way: the next one is computed from what it leads to."""
        self._graph: dict[str, Any] = {}
        self.view: RunView | None = None
        """The newest view; None until the run has answered."""
        self._refreshed = trio.Event()

    async def run(self, on_change: Callable[[], Awaitable[None]], on_event: Callable[[RunEvent], None]) -> None:
        """Follow the run until it ends; ``on_change`` is called after every new view. Raises ControlError."""
        async with connect_async(self._path) as events, connect_async(self._path) as control:
            self._control = control
            try:
                await self.refresh()
                await on_change()
                async for line in events.subscribe(interval_s=POLL_S, events=True):
                    if isinstance(line, EventLine):
                        on_event(line.event)
                        if line.event.name != "graph_changed":
                            continue
                        await trio.sleep(SETTLE_S)
                        await self.refresh()
                    else:
                        self._set_view(line)
                    await on_change()
            finally:
                self._control = None

    async def refresh(self) -> None:
        """Read graph and status again. Raises ControlError."""
        async with self._asking:
            control = self._connected()
            self._graph = await control.graph()
            status = await control.status()
        self._set_view(status)
        self._refreshed.set()
        self._refreshed = trio.Event()

    async def wait_refreshed(self) -> None:
        """Wait until the graph has been read again, as it is after each of its changes."""
        await self._refreshed.wait()

    async def apply(
        self, changes: Changes, at: Instant = "now", *, wait: bool = True, ahead_s: float | None = None
    ) -> AppliedChange:
        """Change the run's graph at an instant, ``ahead_s`` from now. Raises ControlError, and changes nothing then."""
        silent_after_s = SILENT_AFTER_S
        if ahead_s is not None:
            silent_after_s = min(silent_after_s, max(LEAST_SILENT_S, ahead_s - READY_BEFORE_S))
        # A connection of its own: one that waits for its instant holds up no other.
        async with connect_async(self._path) as control:
            return await control.apply(set=dict(changes), at=at, wait=wait, silent_after_s=silent_after_s)

    async def plan(self, changes: Changes) -> ChangePlan:
        """What changes of the graph would do. Raises ControlError."""
        async with connect_async(self._path) as control:
            return await control.plan(set=dict(changes))

    def _connected(self) -> AsyncRun:
        if self._control is None:
            raise ControlError(f"there is no connection to the run {self.name}")
        return self._control

    def _set_view(self, status: RunStatus) -> None:
        self.view = view_of_run(self.name, self._graph, status, self._parse_session)
