"""Ends the process where a run that is to end at once does not: a call in the main thread never returns."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

GRACE_S = 0.9
"""After a second signal the process is gone within a second."""


class LastResort:
    """A thread that ends the process, unless the process has ended before."""

    def __init__(self, emergency: Callable[[], int], end: Callable[[int], object] = os._exit) -> None:
        """``emergency`` saves what can be saved and returns the exit code. It is called in the thread."""
        self._emergency = emergency
        self._end = end
        self._thread: threading.Thread | None = None

    def arm(self) -> None:
        """Begin to count. Further calls change nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._wait, name="phasegraph-last-resort", daemon=True)
            self._thread.start()

    @property
    def armed(self) -> bool:
        """Whether the run was asked to end at once."""
        return self._thread is not None

    def _wait(self) -> None:
        time.sleep(GRACE_S)
        self._end(self._emergency())
