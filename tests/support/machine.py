"""How long this machine stood still, or was too busy to let anybody run: what no program under test can make up for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOOK_S = 0.02


class Machine:
    """What a witness has seen, who wants to run every 20 ms."""

    def __init__(self) -> None:
        self.lost_s = 0.0
        """Seconds by which the witness came too late, in all."""
        self.longest_s = 0.0
        """The same, at once."""
        self._done = threading.Event()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._done.wait(_LOOK_S):
            now = time.monotonic()
            late_s = max(0.0, now - before - 2 * _LOOK_S)
            self.lost_s += late_s
            self.longest_s = max(self.longest_s, late_s)
            before = now


@contextmanager
def watched_machine() -> Iterator[Machine]:
    """Watch the machine while the block runs."""
    machine = Machine()
    thread = threading.Thread(target=machine._watch, daemon=True)
    thread.start()
    try:
        yield machine
    finally:
        machine._done.set()
        thread.join()
