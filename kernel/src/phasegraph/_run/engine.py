"""The data plane: nodes' steps, called when they are due, from one thread that does nothing else.

In real time the engine is a thread that sleeps to absolute deadlines; in virtual time it is a task of the run, and
the very same steps are called. A step never waits, and says when it wants to be called again.
"""

from __future__ import annotations

import ctypes
import gc
import heapq
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio

from .._core.localtime import LocalClock
from .._core.node import Step

IDLE_NS = 100_000_000
"""The longest sleep. What is attached meanwhile waits so long, but not soon after another was, as at the start."""
LIVELY_NS = 2_000_000_000
LIVELY_IDLE_NS = 20_000_000
LEAST_SLEEP_NS = 20_000
"""A shorter rest is not slept: waking up takes longer."""
SWITCH_INTERVAL_S = 0.0001
"""How long another Python thread may keep the interpreter from the engine (CPython's default is 5 ms)."""
_PR_SET_TIMERSLACK = 29
_PRIORITY = 10
"""Real-time, where that is permitted: ahead of all that has no such priority, behind what drives sound cards."""
LONGEST_S = 1.0
"""The longest that trio does not see of virtual time: signals are noticed there."""
_engines: trio.lowlevel.RunVar[int] = trio.lowlevel.RunVar("engines", 0)
"""How many run in virtual time."""


class _Entry:
    """A step that is attached, until it is not."""

    __slots__ = ("attached", "failed", "step")

    def __init__(self, step: Step, failed: Callable[[Exception], None]) -> None:
        self.step = step
        self.failed = failed
        self.attached = True


class Engine:
    """Calls every attached step when it is due."""

    def __init__(self, local: LocalClock) -> None:
        self._local = local
        self._queue: list[tuple[int, int, _Entry]] = []
        """When each is due, and its number: among those due together, who came first."""
        self._attached = 0
        self._lively_until = 0
        self._lock = threading.RLock()  # a step may attach and detach others
        self._stop = False
        self.woken = False
        """Set when a step has called something on the control plane, which in virtual time has its turn next."""

    def attach(self, step: Step, failed: Callable[[Exception], None]) -> Callable[[], None]:
        """Call ``step`` from now on; returns what detaches it, after which it is not running any more.

        A step that raises is detached, and ``failed`` is told, in the engine's thread.
        """
        with self._lock:
            self._attached += 1
            self._lively_until = self._local.now_ns() + LIVELY_NS
            entry = _Entry(step, failed)
            heapq.heappush(self._queue, (self._local.now_ns(), self._attached, entry))

        def detach() -> None:
            with self._lock:
                entry.attached = False

        return detach

    def once(self) -> int:
        """Call the steps that are due, the most overdue first; returns the local time at which the next one is."""
        now = self._local.now_ns()
        while True:
            with self._lock:
                if not self._queue:
                    return now + LIVELY_IDLE_NS
                due, number, entry = self._queue[0]
                if due > now:
                    idle_ns = LIVELY_IDLE_NS if now < self._lively_until else IDLE_NS
                    return min(due, now + idle_ns)
                if not entry.attached:
                    heapq.heappop(self._queue)
                    continue
                try:
                    due = entry.step(now)
                except Exception as error:  # whatever a plugin raises is its node's failure, not the engine's
                    heapq.heappop(self._queue)
                    entry.failed(error)
                else:
                    heapq.heapreplace(self._queue, (due, number, entry))
            if not self._local.virtual:  # where it is, no time passes during a step
                now = self._local.now_ns()
            if self._stop:
                return now

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        task_status.started()
        if self._local.virtual:
            gc.freeze()
            try:
                await self._run_virtually()
            finally:
                gc.unfreeze()
        self._stop = False
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.collect()
        gc.freeze()  # what lives until the end is not looked at again by collections while audio runs
        thread = threading.Thread(target=self._loop, name="phasegraph-engine", daemon=True)
        thread.start()
        try:
            await trio.sleep_forever()
        finally:
            self._stop = True
            thread.join()
            gc.unfreeze()

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
                wait_s = self._local.seconds_until(self.once())
                if jump is not None and _engines.get() == 1:
                    await wait_all_tasks_blocked()
                    others_s = min(LONGEST_S, trio.lowlevel.current_statistics().seconds_to_next_deadline)
                    while wait_s <= others_s and not self.woken:
                        jump(wait_s)
                        others_s -= wait_s
                        wait_s = self._local.seconds_until(self.once())
                    wait_s = 0.0 if self.woken else max(0.0, others_s)
                await trio.sleep(wait_s)
        finally:
            _engines.set(_engines.get() - 1)

    def _loop(self) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)  # wake on time, not up to 50 us later
            with suppress(OSError):  # it is the thread's own, and not that of what it may start
                os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(_PRIORITY))
        while not self._stop:
            rest = self.once() - self._local.now_ns()
            if rest > LEAST_SLEEP_NS:
                time.sleep(rest / 1e9)
