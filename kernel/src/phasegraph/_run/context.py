"""What the kernel gives a running node, on top of what all nodes of a run share."""

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
from .engine import Attachment, Engine
from .threads import WorkerThreads
from .trace import Trace

T = TypeVar("T")
MOST_EVENTS = 20_000
"""Events that a run remembers: the newest."""
MOST_TEXT = 1000
"""Characters of a text in an event: strangers may send much longer ones."""


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
        self.threads = WorkerThreads(virtual=local.virtual)
        self.log = log
        self.trace = trace
        self.quantum_ns = quantum_ns
        self.events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self.events_forgotten = 0
        """How many were older than those that are remembered."""
        self._observe = observe
        self._shared: dict[Hashable, _Shared] = {}
        self._closing = ExitStack()

    def event(self, node: str, name: str, fields: dict[str, Metric]) -> None:
        """Record an event and call the observers."""
        fields = {key: _shortened(value) for key, value in fields.items()}
        event = Event(self.local.now_ns(), node, name, fields)
        self.events_forgotten += len(self.events) == MOST_EVENTS
        self.events.append(event)
        self._observe(event)

    def shared(self, make: Callable[[NodeContext], T], user: Context) -> T:
        """See `NodeContext.shared`.

        Where a step of the object fails, every node that uses it has failed. The next user gets a new object.
        """
        shared = self._shared.get(make)
        if shared is None:
            context = Context(getattr(make, "__name__", "shared"), self, lambda error: self._shared_failed(make, error))
            shared = self._shared[make] = _Shared(make(context), context)
            self._closing.callback(shared.close)
        shared.users[user] = None
        user.uses.append(shared)
        return cast(T, shared.value)

    def _shared_failed(self, make: Hashable, error: Exception) -> None:
        shared = self._shared.pop(make, None)
        if shared is None:
            return
        shared.failed = True
        if not shared.users:
            self.log.error("unexpected failure", node=getattr(make, "__name__", "shared"), exc_info=error)
        for user in list(shared.users):
            user.fail(error)

    def close(self) -> None:
        """Detach and close every shared object, also where one cannot be closed."""
        self._closing.close()


class _Shared:
    """An object that nodes share, with its context and its users."""

    def __init__(self, value: Any, context: Context) -> None:
        self.value = value
        self.users: dict[Context, None] = {}
        self.failed = False
        self._context = context
        self._closed = False

    def close(self) -> None:
        """Detach its steps, then close it. The first call counts."""
        if not self._closed:
            self._closed = True
            self._context.close()
            if hasattr(self.value, "close"):
                self.value.close()

    def release(self, user: Context) -> None:
        """A user has ended. A failed object is closed with its last user, others live as long as the run."""
        self.users.pop(user, None)
        if self.failed and not self.users:
            self.close()


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
        self._attached: list[Attachment] = []
        self.uses: list[_Shared] = []
        """The shared objects that the node uses."""

    def attach(self, step: Step) -> Callable[[], None]:
        """See `NodeContext.attach`."""

        def failed(error: Exception) -> None:
            self.call_soon(self._failed, error)

        attachment = self._services.engine.attach(step, failed)
        self._attached.append(attachment)
        return attachment.call_now

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """See `NodeContext.call_soon`."""
        self._services.engine.woken = True
        self._token.run_sync_soon(self._call, function, arguments)

    def _call(self, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        try:
            function(*arguments)
        except Exception as error:  # trio would treat it as its own failure
            self._failed(error)

    def quantum_ns(self) -> int:
        """See `NodeContext.quantum_ns`."""
        return self._services.quantum_ns

    def give_up_priority(self, reason: str) -> None:
        """See `NodeContext.give_up_priority`."""
        self._services.engine.give_up_priority()
        self.event("priority_given_up", reason=reason)

    def shared(self, make: Callable[[NodeContext], T]) -> T:
        """See `NodeContext.shared`."""
        return self._services.shared(make, self)

    async def sleep(self, duration_ns: int) -> None:
        """See `NodeContext.sleep`."""
        await trio.sleep(max(0, duration_ns) / 1e9)

    async def in_thread(
        self, work: Callable[[], T], *, abandon: bool = False, too_late: Callable[[T], object] | None = None
    ) -> T:
        """See `NodeContext.in_thread`."""
        return await self._services.threads.run(self.id, work, abandon=abandon, too_late=too_late)

    def fail(self, error: Exception) -> None:
        """The node has failed, outside of its ``run``."""
        self._failed(error)

    def event(self, name: str, **fields: Metric) -> None:
        """See `NodeContext.event`."""
        self._services.event(self.id, name, fields)

    def trace(self, record: str, **fields: Metric) -> None:
        """See `NodeContext.trace`."""
        self._services.trace.write_record(record, self.id, self.local.now_ns(), fields)

    def close(self) -> None:
        """Leave the data plane, and the objects that are shared."""
        for attachment in self._attached:
            attachment.detach()
        self._attached.clear()
        for shared in self.uses:
            shared.release(self)
        self.uses.clear()


def _shortened(value: Metric) -> Metric:
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return value[: MOST_TEXT - 1] + "…"
    return value
