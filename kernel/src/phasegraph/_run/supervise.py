"""Supervision: nodes start clocks first and sinks last, stop in reverse, and fail as the graph says.

The nurseries are nested by role, so that whatever a node relies on outlives it. Compensators are pure objects inside
their edges and need no task.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Literal

import trio

from .._core.errors import NodeError
from .._option_types.wording import did_you_mean
from .build import BuiltGraph, BuiltNode
from .context import Context, Services
from .fallback import WATCH_S

START_TIMEOUT_S = 30.0
DRAIN_S = 5.0
"""How long sinks may take to write what they have when a run is stopped."""
CLOSE_S = 5.0
"""How long nodes may take after that to close what they use."""
RESTART_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
RESTART_FORGET_S = 60.0
"""A node that ran longer than this is restarted with the shortest pause."""

Ended = Literal["completed", "time", "signal", "failed", "stopped"]


class State(enum.StrEnum):
    """State of a node."""

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
        self._at_once = trio.Event()
        self._playing: set[str] = set()
        self._restarts: dict[str, Callable[[], None]] = {}
        """Ends what each node does now, so that it starts again."""
        self._sink_ended = trio.Event()
        self.ended: Ended = "completed"
        self.states = dict.fromkeys(graph.nodes, State.WAITING)
        self.failures: dict[str, str] = {}
        """Node id -> why it failed, or why it is being restarted."""
        self.started = trio.Event()

    @property
    def stopping(self) -> bool:
        """Whether the run is ending."""
        return self._stopping.is_set()

    def stop(self, reason: Ended) -> None:
        """End the run: sources finish, sinks drain. The first reason counts; a second signal ends it at once."""
        if not self._stopping.is_set():
            self.ended = reason
            self._stopping.set()
        elif reason == "signal":
            self.stop_at_once()

    def stop_at_once(self) -> None:
        """Do not wait for sinks to drain."""
        self._at_once.set()

    def restart(self, id: str) -> str:
        """End a node and start it again. Returns why that is impossible, as a sentence; empty where it happens."""
        if id not in self.states:
            hint = did_you_mean(id, self.states)
            return f"no node '{id}'" + (f" ({hint})" if hint else "")
        if self.stopping:
            return "the run is ending"
        if id not in self._restarts:
            return f"node '{id}' cannot be restarted: it is {self.states[id].value}"
        self._restarts[id]()
        return ""

    async def run(self) -> None:
        """Run until every sink has ended, or the run is stopped."""
        try:
            async with AsyncExitStack() as stack:
                control = await self._nursery(stack)
                await control.start(self._run_engine)
                for id in self._graph.fallbacks:
                    control.start_soon(self._watch_clock, id)
                for role in ("clocks", "sources", "sinks"):
                    nursery = await self._nursery(stack)
                    for node in self._of_role(role):
                        if not self._stopping.is_set():
                            await self._start(nursery, node)
                self.started.set()
                nursery.start_soon(self._stop_when_done)
                await self._stopping.wait()
                await self._drain()
                control.start_soon(self._abandon_calls)
        finally:
            self._services.close()

    async def _run_engine(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            await self._services.engine.run(task_status=task_status)
        except Exception as error:  # a fault of the engine's own ends the run, with its report
            self.fail("engine", error)

    @staticmethod
    async def _nursery(stack: AsyncExitStack) -> trio.Nursery:
        # Leaving the stack cancels the innermost nursery and waits for its nodes, then the next: in reverse order.
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        return nursery

    def _of_role(self, role: str) -> list[BuiltNode]:
        return [node for node in self._graph.nodes.values() if node.role == role]

    async def _start(self, nursery: trio.Nursery, node: BuiltNode) -> None:
        if node.role == "sinks":
            self._playing.add(node.id)
        async with trio.open_nursery() as starting:
            starting.start_soon(self._cancel_on, self._stopping, starting.cancel_scope)
            await nursery.start(self._supervise, node)
            starting.cancel_scope.cancel()

    async def _watch_clock(self, id: str) -> None:
        clock = self._graph.fallbacks[id]
        while True:
            await trio.sleep(WATCH_S)
            change = clock.update(self._services.local.now_ns())
            if change is not None:
                self._services.event(id, change, {"fallback": self._graph.nodes[id].config.fallback})

    async def _stop_when_done(self) -> None:
        if self._of_role("sinks"):
            await self._no_sink_plays()
            self.stop("completed")

    async def _no_sink_plays(self) -> None:
        while self._playing:
            await self._sink_ended.wait()

    async def _drain(self) -> None:
        # The sources' streams end where they are; what they still write is not played.
        for node in self._of_role("sources"):
            node.stream.stop()
        with trio.move_on_after(DRAIN_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cancel_on, self._at_once, nursery.cancel_scope)
                await self._no_sink_plays()
                nursery.cancel_scope.cancel()

    async def _abandon_calls(self) -> None:
        # Nodes are being cancelled. A call of theirs that does not return must not keep the run from ending.
        await trio.sleep(CLOSE_S)
        self._services.threads.abandon_all()

    @staticmethod
    async def _cancel_on(event: trio.Event, scope: trio.CancelScope) -> None:
        await event.wait()
        scope.cancel()

    async def _supervise(
        self, node: BuiltNode, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        ready = _Once(task_status.started)
        try:
            await self._keep_running(node, ready)
        finally:
            if node.input is not None:
                node.input.detach()
                self._playing.discard(node.id)
                self._sink_ended.set()
                self._sink_ended = trio.Event()
        if node.role == "sources" and self.states[node.id] is State.FAILED:
            node.stream.finish()
        ready()

    async def _keep_running(self, node: BuiltNode, ready: Callable[[], None]) -> None:
        attempt = 0
        while True:
            if node.input is not None:
                node.input.resume()
            began = trio.current_time()
            failure = await self._run_once(node, ready)
            if failure is None:
                self.states[node.id] = State.ENDED
                return
            if isinstance(failure, _RestartRequested):
                attempt = 0
                self._services.event(node.id, "restarted", {})
                continue
            if node.config.on_failure != "restart" or self._stopping.is_set():
                self.fail(node.id, failure, stop=node.config.on_failure == "stop")
                return
            if trio.current_time() - began > RESTART_FORGET_S:
                attempt = 0
            pause = RESTART_PAUSES_S[min(attempt, len(RESTART_PAUSES_S) - 1)]
            attempt += 1
            self.states[node.id] = State.RESTARTING
            self.failures[node.id] = describe(failure)
            self._services.event(node.id, "restarting", {"reason": self.failures[node.id], "pause_s": pause})
            ready()  # the others do not wait for its recovery, nor a source for it to read on
            if node.input is not None:
                node.input.suspend()
            with trio.move_on_after(pause) as waiting:
                self._restarts[node.id] = waiting.cancel
                await self._stopping.wait()
                return

    async def _run_once(self, node: BuiltNode, ready: Callable[[], None]) -> Exception | None:
        failures: list[Exception] = []
        with trio.CancelScope(deadline=trio.current_time() + START_TIMEOUT_S) as scope:

            def failed(error: Exception) -> None:
                failures.append(error)
                scope.cancel()

            def is_ready() -> None:
                scope.deadline = math.inf
                self.failures.pop(node.id, None)
                ready()

            context = Context(node.id, self._services, failed)
            self.states[node.id] = State.RUNNING
            self._restarts[node.id] = partial(failed, _RestartRequested())
            try:
                await node.node.run(context, task_status=_Status(is_ready))
            except Exception as error:  # whatever a plugin raises is its node's failure
                failures.append(error)
            except BaseExceptionGroup as group:
                cancelled, others = group.split(trio.Cancelled)
                if not isinstance(others, Exception):
                    raise
                # It failed while it was being cancelled.
                self.fail(node.id, others, stop=node.config.on_failure == "stop")
                if cancelled is not None:
                    raise cancelled from None
            finally:
                self._restarts.pop(node.id, None)
                context.close()
        if scope.cancelled_caught and not failures:
            return NodeError(f"not ready after {START_TIMEOUT_S:g} s")
        return failures[0] if failures else None

    def fail(self, id: str, error: Exception, *, stop: bool = True) -> None:
        """Record that a node has failed; with ``stop`` the run ends."""
        reason = describe(error)
        self.failures[id] = reason
        if id in self.states:
            self.states[id] = State.FAILED
        self._services.event(id, "failed", {"reason": reason})
        if not isinstance(_alone(error), NodeError):
            self._services.log.error("unexpected failure", node=id, exc_info=error)
        if stop:
            self.stop("failed")


class _RestartRequested(Exception):
    """The node was asked to start again."""


class _Once:
    """Calls a function the first time that it is called: a restarted node reports again that it is ready."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._called = False

    def __call__(self) -> None:
        if not self._called:
            self._called = True
            self._function()


class _Status:
    """A task status that calls a function."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def started(self, value: None = None) -> None:
        self._function()


def _alone(error: BaseException) -> BaseException:
    # A single failure within a nursery comes in a group too.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def describe(error: BaseException) -> str:
    """A failure as a sentence: its message, and for unforeseen errors their type too."""
    error = _alone(error)
    if isinstance(error, NodeError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return f"{type(error).__name__}: {error}"
