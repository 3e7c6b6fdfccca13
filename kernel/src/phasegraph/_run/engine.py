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
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import trio

from .._core.errors import NodeError
from .._core.localtime import LocalClock
from .._core.node import Step
from .priorities import lower_data_plane, raise_data_plane, raised_control_plane

T = TypeVar("T")
ENGINE_THREAD = "phasegraph-engine"
"""Name of the thread."""
IDLE_NS = 100_000_000
"""The longest sleep."""
LEAST_SLEEP_NS = 20_000
"""A shorter rest is not slept: waking up takes longer."""
SWITCH_INTERVAL_S = 0.00002
"""How long another Python thread may keep the interpreter from the engine (CPython's default is 5 ms). The engine waits
for it after each call that gives it up, of which a step makes many: with 0.1 ms packets leave twice as late."""
COLLECTIONS = (700, 10, 10)
"""Thresholds of garbage collections in a run (CPython's default): frequent, so that each is short."""
_PR_SET_TIMERSLACK = 29
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


class Attachment:
    """A step that is attached, until it is detached.

    ``attached`` is cleared by `detach`, when the step raises, and where it does not return; it is never set again.
    """

    __slots__ = ("_engine", "attached", "failed", "hastened", "lock", "step", "stuck")

    def __init__(self, engine: Engine, step: Step, failed: Callable[[Exception], None]) -> None:
        self._engine = engine
        self.step = step
        self.failed = failed
        self.attached = True
        self.hastened = False
        """Whether it is due whatever it returned. Set by `call_now`, cleared by the engine's thread."""
        self.stuck = False
        """Whether its thread was left behind. Written by the control plane."""
        self.lock = threading.RLock()
        """Held while the step runs; a step may detach itself."""

    def run(self, now: int) -> int:
        """Call the step, if it is attached; returns when it is due next. Runs in the engine's thread."""
        if not self.attached:
            return now
        self.hastened = False
        with self.lock:
            if self.attached:
                try:
                    due = operator.index(self.step(now))
                    return due if due > now else now
                except Exception as error:  # an error of a step is the failure of its node, not of the engine
                    if not self.stuck:
                        self.attached = False
                        self.failed(error)
        return now

    def call_now(self) -> None:
        """Call the step, whenever it asked to be called. Any thread may call this; in virtual time, the run's own."""
        self.hastened = True
        self._engine.rearrange_queue()

    def detach(self) -> None:
        """Never call the step again; it is not running any more, unless it does not return within `DETACH_S`."""
        self.attached = False  # first, so that a busy engine does not take the lock again
        if not self.stuck and self.lock.acquire(timeout=DETACH_S):
            self.lock.release()
        self._engine.rearrange_queue()


class Engine:
    """Calls every attached step when it is due."""

    def __init__(self, local: LocalClock) -> None:
        self._local = local
        self._queue: list[tuple[int, int, Attachment]] = []
        """When each step is due, and its number, which orders those due together. Only the engine's thread touches it,
        so that attaching and detaching never wait for other nodes' steps, however busy they are."""
        self._arriving: deque[tuple[int, int, Attachment]] = deque()
        self._changed = False
        """Whether a step was detached or is due now. Set by any thread, cleared by the engine's."""
        self._numbers = itertools.count(1)
        self._stop = False
        self._alarm = threading.Lock()
        """The engine sleeps until it gets this lock, which `_wake` releases and nothing else does."""
        self._alarm.acquire()
        self._virtual_sleep = trio.CancelScope()
        """The sleep, in virtual time. Only the control plane touches it."""
        self._generation = 0
        """Number of the thread that runs steps. Written by the control plane; a thread of an older number ends."""
        self._call: tuple[Attachment] | None = None
        """The call that runs now, another object for each. Written by the engine's thread."""
        self.passes = 0
        """How often the engine has looked for steps that are due: ten times a second at least, while no step keeps it.
        Written by its thread; any thread may read it."""
        self._rests_until_ns = 0
        """Local time at which the thread that sleeps now is due; 0 while it does not sleep. Written by it."""
        self._rest_wanted_ns = 0
        """Length of the rest that the control plane waits for; 0 where it does not. Set by it; set to 0 by it and, when
        the rest has come, by the engine's thread."""
        self._rest = threading.Lock()
        """Held, and released by the engine's thread when a rest comes that is waited for."""
        self._rest.acquire()
        self._runs = False
        """Whether its thread runs. Written by the control plane."""
        self._ordinary = False
        """Whether the run keeps no real-time priority. Written by the control plane."""
        self._crash: Exception | None = None
        """Why the thread ended. Written by it."""
        self.woken = False
        """Set where, in virtual time, tasks or another step have their turn before the next step is due."""

    def attach(self, step: Step, failed: Callable[[Exception], None]) -> Attachment:
        """Call ``step`` from now on.

        A step that raises is detached, and ``failed`` is called with the error, in the engine's thread.
        """
        attachment = Attachment(self, step, failed)
        self._arriving.append((self._local.now_ns(), next(self._numbers), attachment))
        self._wake()
        return attachment

    def rearrange_queue(self) -> None:
        """A step was detached, or is due now. Any thread may call it."""
        self._changed = True
        self._wake()

    def _wake(self) -> None:
        self.woken = True
        if self._local.virtual:
            self._virtual_sleep.cancel()
        else:
            with suppress(RuntimeError):  # it was woken already
                self._alarm.release()

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

        attachment = self.attach(step, failed)
        with trio.move_on_after(CALL_S, shield=True):
            await done.wait()
        attachment.detach()
        if errors:
            raise errors[0]
        if not results:
            raise NodeError("the data plane is held up")
        return results[0]

    def wait_for_rest(self, least_ns: int, patience_s: float) -> int:
        """Wait until no step is due for ``least_ns``; returns for how long that is, in ns, or 0 where patience ended.

        Called by the control plane, which waits here without giving up its turn. In virtual time steps and tasks take
        turns, so that there is always a rest; and so there is where its thread does not run.
        """
        if not self._runs:
            return least_ns
        ends_ns = self._local.now_ns() + round(patience_s * 1e9)
        try:
            while True:
                self._rest.acquire(blocking=False)  # released too late for the wait before
                self._rest_wanted_ns = least_ns  # before the look: a rest that begins after it is said
                now_ns = self._local.now_ns()
                rest_ns = self._rests_until_ns - now_ns
                if rest_ns >= least_ns:
                    return rest_ns
                if now_ns >= ends_ns:
                    return 0
                self._rest.acquire(timeout=(ends_ns - now_ns) / 1e9)
        finally:
            self._rest_wanted_ns = 0

    def run_due_steps(self, now: int, generation: int = 0) -> int:
        """Call the steps that are due, the most overdue first; returns the local time at which the next one is.

        ``now`` is local time, and ``generation`` that of the calling thread.
        """
        queue, virtual = self._queue, self._local.virtual
        while True:
            if self._arriving or self._changed:
                self._rearrange(now)
            if not queue or queue[0][0] > now:
                return min(queue[0][0], now + IDLE_NS) if queue else now + IDLE_NS
            due, number, entry = queue[0]
            self._call = (entry,)
            due = entry.run(now)
            if generation != self._generation:
                return now  # this thread was left behind, and the queue is another's
            self._call = None
            if entry.attached:
                heapq.heapreplace(queue, (due, number, entry))
            else:
                heapq.heappop(queue)
            if not virtual:  # virtual time does not pass during a step
                now = self._local.now_ns()
            if self._stop:
                return now

    def give_up_priority(self) -> None:
        """Run with ordinary priority from now on, and so all other threads of the process."""
        self._ordinary = True

    def _rearrange(self, now: int) -> None:
        while self._arriving:
            heapq.heappush(self._queue, self._arriving.popleft())
        if self._changed:
            self._changed = False
            self._queue[:] = [
                (min(due, now) if entry.hastened else due, number, entry)
                for due, number, entry in self._queue
                if entry.attached
            ]
            heapq.heapify(self._queue)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        task_status.started()
        if self._local.virtual:
            with _objects_frozen():
                await self._run_virtually()
        self._stop = False
        switch_interval_s, collections = sys.getswitchinterval(), gc.get_threshold()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.set_threshold(*COLLECTIONS)
        gc.collect()
        with _objects_frozen(), raised_control_plane() as threads:
            thread = self._start_thread()
            self._runs = True
            seen, checks = self._call, 0
            try:
                while self._crash is None:
                    await trio.sleep(CHECK_S)
                    self._wake()  # where a lock's timeout follows the wall clock, its steps backwards prolong a sleep
                    if self._ordinary:
                        threads.lower()
                    threads.lift()
                    call = self._call
                    seen, checks = call, checks + 1 if call is not None and call is seen else 0
                    if call is not None and checks >= STUCK_CHECKS:
                        thread = self._replace_thread(*call)
                raise self._crash
            finally:
                self._stop, self._runs = True, False
                self._wake()
                thread.join(STOP_S)  # a step that does not return is left behind with its thread, a daemon
                sys.setswitchinterval(switch_interval_s)
                gc.set_threshold(*collections)

    def _start_thread(self) -> threading.Thread:
        thread = threading.Thread(target=self._loop, args=[self._generation], name=ENGINE_THREAD, daemon=True)
        thread.start()
        return thread

    def _replace_thread(self, entry: Attachment) -> threading.Thread:
        self._generation += 1
        self._call = None
        entry.stuck, entry.attached = True, False
        self._changed = True
        entry.failed(NodeError(f"a step of it did not return within {CHECK_S * STUCK_CHECKS:g} s"))
        return self._start_thread()

    async def _run_virtually(self) -> None:
        # While every task waits for a time after the next step's, time is moved on here: a pass through trio costs as
        # much as ten steps (measured: 34 us). Where a step and a task are due together, the step comes first. Several
        # engines, which do not see each other's steps, all go through trio.
        from trio.testing import wait_all_tasks_blocked

        def run_steps() -> float:
            now_ns = self._local.now_ns()
            return self._local.seconds_until(self.run_due_steps(now_ns), now_ns)

        jump: Any = getattr(trio.lowlevel.current_clock(), "jump", None)
        _engines.set(_engines.get() + 1)
        try:
            while True:
                alone = jump is not None and _engines.get() == 1
                if alone:  # a step that a task attaches is called after what the tasks do at this time
                    await wait_all_tasks_blocked()
                self.woken = False
                wait_s = run_steps()
                if alone:
                    others_s = min(LONGEST_S, trio.lowlevel.current_statistics().seconds_to_next_deadline)
                    while wait_s <= others_s and not self.woken:
                        jump(wait_s)
                        others_s -= wait_s
                        wait_s = run_steps()
                    if not self.woken:  # the tasks that are due then have their turn before the next steps
                        jump(max(0.0, others_s))
                        continue
                    wait_s = 0.0
                with trio.CancelScope() as self._virtual_sleep:
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
            raise_data_plane()
        ordinary = False
        while not self._stop and generation == self._generation:
            self.passes += 1
            if self._ordinary and not ordinary:
                ordinary = True
                lower_data_plane()
            due = self.run_due_steps(self._local.now_ns(), generation)
            rest_ns = due - self._local.now_ns()
            if rest_ns > LEAST_SLEEP_NS:
                self._rests_until_ns = due
                if 0 < self._rest_wanted_ns <= rest_ns:
                    self._rest_wanted_ns = 0
                    with suppress(RuntimeError):  # a thread that was left behind did it too
                        self._rest.release()
                self._alarm.acquire(timeout=rest_ns / 1e9)
                self._rests_until_ns = 0


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
