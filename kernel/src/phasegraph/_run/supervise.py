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
from .fallback import NO_FALLBACK_WATCH_S, WATCH_S

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


class NodeRun:
    """One node as it runs. Written by the control plane."""

    def __init__(self, node: BuiltNode, *, trial: bool = False) -> None:
        """``trial``: a failure before the node is ready ends it, and nothing else."""
        self.node = node
        self.state = State.WAITING
        self.failure = ""
        """Why it failed, or why it is being restarted."""
        self.restart: Callable[[], None] | None = None
        """Ends what it does now, so that it starts again."""
        self.trial = trial
        self.trial_failure: Exception | None = None
        self.scope = trio.CancelScope()
        self.finished = trio.Event()
        self.keeps_input = False
        """Whether it may be started again after it has ended: its sources then wait for it no longer, but go on."""


def _is_disabled(sink: BuiltNode) -> bool:
    # It has ended, and waits for a controller: the run goes on.
    return getattr(sink.config, "enabled", True) is False


class Supervisor:
    """Runs the nodes of one graph from start to drained end."""

    def __init__(self, graph: BuiltGraph, services: Services) -> None:
        self._graph = graph
        self._services = services
        self._stopping = trio.Event()
        self._at_once = trio.Event()
        self._playing: set[NodeRun] = set()
        self._sink_ended = trio.Event()
        self._nurseries: dict[str, trio.Nursery] = {}
        self._runs: dict[BuiltNode, NodeRun] = {}
        self._other_failures: dict[str, str] = {}
        self.changing = False
        """Whether the graph is being changed: the run does not end for want of sinks."""
        self.ended: Ended = "completed"
        self.started = trio.Event()

    def state(self, node: BuiltNode) -> State:
        """What a node does now."""
        run = self._runs.get(node)
        return State.WAITING if run is None else run.state

    def failure(self, node: BuiltNode) -> str:
        """Why a node failed, or why it is being restarted; empty where it runs."""
        run = self._runs.get(node)
        return (run.failure if run is not None else "") or self._other_failures.get(node.id, "")

    @property
    def stopping(self) -> bool:
        """Whether the run is ending."""
        return self._stopping.is_set()

    async def wait_until_stopping(self) -> None:
        """Wait until the run is ending."""
        await self._stopping.wait()

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
        node = self._graph.nodes.get(id)
        if node is None:
            hint = did_you_mean(id, self._graph.nodes)
            return f"no node '{id}'" + (f" ({hint})" if hint else "")
        if self.stopping:
            return "the run is ending"
        run = self._runs.get(node)
        if run is None or run.restart is None:
            return f"node '{id}' cannot be restarted: it is {self.state(self._graph.nodes[id]).value}"
        run.restart()
        return ""

    def is_running(self, id: str) -> bool:
        """Whether a node of the graph has neither ended nor failed."""
        return self.state(self._graph.nodes[id]) not in (State.ENDED, State.FAILED)

    async def cancel_when_stopping(self, scope: trio.CancelScope) -> None:
        """Cancel a scope when the run ends."""
        await self._cancel_on(self._stopping, scope)

    async def start_beside(self, node: BuiltNode) -> None:
        """Start a node beside those that run, and wait until it is ready. Raises what it failed with."""
        run = NodeRun(node, trial=True)
        await self._start(run)
        if run.trial_failure is not None:
            raise run.trial_failure
        if self._stopping.is_set():
            raise NodeError("the run is ending")

    async def start_again(self, node: BuiltNode) -> None:
        """Start a node again that `stop_node` has stopped. A failure counts as one of the run."""
        await self._start(NodeRun(node))

    async def stop_node(self, node: BuiltNode, *, keeps_input: bool = False) -> None:
        """End a node, and wait until it has closed what it uses. ``keeps_input``: `start_again` may follow."""
        run = self._runs.get(node)
        if run is not None:
            run.keeps_input = keeps_input
            run.scope.cancel()
            await run.finished.wait()
            if not keeps_input:
                self.forget(node)

    def forget(self, node: BuiltNode) -> None:
        """A node that has ended is not started again."""
        self._runs.pop(node, None)
        if node.input is not None:
            node.input.detach()

    async def wait_ended(self, node: BuiltNode) -> None:
        """Wait until a node has ended by itself."""
        run = self._runs.get(node)
        if run is not None:
            await run.finished.wait()

    def graph_changed(self) -> None:
        """The graph has been replaced: sees whether a sink is left that plays."""
        self._signal_sinks()

    async def run(self) -> None:
        """Run until every sink has ended, or the run is stopped."""
        try:
            async with AsyncExitStack() as stack:
                control = await self._nursery(stack)
                await control.start(self._run_engine)
                control.start_soon(self._watch_clocks)
                for role in ("clocks", "sources", "sinks"):
                    nursery = self._nurseries[role] = await self._nursery(stack)
                    for node in self._of_role(role):
                        if not self._stopping.is_set():
                            await self._start(NodeRun(node))
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

    async def _start(self, run: NodeRun) -> None:
        node = run.node
        self._runs[node] = run
        node.started = True
        if node.role == "sinks":
            self._playing.add(run)
        async with trio.open_nursery() as starting:
            starting.start_soon(self._cancel_on, self._stopping, starting.cancel_scope)
            await self._nurseries[node.role].start(self._supervise, run)
            starting.cancel_scope.cancel()

    async def _watch_clocks(self) -> None:
        while True:
            await trio.sleep(WATCH_S if self._graph.fallbacks else NO_FALLBACK_WATCH_S)
            for id, clock in self._graph.fallbacks.items():
                change = clock.update(self._services.local.now_ns())
                if change is not None:
                    self._services.event(id, change, {"fallback": self._graph.nodes[id].config.fallback})

    async def _stop_when_done(self) -> None:
        while self._playing or self.changing or all(map(_is_disabled, self._of_role("sinks"))):
            await self._sink_ended.wait()
        self.stop("completed")

    async def _no_sink_plays(self) -> None:
        while self._playing:
            await self._sink_ended.wait()

    def _signal_sinks(self) -> None:
        self._sink_ended.set()
        self._sink_ended = trio.Event()

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

    async def _supervise(self, run: NodeRun, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        node = run.node
        ready = _Once(task_status.started)
        try:
            with run.scope:
                await self._keep_running(run, ready)
        finally:
            if node.input is not None:
                # Without its last reader a stream would end, and a sink that is disabled may be enabled later.
                if run.keeps_input or (_is_disabled(node) and not self._stopping.is_set()):
                    node.input.suspend()
                else:
                    node.input.detach()
                self._playing.discard(run)
                self._signal_sinks()
            run.finished.set()
        if node.role == "sources" and run.state is State.FAILED:
            node.stream.finish()
        ready()

    async def _keep_running(self, run: NodeRun, ready: _Once) -> None:
        node = run.node
        attempt = 0
        while True:
            if node.input is not None:
                node.input.resume()
            began = trio.current_time()
            failure = await self._run_once(run, ready)
            if failure is None:
                run.state = State.ENDED
                return
            if isinstance(failure, _RestartRequested):
                attempt = 0
                self._services.event(node.id, "restarted", {})
                continue
            if run.trial and not ready.called:
                run.trial_failure = failure
                return
            if node.config.on_failure != "restart" or self._stopping.is_set():
                self._fail(run, failure)
                return
            if trio.current_time() - began > RESTART_FORGET_S:
                attempt = 0
            pause = RESTART_PAUSES_S[min(attempt, len(RESTART_PAUSES_S) - 1)]
            attempt += 1
            run.state = State.RESTARTING
            run.failure = describe(failure)
            self._services.event(node.id, "restarting", {"reason": run.failure, "pause_s": pause})
            ready()  # the others do not wait for its recovery, nor a source for it to read on
            if node.input is not None:
                node.input.suspend()
            with trio.move_on_after(pause) as waiting:
                run.restart = waiting.cancel
                await self._stopping.wait()
                return

    async def _run_once(self, run: NodeRun, ready: Callable[[], None]) -> Exception | None:
        node = run.node
        failures: list[Exception] = []
        with trio.CancelScope(deadline=trio.current_time() + START_TIMEOUT_S) as scope:

            def failed(error: Exception) -> None:
                failures.append(error)
                scope.cancel()

            def is_ready() -> None:
                scope.deadline = math.inf
                run.failure = ""
                ready()

            context = Context(node.id, self._services, failed)
            run.state = State.RUNNING
            run.restart = partial(failed, _RestartRequested())
            try:
                await node.node.run(context, task_status=_Status(is_ready))
            except Exception as error:  # whatever a plugin raises is its node's failure
                failures.append(error)
            except BaseExceptionGroup as group:
                cancelled, others = group.split(trio.Cancelled)
                if not isinstance(others, Exception):
                    raise
                # It failed while it was being cancelled.
                self._fail(run, others)
                if cancelled is not None:
                    raise cancelled from None
            finally:
                run.restart = None
                context.close()
        if scope.cancelled_caught and not failures:
            return NodeError(f"not ready after {START_TIMEOUT_S:g} s")
        return failures[0] if failures else None

    def _fail(self, run: NodeRun, error: Exception) -> None:
        run.state = State.FAILED
        run.failure = self._report_failure(run.node.id, error)
        if run.node.config.on_failure == "stop":
            self.stop("failed")

    def fail(self, id: str, error: Exception) -> None:
        """Something beside the nodes has failed: the run ends."""
        self._other_failures[id] = self._report_failure(id, error)
        self.stop("failed")

    def _report_failure(self, id: str, error: Exception) -> str:
        reason = describe(error)
        self._services.event(id, "failed", {"reason": reason})
        if not isinstance(sole_error(error), NodeError):
            self._services.log.error("unexpected failure", node=id, exc_info=error)
        return reason


class _RestartRequested(Exception):
    """The node was asked to start again."""


class _Once:
    """Calls a function the first time that it is called: a restarted node reports again that it is ready."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self.called = False

    def __call__(self) -> None:
        if not self.called:
            self.called = True
            self._function()


class _Status:
    """A task status that calls a function."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def started(self, value: None = None) -> None:
        self._function()


def sole_error(error: BaseException) -> BaseException:
    """What is in a group of one exception; otherwise the exception itself."""
    # A single failure within a nursery comes in a group too.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def describe(error: BaseException) -> str:
    """A failure as a sentence: its message, and for unforeseen errors their type too."""
    error = sole_error(error)
    if isinstance(error, NodeError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return f"{type(error).__name__}: {error}"
