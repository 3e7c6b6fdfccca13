"""The runs of this machine: found by their control sockets, followed, lost, and found again.

Each run is followed by one connection, which gets its status and all events, however many pages and scripts read them
here. A status costs a run some 0.06 ms for each node: it is asked for each second where there are few nodes, less often
where there are many, and soon after an event, since that is when sentences change. Changes of runs go to `ChangeFeed`s,
which never hold up the directory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import trio

from phasegraph import SystemLocalClock
from phasegraph.control import (
    AsyncRun,
    ControlError,
    EventLine,
    Hello,
    RunStatus,
    connect_async,
    list_runs,
)

from .followed_run import FollowedRun, TimedEvent

SEARCH_S = 1.0
STATUS_S = 1.0
NODES_A_SECOND = 32
"""For this many nodes a status each second; for more, less often."""
MOST_STATUS_S = 5.0
AFTER_EVENT_S = 0.3
BETWEEN_EVENTS_S = 1.0
"""Statuses because of events come no closer."""
MOST_RUNS = 64
MOST_ENDED = 20
"""Runs that have ended and are still shown."""
ENDED_S = 3600.0
"""How long a run that has ended is shown."""
SILENT_S = 10.0
"""A run that sends no status for this time is unreachable."""
MOST_WAITING_EVENTS = 1000
ACTION_S = 130.0
"""How long a request to a run may take: a change answers when it has happened."""


class FollowedConnection(Protocol):
    """What the directory needs of `phasegraph.control.AsyncRun`."""

    hello: Hello | None

    async def status(self) -> RunStatus:
        """See `phasegraph.control.AsyncRun.status`."""
        ...

    def subscribe(self, *, interval_s: float | None = 1.0, events: bool = True) -> AsyncIterator[RunStatus | EventLine]:
        """See `phasegraph.control.AsyncRun.subscribe`."""
        ...


Find = Callable[[Collection[Path]], Awaitable[Mapping[str, Path]]]
Connect = Callable[[Path], AbstractAsyncContextManager[FollowedConnection]]


class RunChange(NamedTuple):
    """Something new: ``event`` of a run, or, where it is None, its status or its state."""

    run: str
    event: TimedEvent | None


class ChangeFeed:
    """Changes that wait for one reader: of each run the newest status only, and events up to a bound."""

    def __init__(self) -> None:
        self._changed: dict[str, None] = {}
        self._events: deque[RunChange] = deque()
        self._wake = trio.Event()
        self.events_lost = 0
        """Events that the reader was too slow for."""

    def queue_change(self, change: RunChange) -> None:
        """Queue a change."""
        if change.event is None:
            self._changed[change.run] = None
        elif len(self._events) < MOST_WAITING_EVENTS:
            self._events.append(change)
        else:
            self.events_lost += 1
        self._wake.set()

    async def next_changes(self) -> list[RunChange]:
        """Wait for changes; events first."""
        await self._wake.wait()
        self._wake = trio.Event()
        changes = [*self._events, *(RunChange(run, None) for run in self._changed)]
        self._events.clear()
        self._changed.clear()
        return changes


class RunDirectory:
    """The runs that are followed, by name."""

    def __init__(self, find: Find | None = None, connect: Connect = connect_async) -> None:
        """``find`` gives the sockets by run, and asks only those that are not followed; ``connect`` gives a connection.

        Both are replaced in tests.
        """
        self._find = find or _find_sockets
        self._connect = connect
        self._local = SystemLocalClock()
        self._runs: dict[str, FollowedRun] = {}
        self._paths: dict[str, Path] = {}
        self._followed: set[str] = set()
        self._feeds: set[ChangeFeed] = set()

    @property
    def runs(self) -> Mapping[str, FollowedRun]:
        """All runs: those that go on, and those that have ended of late."""
        return self._runs

    @property
    def readers(self) -> int:
        """How many feeds there are."""
        return len(self._feeds)

    async def run(self) -> None:
        """Find and follow until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                followed = {path for name, path in self._paths.items() if name in self._followed}
                for name, path in list((await self._find(followed)).items())[:MOST_RUNS]:
                    if name not in self._followed:
                        self._followed.add(name)
                        nursery.start_soon(self._follow, name, path)
                self._forget_old_runs()
                await trio.sleep(SEARCH_S)

    @contextmanager
    def feed(self) -> Iterator[ChangeFeed]:
        """Changes from now on."""
        feed = ChangeFeed()
        self._feeds.add(feed)
        try:
            yield feed
        finally:
            self._feeds.discard(feed)

    @asynccontextmanager
    async def command(self, name: str) -> AsyncIterator[AsyncRun]:
        """A connection of its own for requests to a run. Raises ControlError, also where the run has ended.

        What is asked for ends after `ACTION_S`.
        """
        run = self._runs.get(name)
        if run is None or run.state != "running":
            raise ControlError(f"the run '{name}' has ended" if run else f"no run '{name}'")
        with trio.move_on_after(ACTION_S) as patience:
            async with connect_async(self._paths[name]) as connection:
                yield connection
        if patience.cancelled_caught:
            raise ControlError(f"the run has not answered within {ACTION_S:g} s")

    async def _follow(self, name: str, path: Path) -> None:
        try:
            async with self._connect(path) as connection:
                if connection.hello is not None:
                    run = self._runs.get(name)
                    if run is None or run.hello != connection.hello:
                        run = FollowedRun(name, connection.hello)
                    await self._follow_connection(run, path, connection)
        except ControlError as error:
            self._end(name, str(error), "unreachable")
        finally:
            self._followed.discard(name)

    async def _follow_connection(self, run: FollowedRun, path: Path, connection: FollowedConnection) -> None:
        self._runs[run.name], self._paths[run.name] = run, path
        self._publish(RunChange(run.name, None))
        async with trio.open_nursery() as nursery:
            news, changed = trio.open_memory_channel[None](1)
            nursery.start_soon(self._follow_events, run, path, changed)
            because, state = "its process has closed the control socket", "ended"
            with trio.move_on_after(SILENT_S) as patience:
                try:
                    await self._read_lines(run, connection, patience, news)
                except ControlError as error:
                    if not isinstance(error.__cause__, EOFError | trio.BrokenResourceError):
                        because, state = str(error), "unreachable"
            nursery.cancel_scope.cancel()
        if patience.cancelled_caught:
            because, state = f"it has not answered for {SILENT_S:g} s", "unreachable"
        elif run.stop_requested or (run.status is not None and run.status.stopping):
            because = "it was stopped"
        self._end(run.name, because, state)

    async def _read_lines(
        self,
        run: FollowedRun,
        connection: FollowedConnection,
        patience: trio.CancelScope,
        news: trio.MemorySendChannel[None],
    ) -> None:
        first = await connection.status()
        self._show_status(run, first)
        run.interval_s = min(max(STATUS_S, len(first.nodes) / NODES_A_SECOND), MOST_STATUS_S)
        async for line in connection.subscribe(interval_s=run.interval_s, events=True):
            patience.deadline = trio.current_time() + SILENT_S
            if isinstance(line, RunStatus):
                self._show_status(run, line)
            else:
                event = run.add_event(line, self._local.now_ns(), datetime.now(UTC))
                self._publish(RunChange(run.name, event))
                with suppress(trio.WouldBlock):
                    news.send_nowait(None)

    async def _follow_events(self, run: FollowedRun, path: Path, changed: trio.MemoryReceiveChannel[None]) -> None:
        # A status soon after an event, where the next one is not due anyway.
        async for _ in changed:
            if run.interval_s > STATUS_S:
                await trio.sleep(AFTER_EVENT_S)
                with suppress(ControlError):  # the connection that follows the run says what became of it
                    async with self._connect(path) as connection:
                        self._show_status(run, await connection.status())
                await trio.sleep(BETWEEN_EVENTS_S)

    def _show_status(self, run: FollowedRun, status: RunStatus) -> None:
        run.add_status(status, trio.current_time(), datetime.now(UTC))
        self._publish(RunChange(run.name, None))

    def _end(self, name: str, because: str, state: str) -> None:
        run = self._runs.get(name)
        if run is not None and run.state == "running":
            run.end(because, trio.current_time(), datetime.now(UTC), state=state)
            self._publish(RunChange(name, None))

    def _forget_old_runs(self) -> None:
        ended = {name: run.ended_s for name, run in self._runs.items() if run.ended_s is not None}
        newest_first = sorted(ended, key=lambda name: -(ended[name] or 0.0))
        for number, name in enumerate(newest_first):
            if number >= MOST_ENDED or trio.current_time() - (ended[name] or 0.0) > ENDED_S:
                del self._runs[name], self._paths[name]
                self._publish(RunChange(name, None))

    def _publish(self, change: RunChange) -> None:
        for feed in self._feeds:
            feed.queue_change(change)


async def _find_sockets(followed: Collection[Path]) -> Mapping[str, Path]:
    return await trio.to_thread.run_sync(list_runs, followed)
