"""What the kernel gives a running node, over what all nodes of a run share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from typing import Any, TypeVar, cast

import trio

from .._core.localtime import LocalClock
from .._core.node import Metric, NodeContext, Step
from .._plugins.specs import Event
from ..net import Network
from .engine import Engine
from .threads import WorkerThreads
from .trace import Trace

T = TypeVar("T")
MOST_EVENTS = 20_000
"""Events that a run remembers: the newest."""


class Services:
    """What the nodes of one run have in common."""

    def __init__(
        self,
        *,
        local: LocalClock,
        network: Network,
        log: Any,
        trace: Trace,
        quantum_ns: int,
        observe: Callable[[Event], None],
    ) -> None:
        self.local = local
        self.network = network
        self.engine = Engine(local)
        self.threads = WorkerThreads()
        self.log = log
        self.trace = trace
        self.quantum_ns = quantum_ns
        self.events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self.events_forgotten = 0
        """How many were older than those that are remembered."""
        self.failed: Callable[[Exception], None] = _unexpected
        """Told when something that no single node owns has failed."""
        self._observe = observe
        self._shared: dict[Hashable, Any] = {}
        self._closing = ExitStack()

    def event(self, node: str, name: str, fields: dict[str, Metric]) -> None:
        """Record an event and tell the observers."""
        event = Event(self.local.now_ns(), node, name, fields)
        self.events_forgotten += len(self.events) == MOST_EVENTS
        self.events.append(event)
        self._observe(event)

    def shared(self, make: Callable[[NodeContext], T]) -> T:
        """See `NodeContext.shared`."""
        if make not in self._shared:
            context = Context(getattr(make, "__name__", "shared"), self, self.failed)
            self._shared[make] = make(context)
            if hasattr(self._shared[make], "close"):
                self._closing.callback(self._shared[make].close)
            self._closing.callback(context.close)
        return cast(T, self._shared[make])

    def close(self) -> None:
        """Detach and close what nodes shared, all of it, also where one cannot be closed."""
        self._closing.close()


class Context:
    """Implements `phasegraph.NodeContext`."""

    def __init__(self, id: str, services: Services, failed: Callable[[Exception], None]) -> None:
        self.id = id
        self.local = services.local
        self.network = services.network
        self.log = services.log.bind(node=id)
        self._services = services
        self._failed = failed
        self._token = trio.lowlevel.current_trio_token()
        self._detach: list[Callable[[], None]] = []

    def attach(self, step: Step) -> None:
        """See `NodeContext.attach`."""

        def failed(error: Exception) -> None:
            self.call_soon(self._failed, error)

        self._detach.append(self._services.engine.attach(step, failed))

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """See `NodeContext.call_soon`."""
        self._services.engine.woken = True
        self._token.run_sync_soon(self._call, function, arguments)

    def _call(self, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        try:
            function(*arguments)
        except Exception as error:  # trio would take it for its own failure
            self._failed(error)

    def quantum_ns(self) -> int:
        """See `NodeContext.quantum_ns`."""
        return self._services.quantum_ns

    def shared(self, make: Callable[[NodeContext], T]) -> T:
        """See `NodeContext.shared`."""
        return self._services.shared(make)

    async def sleep(self, duration_ns: int) -> None:
        """See `NodeContext.sleep`."""
        await trio.sleep(max(0, duration_ns) / 1e9)

    async def in_thread(
        self, work: Callable[[], T], *, abandon: bool = False, too_late: Callable[[T], object] | None = None
    ) -> T:
        """See `NodeContext.in_thread`."""
        if self.local.virtual:  # virtual time would run on while a thread works
            await trio.lowlevel.checkpoint()
            return work()
        return await self._services.threads.run(self.id, work, abandon=abandon, too_late=too_late)

    def event(self, name: str, **fields: Metric) -> None:
        """See `NodeContext.event`."""
        self._services.event(self.id, name, fields)

    def trace(self, record: str, **fields: Metric) -> None:
        """See `NodeContext.trace`."""
        self._services.trace.write(record, self.id, self.local.now_ns(), fields)

    def close(self) -> None:
        """Leave the data plane."""
        for detach in self._detach:
            detach()
        self._detach.clear()


def _unexpected(error: Exception) -> None:
    raise error
