"""The data plane: nodes' steps, called when they are due, from one thread that does nothing else.

In real time the engine is a thread that sleeps to absolute deadlines; in virtual time it is a task of the run, and
the very same steps are called. A step never waits, and says when it wants to be called again.
"""

from __future__ import annotations

import ctypes
import gc
import heapq
import sys
import threading
import time
from collections.abc import Callable

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


class _Entry:
    """A step, ordered by when it is due, and among those due together by who came first."""

    __slots__ = ("attached", "due", "failed", "number", "step")

    def __init__(self, step: Step, due: int, number: int, failed: Callable[[Exception], None]) -> None:
        self.step = step
        self.due = due
        self.number = number
        self.failed = failed
        self.attached = True

    def __lt__(self, other: _Entry) -> bool:
        return (self.due, self.number) < (other.due, other.number)


class Engine:
    """Calls every attached step when it is due."""

    def __init__(self, local: LocalClock) -> None:
        self._local = local
        self._queue: list[_Entry] = []
        self._attached = 0
        self._lively_until = 0
        self._lock = threading.RLock()  # a step may attach and detach others
        self._stop = False

    def attach(self, step: Step, failed: Callable[[Exception], None]) -> Callable[[], None]:
        """Call ``step`` from now on; returns what detaches it, after which it is not running any more.

        A step that raises is detached, and ``failed`` is told, in the engine's thread.
        """
        with self._lock:
            self._attached += 1
            self._lively_until = self._local.now_ns() + LIVELY_NS
            entry = _Entry(step, self._local.now_ns(), self._attached, failed)
            heapq.heappush(self._queue, entry)

        def detach() -> None:
            with self._lock:
                entry.attached = False

        return detach

    def once(self) -> int:
        """Call the steps that are due, the most overdue first; returns the local time at which the next one is."""
        while True:
            with self._lock:
                if not self._queue:
                    return self._local.now_ns() + LIVELY_IDLE_NS
                entry = self._queue[0]
                now = self._local.now_ns()
                if entry.due > now:
                    idle_ns = LIVELY_IDLE_NS if now < self._lively_until else IDLE_NS
                    return min(entry.due, now + idle_ns)
                if not entry.attached:
                    heapq.heappop(self._queue)
                    continue
                try:
                    entry.due = entry.step(now)
                except Exception as error:  # whatever a plugin raises is its node's failure, not the engine's
                    heapq.heappop(self._queue)
                    entry.failed(error)
                else:
                    heapq.heapreplace(self._queue, entry)
            if self._stop:
                return self._local.now_ns()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        task_status.started()
        if self._local.virtual:
            while True:
                await trio.sleep(max(0, self.once() - self._local.now_ns()) / 1e9)
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

    def _loop(self) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)  # wake on time, not up to 50 us later
        while not self._stop:
            rest = self.once() - self._local.now_ns()
            if rest > LEAST_SLEEP_NS:
                time.sleep(rest / 1e9)
