"""Supervision: nodes start clocks first and sinks last, stop in reverse, and fail as the graph says.

The nurseries are nested by role, so that whatever a node relies on outlives it. Compensators are pure objects inside
their edges and need no task.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import Literal

import trio

from .._core.errors import NodeError
from .build import BuiltGraph, BuiltNode
from .context import Context, Services

START_TIMEOUT_S = 30.0
DRAIN_S = 5.0
"""How long sinks may take to write what they have when a run is stopped."""
RESTART_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
RESTART_FORGET_S = 60.0
"""A node that ran for so long begins again with the shortest pause."""

Ended = Literal["completed", "time", "signal", "failed"]


class State(enum.StrEnum):
    """Where a node is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    RESTARTING = "restarting"
    ENDED = "ended"
    FAILED = "failed"


class Supervisor:
    """Runs the nodes of one graph from start to drained end."""

    def __init__(self, graph: BuiltGraph, services: Services) -> None:
        self._graph = graph
        self._services = services
        self._stopping = trio.Event()
        self._sinks_done = trio.Event()
        self._at_once = trio.Event()
        self._sinks_left = sum(1 for node in graph.nodes.values() if node.role == "sinks")
        self.ended: Ended = "completed"
        self.states = dict.fromkeys(graph.nodes, State.WAITING)
        self.failures: dict[str, str] = {}
        """Node id -> why it failed, in words."""
        self.started = trio.Event()
        services.failed = lambda error: self._fail("engine", error)

    def stop(self, reason: Ended) -> None:
        """End the run: sources finish, sinks drain. The first reason counts; a second signal ends it at once."""
        if not self._stopping.is_set():
            self.ended = reason
            self._stopping.set()
        elif reason == "signal":
            self._at_once.set()

    async def run(self) -> None:
        """Run until every sink has ended, or the run is stopped."""
        async with AsyncExitStack() as stack:
            control = await stack.enter_async_context(trio.open_nursery())
            await control.start(self._services.engine.run)
            nurseries = [control]
            for role in ("clocks", "sources", "sinks"):
                nursery = await stack.enter_async_context(trio.open_nursery())
                nurseries.append(nursery)
                for node in self._of_role(role):
                    if not self._stopping.is_set():
                        await self._start(nursery, node)
            self.started.set()
            nurseries[-1].start_soon(self._stop_when_done)
            await self._stopping.wait()
            await self._drain()
            for nursery in reversed(nurseries):
                nursery.cancel_scope.cancel()
        self._services.close()

    def _of_role(self, role: str) -> Iterable[BuiltNode]:
        return [node for node in self._graph.nodes.values() if node.role == role]

    async def _start(self, nursery: trio.Nursery, node: BuiltNode) -> None:
        with trio.move_on_after(START_TIMEOUT_S) as scope:
            await nursery.start(partial(self._supervise, node))
        if scope.cancelled_caught:
            self._fail(node.id, NodeError(f"not ready after {START_TIMEOUT_S:g} s"))

    async def _stop_when_done(self) -> None:
        if self._sinks_left == 0:
            return
        await self._sinks_done.wait()
        self.stop("completed")

    async def _drain(self) -> None:
        # The sources' streams end where they are; what they still write is not played.
        for node in self._of_role("sources"):
            node.finish()
        if self._sinks_left == 0:
            return
        with trio.move_on_after(DRAIN_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cancel_on, self._at_once, nursery.cancel_scope)
                await self._sinks_done.wait()
                nursery.cancel_scope.cancel()

    @staticmethod
    async def _cancel_on(event: trio.Event, scope: trio.CancelScope) -> None:
        await event.wait()
        scope.cancel()

    async def _supervise(
        self, node: BuiltNode, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        ready = _ReadyOnce(task_status)
        attempt = 0
        while True:
            began = trio.current_time()
            failure = await self._run_once(node, ready)
            if failure is None:
                self.states[node.id] = State.ENDED
                break
            if node.config.on_failure != "restart" or self._stopping.is_set():
                self._fail(node.id, failure, stop=node.config.on_failure == "stop")
                break
            if trio.current_time() - began > RESTART_FORGET_S:
                attempt = 0
            pause = RESTART_PAUSES_S[min(attempt, len(RESTART_PAUSES_S) - 1)]
            attempt += 1
            self.states[node.id] = State.RESTARTING
            self._services.event(node.id, "restarting", {"reason": describe(failure), "pause_s": pause})
            ready.started()
            await trio.sleep(pause)
        ready.started()
        if node.role == "sinks":
            self._sinks_left -= 1
            if self._sinks_left == 0:
                self._sinks_done.set()
        elif node.role == "sources" and self.states[node.id] is State.FAILED:
            node.finish()

    async def _run_once(self, node: BuiltNode, ready: _ReadyOnce) -> Exception | None:
        failures: list[Exception] = []
        with trio.CancelScope() as scope:

            def failed(error: Exception) -> None:
                failures.append(error)
                scope.cancel()

            context = Context(node.id, self._services, failed)
            self.states[node.id] = State.RUNNING
            try:
                await node.node.run(context, task_status=ready)
            except Exception as error:  # whatever a plugin raises is its node's failure
                failures.append(error)
            finally:
                context.close()
        return failures[0] if failures else None

    def _fail(self, id: str, error: Exception, *, stop: bool = True) -> None:
        reason = describe(error)
        self.failures[id] = reason
        if id in self.states:
            self.states[id] = State.FAILED
        self._services.event(id, "failed", {"reason": reason})
        if not isinstance(error, NodeError):
            self._services.log.error("unexpected failure", node=id, exc_info=error)
        if stop:
            self.stop("failed")


class _ReadyOnce:
    """A task status that may be told more than once: a node that starts again says so again."""

    def __init__(self, status: trio.TaskStatus[None]) -> None:
        self._status = status
        self._told = False

    def started(self, value: None = None) -> None:
        if not self._told:
            self._told = True
            self._status.started(value)


def describe(error: BaseException) -> str:
    """A failure in words: its message, and for errors that nobody foresaw their type too."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return describe(error.exceptions[0])
    if isinstance(error, NodeError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return f"{type(error).__name__}: {error}"
