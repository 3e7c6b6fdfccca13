"""The data plane: nodes' steps, called when they are due, from one thread that does nothing else.

In real time the engine is a thread that sleeps to absolute deadlines; in virtual time it is a task of the run, and
the very same steps are called. A step never waits, and says when it wants to be called again.
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

    __slots__ = ("attached", "failed", "lock", "step")

    def __init__(self, step: Step, failed: Callable[[Exception], None]) -> None:
        self.step = step
        self.failed = failed
        self.attached = True
        self.lock = threading.RLock()
        """Held while the step runs; a step may detach itself."""


class Engine:
    """Calls every attached step when it is due."""

    def __init__(self, local: LocalClock) -> None:
        self._local = local
        self._queue: list[tuple[int, int, _Entry]] = []
        """When each is due, and its number: among those due together, who came first. The engine's thread alone
        touches it, so that whoever attaches or detaches never waits for steps of others, however busy they are."""
        self._arriving: deque[tuple[int, int, _Entry]] = deque()
        self._leaving = False
        self._numbers = itertools.count(1)
        self._lively_until = 0
        self._stop = False
        self.woken = False
        """Set when a step has called something on the control plane, which in virtual time has its turn next."""

    def attach(self, step: Step, failed: Callable[[Exception], None]) -> Callable[[], None]:
        """Call ``step`` from now on; returns what detaches it, after which it is not running any more.

        A step that raises is detached, and ``failed`` is told, in the engine's thread.
        """
        now = self._local.now_ns()
        entry = _Entry(step, failed)
        self._lively_until = now + LIVELY_NS
        self._arriving.append((now, next(self._numbers), entry))

        def detach() -> None:
            entry.attached = False  # first, so that an engine that never rests lets go of the lock for good
            with entry.lock:
                self._leaving = True

        return detach

    def once(self) -> int:
        """Call the steps that are due, the most overdue first; returns the local time at which the next one is."""
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
            with entry.lock:
                if entry.attached:
                    try:
                        due = operator.index(entry.step(now))
                    except Exception as error:  # whatever a plugin raises is its node's failure, not the engine's
                        entry.attached = False
                        entry.failed(error)
            if entry.attached:
                heapq.heapreplace(queue, (due, number, entry))
            else:
                heapq.heappop(queue)
            if not self._local.virtual:  # where it is, no time passes during a step
                now = self._local.now_ns()
            if self._stop:
                return now

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
            gc.freeze()
            try:
                await self._run_virtually()
            finally:
                gc.unfreeze()
        self._stop = False
        switch_interval_s = sys.getswitchinterval()
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
            sys.setswitchinterval(switch_interval_s)

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
