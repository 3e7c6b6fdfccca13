"""Priorities of the threads of a run, as far as the system permits them. Linux; nothing elsewhere.

The thread that holds the interpreter keeps the data plane from it. Where that thread waits for other programs, the data
plane waits with it, whatever its own priority is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_DATA_PLANE = 4
"""Real-time, first in, first out: ahead of all that has no such priority, behind what drives sound cards (the clients
of ``jackd`` have 5 by default)."""
_CONTROL_PLANE = 1
"""Real-time, round robin, the last of that kind. It holds the interpreter more often than all other threads together,
and niceness is not enough for it: systems give each session and each service the same share before niceness counts.
Not where there is one processor: a data plane that is always busy would never let the control plane end the run."""
_NICE = -15
"""Of all other threads of the process."""


def raise_data_plane() -> None:
    """The calling thread is that of the data plane. What it may start has ordinary priority."""
    if sys.platform == "linux":
        with suppress(OSError):  # it may not be permitted
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(_DATA_PLANE))


def lower_data_plane() -> None:
    """The calling thread, that of the data plane, has ordinary priority from now on."""
    if sys.platform == "linux":
        _restore(os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def raised_control_plane() -> Iterator[RaisedThreads]:
    """The calling thread is that of the control plane until the end of the block, and all other threads are lifted."""
    threads = RaisedThreads()
    if sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1:
        with suppress(OSError):  # it may not be permitted
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_CONTROL_PLANE))
    threads.lift()
    if sys.platform == "linux" and os.getpriority(os.PRIO_PROCESS, 0) == _NICE:
        with suppress(OSError):  # what it starts has ordinary niceness, also where it has no real-time priority
            os.sched_setscheduler(0, os.sched_getscheduler(0) | os.SCHED_RESET_ON_FORK, os.sched_getparam(0))
    try:
        yield threads
    finally:
        threads.lower()


class RaisedThreads:
    """The priorities of all threads but the data plane's. Made and used in the control plane's thread.

    What the control plane starts has ordinary priority, as programs beside a run should have: threads are lifted later.
    """

    def __init__(self) -> None:
        self._raised = sys.platform == "linux"
        self._lifted: frozenset[str] = frozenset()
        if sys.platform == "linux":
            self._policy, self._parameters = os.sched_getscheduler(0), os.sched_getparam(0)
            self._nice = os.getpriority(os.PRIO_PROCESS, 0)

    def lift(self) -> None:
        """Lift the threads that have come since the last call, unless all were lowered."""
        if self._raised:
            threads = _threads()
            _set_nice(threads - self._lifted, _NICE)
            self._lifted = threads

    def lower(self) -> None:
        """Give all threads the priority that they had before, and lift none any more."""
        if self._raised and sys.platform == "linux":
            self._raised = False
            _restore(self._policy, self._parameters)
            _set_nice(_threads(), self._nice)


def _threads() -> frozenset[str]:
    with suppress(OSError):  # there may be no descriptor left at this moment
        return frozenset(os.listdir("/proc/self/task"))
    return frozenset()


def _set_nice(threads: frozenset[str], nice: int) -> None:
    for thread in threads:
        with suppress(OSError):  # it may not be permitted, or the thread has ended
            os.setpriority(os.PRIO_PROCESS, int(thread), nice)


def _restore(policy: int, parameters: os.sched_param) -> None:
    for flag in (0, os.SCHED_RESET_ON_FORK):  # without a privilege it stays
        with suppress(OSError):
            os.sched_setscheduler(0, policy | flag, parameters)
            return
