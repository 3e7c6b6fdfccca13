"""Work of the control plane in small slices, each while the data plane rests: both need the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

T = TypeVar("T")
PATIENCE_NS = 200_000_000
"""How long a job may wait for rests altogether. Then it goes on whether there is one or not."""
_WAIT_S = 0.002
"""The control plane waits for a rest without giving up its turn, and for no longer than this at a time."""
_PAUSE_S = 0.01
"""Where no rest came in that time, the data plane has much to do: it is left alone for this time."""
_TURN_NS = 4_000_000
"""Waits and slices after which other tasks have a turn."""
_MARGIN_NS = 60_000
"""A slice is over this time before the data plane wakes up. A thread takes most of it to notice that a rest began."""
_FIRST_NS = 150_000
"""What the first slice of a kind is expected to take."""


class DataPlane(Protocol):
    """What is asked of `phasegraph._run.engine.Engine`."""

    def wait_for_rest(self, least_ns: int, patience_s: float) -> int:
        """See `phasegraph._run.engine.Engine.wait_for_rest`."""
        ...


class RestSlices:
    """Does slices of work. Lives on the control plane."""

    def __init__(self, data_plane: DataPlane, now_ns: Callable[[], int]) -> None:
        self._data_plane = data_plane
        self._now_ns = now_ns
        self._expected_ns: dict[str, int] = {}
        """What a slice takes, by kind of work: of late, and without what a single one was held up."""
        self._turn_began_ns = 0
        self._waiting = trio.Lock()
        """Held by the job that waits for a rest, and through its pause: however many wait, the pauses stay."""

    def deadline_ns(self) -> int:
        """Local time until which a job that begins now waits for rests."""
        return self._now_ns() + PATIENCE_NS

    async def do(self, kind: str, work: Callable[[], T], deadline_ns: int) -> T:
        """Call ``work``, a slice of this kind, once it fits into a rest. Other tasks may have a turn before."""
        expected_ns = self._expected_ns.get(kind, _FIRST_NS)
        began_ns = await self._wait(expected_ns + _MARGIN_NS, deadline_ns)
        result = work()
        took_ns = min(self._now_ns() - began_ns, 2 * expected_ns)
        self._expected_ns[kind] = expected_ns + (took_ns - expected_ns) // 4
        return result

    async def _wait(self, least_ns: int, deadline_ns: int) -> int:
        while True:
            now_ns = self._now_ns()
            if now_ns - self._turn_began_ns >= _TURN_NS:
                await trio.lowlevel.checkpoint()
                self._turn_began_ns = now_ns = self._now_ns()
            if now_ns >= deadline_ns:
                return now_ns
            async with self._waiting:
                if self._data_plane.wait_for_rest(least_ns, _WAIT_S):
                    return self._now_ns()
                await trio.sleep(_PAUSE_S)
