"""The data plane: steps of nodes, called when they are due, from one thread that does nothing else.

In real time the engine is a thread that sleeps to absolute deadlines; in virtual time it is a task of the run, and
the same steps are called. A step never waits, and returns when it wants to be called again.

No step starves another: the most overdue runs first, and one that asks to be called again at once, or in the past, is
due from when it was called, behind every step that has waited longer. How much work one call may do is the step's own
budget. A step that raises, or does not return for five seconds, ends its node, and never the engine.
"""

from __future__ import annotations

import ctypes
import gc
import heapq
import itertools
import operator
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import trio

from .._core.errors import NodeError
from .._core.localtime import LocalClock
from .._core.node import Step

T = TypeVar("T")
ENGINE_THREAD = "phasegraph-engine"
"""Name of the thread."""
IDLE_NS = 100_000_000
"""The longest sleep. A step that is attached meanwhile waits for its end; soon after another was attached, as at the
start, sleeps are shorter."""
LIVELY_NS = 2_000_000_000
LIVELY_IDLE_NS = 20_000_000
LEAST_SLEEP_NS = 20_000
"""A shorter rest is not slept: waking up takes longer."""
SWITCH_INTERVAL_S = 0.00002
"""How long another Python thread may keep the interpreter from the engine (CPython's default is 5 ms). The engine waits
for it after each call that gives it up, of which a step makes many: with 0.1 ms packets leave twice as late."""
_PR_SET_TIMERSLACK = 29
_PRIORITY = 4
"""Real-time, where that is permitted: ahead of all that has no such priority, behind what drives sound cards (the
clients of ``jackd`` have 5 by default)."""
_NICE = -15
"""Of all other threads of the process, where that is permitted. One that holds the interpreter must not wait for other
programs: the engine would wait with it, whatever its own priority is."""
DETACH_S = 0.5
"""How long detaching waits for a step that is running. A step that does not return is left behind."""
STOP_S = 1.0
"""The same of the end of the engine."""
CALL_S = 1.0
"""How long a call between steps waits for its turn."""
CHECK_S = 0.5
STUCK_CHECKS = 10
"""A call of a step that is still the same at this many checks does not return: its thread is left behind."""
LONGEST_S = 1.0
"""The longest virtual time that passes without trio: signals are noticed there."""
_FEW_OBJECTS = 10_000
_engines: trio.lowlevel.RunVar[int] = trio.lowlevel.RunVar("engines", 0)
"""How many run in virtual time."""


class _Entry:
    """A step that is attached, until it is detached.

    ``attached`` is cleared by `detach`, when the step raises, and where it does not return; it is never set again.
    """

    __slots__ = ("attached", "failed", "lock", "step", "stuck")

    def __init__(self, step: Step, failed: Callable[[Exception], None]) -> None:
        self.step = step
        self.failed = failed
        self.attached = True
        self.stuck = False
        """Whether its thread was left behind. Written by the control plane."""
        self.lock = threading.RLock()
        """Held while the step runs; a step may detach itself."""

    def run(self, now: int) -> int:
        """Call the step, if it is attached; returns when it is due next. Runs in the engine's thread."""
        if not self.attached:
            return now
        with self.lock:
            if self.attached:
                try:
                    return max(operator.index(self.step(now)), now)
                except Exception as error:  # an error of a step is the failure of its node, not of the engine
                    if not self.stuck:
                        self.attached = False
                        self.failed(error)
        return now


class Engine:
    """Calls every attached step when it is due."""

    def __init__(self, local: LocalClock) -> None:
        self._local = local
        self._queue: list[tuple[int, int, _Entry]] = []
        """When each step is due, and its number, which orders those due together. Only the engine's thread touches it,
        so that attaching and detaching never wait for other nodes' steps, however busy they are."""
        self._arriving: deque[tuple[int, int, _Entry]] = deque()
        self._leaving = False
        self._numbers = itertools.count(1)
        self._lively_until = 0
        self._stop = False
        self._generation = 0
        """Number of the thread that runs steps. Written by the control plane; a thread of an older number ends."""
        self._call: tuple[_Entry] | None = None
        """The call that runs now, another object for each. Written by the engine's thread."""
        self.passes = 0
        """How often the engine has looked for steps that are due: ten times a second at least, while no step keeps it.
        Written by its thread; any thread may read it."""
        self._ordinary = False
        """Whether the engine keeps no real-time priority. Written by the control plane."""
        self._crash: Exception | None = None
        """Why the thread ended. Written by it."""
        self.woken = False
        """Set when a step has called a function on the control plane, which in virtual time has its turn next."""

    def attach(self, step: Step, failed: Callable[[Exception], None]) -> Callable[[], None]:
        """Call ``step`` from now on. Returns a function that detaches it, after which it is not running any more.

        A step that raises is detached, and ``failed`` is called with the error, in the engine's thread.
        """
        now = self._local.now_ns()
        entry = _Entry(step, failed)
        self._lively_until = now + LIVELY_NS
        self._arriving.append((now, next(self._numbers), entry))

        def detach() -> None:
            entry.attached = False  # first, so that a busy engine does not take the lock again
            if not entry.stuck and entry.lock.acquire(timeout=DETACH_S):
                entry.lock.release()
            self._leaving = True

        return detach

    async def call_between_steps(self, function: Callable[[], T]) -> T:
        """Call a function in the engine's thread, while no step runs, and return what it returns.

        Raises what it raises, and NodeError where the engine does not come to it within a second. Once it has been
        called, that is not given up: a cancellation waits for it.
        """
        if self._local.virtual:  # steps and tasks take turns
            await trio.lowlevel.checkpoint()
            return function()
        results: list[T] = []
        errors: list[Exception] = []
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def failed(error: Exception) -> None:
            errors.append(error)
            token.run_sync_soon(done.set)

        def step(now_ns: int) -> int:
            if not results:
                results.append(function())
                token.run_sync_soon(done.set)
            return now_ns + IDLE_NS

        detach = self.attach(step, failed)
        with trio.move_on_after(CALL_S, shield=True):
            await done.wait()
        detach()
        if errors:
            raise errors[0]
        if not results:
            raise NodeError("the data plane is held up")
        return results[0]

    def run_due_steps(self, generation: int = 0) -> int:
        """Call the steps that are due, the most overdue first; returns the local time at which the next one is.

        ``generation`` is that of the calling thread.
        """
        now = self._local.now_ns()
        queue = self._queue
        while True:
            if self._arriving or self._leaving:
                self._rearrange()
            if not queue:
                return now + LIVELY_IDLE_NS
            due, number, entry = queue[0]
            if due > now:
                idle_ns = LIVELY_IDLE_NS if now < self._lively_until else IDLE_NS
                return min(due, now + idle_ns)
            self._call = (entry,)
            due = entry.run(now)
            if generation != self._generation:
                return now  # this thread was left behind, and the queue is another's
            self._call = None
            if entry.attached:
                heapq.heapreplace(queue, (due, number, entry))
            else:
                heapq.heappop(queue)
            if not self._local.virtual:  # virtual time does not pass during a step
                now = self._local.now_ns()
            if self._stop:
                return now

    def give_up_priority(self) -> None:
        """Run with ordinary priority from now on, and so all other threads of the process."""
        if not self._ordinary and not self._local.virtual:
            self._ordinary = True
            _set_nice(0)

    def _rearrange(self) -> None:
        while self._arriving:
            heapq.heappush(self._queue, self._arriving.popleft())
        if self._leaving:
            self._leaving = False
            self._queue[:] = [waiting for waiting in self._queue if waiting[2].attached]
            heapq.heapify(self._queue)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        task_status.started()
        if self._local.virtual:
            with _objects_frozen():
                await self._run_virtually()
        self._stop = False
        switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.collect()
        with _objects_frozen():
            nice = _set_nice(0 if self._ordinary else _NICE)
            thread = self._start_thread()
            seen, checks = self._call, 0
            try:
                while self._crash is None:
                    await trio.sleep(CHECK_S)
                    call = self._call
                    seen, checks = call, checks + 1 if call is not None and call is seen else 0
                    if call is not None and checks >= STUCK_CHECKS:
                        thread = self._replace_thread(*call)
                raise self._crash
            finally:
                self._stop = True
                thread.join(STOP_S)  # a step that does not return is left behind with its thread, a daemon
                _set_nice(nice)
                sys.setswitchinterval(switch_interval_s)

    def _start_thread(self) -> threading.Thread:
        thread = threading.Thread(target=self._loop, args=[self._generation], name=ENGINE_THREAD, daemon=True)
        thread.start()
        return thread

    def _replace_thread(self, entry: _Entry) -> threading.Thread:
        self._generation += 1
        self._call = None
        entry.stuck, entry.attached = True, False
        self._leaving = True
        entry.failed(NodeError(f"a step of it did not return within {CHECK_S * STUCK_CHECKS:g} s"))
        return self._start_thread()

    async def _run_virtually(self) -> None:
        # While every task waits for a time after the next step's, time is moved on here: a pass through trio costs as
        # much as ten steps (measured: 34 us). Where a step and a task are due together, the step comes first. Several
        # engines, which do not see each other's steps, all go through trio.
        from trio.testing import wait_all_tasks_blocked

        jump: Any = getattr(trio.lowlevel.current_clock(), "jump", None)
        _engines.set(_engines.get() + 1)
        try:
            while True:
                self.woken = False
                wait_s = self._local.seconds_until(self.run_due_steps())
                if jump is not None and _engines.get() == 1:
                    await wait_all_tasks_blocked()
                    others_s = min(LONGEST_S, trio.lowlevel.current_statistics().seconds_to_next_deadline)
                    while wait_s <= others_s and not self.woken:
                        jump(wait_s)
                        others_s -= wait_s
                        wait_s = self._local.seconds_until(self.run_due_steps())
                    wait_s = 0.0 if self.woken else max(0.0, others_s)
                await trio.sleep(wait_s)
        finally:
            _engines.set(_engines.get() - 1)

    def _loop(self, generation: int) -> None:
        try:
            self._run_steps(generation)
        except Exception as error:
            self._crash = error

    def _run_steps(self, generation: int) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)  # wake on time, not up to 50 us later
            with suppress(OSError):  # it is the thread's own, and not that of what it may start
                os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(_PRIORITY))
        ordinary = False
        while not self._stop and generation == self._generation:
            self.passes += 1
            if ordinary is not self._ordinary:
                ordinary = self._ordinary
                if sys.platform == "linux":
                    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            rest = self.run_due_steps(generation) - self._local.now_ns()
            if rest > LEAST_SLEEP_NS:
                time.sleep(rest / 1e9)


@contextmanager
def _objects_frozen() -> Iterator[None]:
    # Garbage collections leave out the objects that there are now: they live until the end.
    if _others_are_frozen():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@cache
def _others_are_frozen() -> bool:
    # Those of a test runner are not a run's to unfreeze. A fresh interpreter has a few; to count many takes long.
    return gc.get_freeze_count() > _FEW_OBJECTS


def _set_nice(nice: int) -> int:
    # Of the threads that there are; those that they start inherit it. Returns what this thread's was.
    before = 0
    if sys.platform == "linux":
        before = os.getpriority(os.PRIO_PROCESS, 0)
        for thread in os.listdir("/proc/self/task"):
            with suppress(OSError):  # it may not be permitted, or the thread has ended
                os.setpriority(os.PRIO_PROCESS, int(thread), nice)
    return before
