"""Whether the machine kept programs waiting: no program that had to play meanwhile is to blame for that."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

_LOOK_S = 0.003
_PRIORITY = 50
"""Real-time, where that is permitted: ahead of our engine, behind what drives sound cards."""


class Stalls:
    """How often, and for how long at most, some processor did not let a thread run that had nothing to do but look."""

    def __init__(self, longer_than_s: float) -> None:
        self.count = 0
        self.longest_s = 0.0
        self._longer_than_s = longer_than_s
        self._until_s = 0.0
        self._lock = threading.Lock()

    def noticed(self, began_s: float, ended_s: float) -> None:
        """A thread slept from one time to another, and had asked for far less if that is long."""
        with self._lock:
            late_s = ended_s - began_s - _LOOK_S
            self.longest_s = max(self.longest_s, late_s)
            if late_s > self._longer_than_s:
                self.count += began_s > self._until_s  # what holds up several processors at once is one stall
                self._until_s = max(self._until_s, ended_s)


@contextlib.contextmanager
def watched(longer_than_s: float) -> Iterator[Stalls]:
    """Look on every processor until the block ends, for stalls longer than this."""
    stalls, stop = Stalls(longer_than_s), threading.Event()

    def look(processor: int) -> None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {processor})
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        before_s = time.monotonic()
        while not stop.is_set():
            time.sleep(_LOOK_S)
            now_s = time.monotonic()
            stalls.noticed(before_s, now_s)
            before_s = now_s

    threads = [threading.Thread(target=look, args=(processor,)) for processor in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    try:
        yield stalls
    finally:
        stop.set()
        for thread in threads:
            thread.join()
