"""Threads for blocking calls of nodes, which can be left behind: a call may never return, but every run ends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

from .._core.errors import NodeError

T = TypeVar("T")
MOST_ABANDONED = 8
"""Calls of one node that may be left behind at a time: a node that restarts for ever must not collect threads."""


class WorkerThreads:
    """Runs the blocking calls of one run's nodes.

    trio's threads are daemons: one that is left behind does not keep the process alive.
    """

    def __init__(self, *, virtual: bool = False) -> None:
        """With ``virtual`` time, calls run where they are made."""
        self._virtual = virtual
        self._patience: set[trio.CancelScope] = set()
        """What shields the calls that run now from cancellation. The control plane alone touches it."""
        self._left: Counter[str] = Counter()
        """Calls that were left and have not returned, by node. Guarded by ``_lock``."""
        self._lock = threading.Lock()
        self._ending = False

    def abandon_all(self) -> None:
        """Leave every call that runs now, and from now on every call that is cancelled."""
        self._ending = True
        for scope in self._patience:
            scope.cancel()

    async def run(
        self, node: str, work: Callable[[], T], *, abandon: bool = True, too_late: Callable[[T], object] | None = None
    ) -> T:
        """See `NodeContext.in_thread`."""
        if self._virtual:  # virtual time would run on while a thread works
            await trio.lowlevel.checkpoint()
            return work()
        with self._lock:
            if self._left[node] >= MOST_ABANDONED:
                raise NodeError(f"{self._left[node]} earlier calls of this node have not returned")
        call = _Call(work, too_late)
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=not (abandon or self._ending)) as patience:
            self._patience.add(patience)
            try:
                # A limiter of its own: calls that never return must not use up the places of others.
                return await trio.to_thread.run_sync(
                    call, thread_name=f"phasegraph-{node}", abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
                )
            except trio.Cancelled:
                self._leave(node, call)
                raise
            finally:
                self._patience.discard(patience)
        await trio.lowlevel.checkpoint()  # the run is being ended at once: this raises Cancelled
        raise NodeError("a call was left behind, since the run was ended at once")

    def _leave(self, node: str, call: _Call[T]) -> None:
        with self._lock:
            self._left[node] += 1

        def returned() -> None:
            with self._lock:
                self._left[node] -= 1

        call.leave(returned)


class _Call(Generic[T]):
    # One call. Its thread and the control plane meet in ``leave`` and ``__call__``: whichever comes second releases.

    def __init__(self, work: Callable[[], T], too_late: Callable[[T], object] | None) -> None:
        self._work = work
        self._too_late = too_late
        self._lock = threading.Lock()
        self._results: list[T] = []
        self._done = False
        self._returned: Callable[[], None] | None = None

    def __call__(self) -> T:
        try:
            result = self._work()
            self._results.append(result)
            return result
        finally:
            with self._lock:
                self._done = True
                left = self._returned
            if left is not None:
                self._release(left)

    def leave(self, returned: Callable[[], None]) -> None:
        with self._lock:
            self._returned = returned
            done = self._done
        if done:
            self._release(returned)

    def _release(self, returned: Callable[[], None]) -> None:
        returned()
        if self._too_late is not None:
            for result in self._results:
                self._too_late(result)
