"""The thread that computes the levels of all meters of a run: beside the data plane, which only passes blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from phasegraph import NodeContext

Work = Callable[[], None]


class MeterThread:
    """Calls work in the order in which it comes. Where time is virtual, there is no thread: work is done at once.

    ``submit`` is called by steps on the data plane; the queue is the only thing that both threads touch. What waits in
    it is bounded by those who submit.
    """

    def __init__(self, virtual: bool) -> None:
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        if not virtual:
            self._thread = threading.Thread(target=self._run, name="phasegraph-levels", daemon=True)
            self._thread.start()

    def submit(self, work: Work) -> None:
        """Have work done soon. It handles its own errors."""
        if self._thread is None:
            work()
        else:
            self._queue.put(work)

    def close(self) -> None:
        """Do what was submitted, then end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()


def meter_thread(ctx: NodeContext) -> MeterThread:
    """Makes the thread of a run, for `NodeContext.shared`."""
    return MeterThread(ctx.local.virtual)
