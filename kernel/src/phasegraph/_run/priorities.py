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


@contextmanager
def raised_control_plane() -> Iterator[OtherThreads]:
    """The calling thread is that of the control plane until the end of the block, and all other threads are lifted."""
    others = OtherThreads()
    if sys.platform != "linux":
        yield others
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if len(os.sched_getaffinity(0)) > 1:
        with suppress(OSError):  # it may not be permitted
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_CONTROL_PLANE))
    others.lift()
    try:
        yield others
    finally:
        for flag in (0, os.SCHED_RESET_ON_FORK):  # without a privilege it stays
            with suppress(OSError):
                os.sched_setscheduler(0, policy | flag, parameters)
                break
        others.set_nice(nice)


class OtherThreads:
    """The niceness of the threads of the process. Belongs to the control plane.

    What the control plane starts has ordinary priority, as programs beside a run should have: threads are lifted later.
    """

    def __init__(self) -> None:
        self._lifted: frozenset[str] = frozenset()

    def lift(self) -> None:
        """Lift the threads that have come since the last call."""
        self._lifted = self.set_nice(_NICE, besides=self._lifted)

    def set_nice(self, nice: int, *, besides: frozenset[str] = frozenset()) -> frozenset[str]:
        """Give all threads that there are this niceness, ``besides`` some; returns all."""
        if sys.platform != "linux":
            return besides
        threads = frozenset(os.listdir("/proc/self/task"))
        for thread in threads - besides:
            with suppress(OSError):  # it may not be permitted, or the thread has ended
                os.setpriority(os.PRIO_PROCESS, int(thread), nice)
        return threads
