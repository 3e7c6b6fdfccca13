"""A client of the control sockets of runs, for scripts and tools: `connect` for plain code, `connect_async` for trio.

    with connect("loopback") as run:
        print(run.status().trouble)

``docs/control.md`` has the protocol.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import msgspec
import trio

from ._control.control_protocol import (
    PROTOCOL,
    Answer,
    ApplyRequest,
    CancelRequest,
    CaptureRequest,
    ControlProcessStatus,
    EdgeStatus,
    EventLine,
    GraphRequest,
    Hello,
    NodeStatus,
    PlanRequest,
    Request,
    RestartRequest,
    RunEvent,
    RunStatus,
    StatusLine,
    StatusRequest,
    StopRequest,
    SubscribeRequest,
    encode_line,
)
from ._control.socket_paths import remove_dead, run_sockets, runtime_folders
from ._core.graph_change import AppliedChange, AppliedFrame, ChangePlan, ChangeTime, NodeChange

__all__ = [
    "AppliedChange",
    "AppliedFrame",
    "AsyncRun",
    "ChangePlan",
    "ChangeRefused",
    "ChangeTime",
    "ControlError",
    "ControlProcessStatus",
    "EdgeStatus",
    "EventLine",
    "Hello",
    "NodeChange",
    "NodeStatus",
    "Run",
    "RunEvent",
    "RunStatus",
    "RunSubscription",
    "connect",
    "connect_async",
    "find_run",
    "list_runs",
]

TIMEOUT_S = 5.0
APPLY_TIMEOUT_S = 120.0
"""How long a plan or a change may take: nodes that are added may take long to start."""
_MOST_ANSWER_BYTES = 64 << 20
_CHUNK = 1 << 16


class ControlError(Exception):
    """A run could not be reached, or refused a request. The message is a sentence."""


class ChangeRefused(ControlError):
    """A change was not applied, and the run goes on as it was."""

    def __init__(self, reason: str, plan: ChangePlan) -> None:
        super().__init__(reason)
        self.plan = plan
        """With every problem."""


class _AnyLine(msgspec.Struct, frozen=True):
    """The fields that tell the lines of a server apart."""

    id: int | None = None
    event: msgspec.Raw = msgspec.Raw()


def _decode(line: bytes) -> Answer | StatusLine | EventLine:
    try:
        fields = msgspec.json.decode(line, type=_AnyLine)
        if fields.id is not None:
            return msgspec.json.decode(line, type=Answer)
        return msgspec.json.decode(line, type=EventLine if bytes(fields.event) else StatusLine)
    except msgspec.MsgspecError as error:
        raise ControlError(f"the run answered with another protocol: {error}") from None


def _hello(line: bytes) -> Hello:
    try:
        hello = msgspec.json.decode(line, type=Hello)
    except msgspec.MsgspecError:
        with suppress(msgspec.MsgspecError):
            raise ControlError(msgspec.json.decode(line, type=Answer).error) from None
        raise ControlError("this is not the control socket of a run") from None
    if hello.protocol != PROTOCOL:
        raise ControlError(f"the run speaks protocol {hello.protocol}, this client {PROTOCOL}")
    return hello


def _accepted(answer: Answer, id: int) -> Answer:
    if not answer.ok:
        if answer.plan is not None:
            raise ChangeRefused(answer.error, answer.plan)
        raise ControlError(answer.error)
    if answer.id != id:
        raise ControlError("the run answered another request")
    return answer


def _status(answer: Answer) -> RunStatus:
    if answer.status is None:
        raise ControlError("the run answered without a status")
    return answer.status


def _graph(answer: Answer) -> dict[str, Any]:
    if answer.graph is None:
        raise ControlError("the run answered without a graph")
    return answer.graph


def _plan(answer: Answer) -> ChangePlan:
    if answer.plan is None:
        raise ControlError("the run answered without a plan")
    return answer.plan


def _applied(answer: Answer) -> AppliedChange:
    return AppliedChange(id=answer.id, plan=_plan(answer), applied=answer.applied or {})


def list_runs(known: Collection[Path] = ()) -> dict[str, Path]:
    """The sockets of the runs that this user can reach, by name; of two with one name the second by its path.

    Dead ones are left out, and removed. To those of ``known``, which the caller is connected to, no connection is made.
    """
    runs: dict[str, Path] = {}
    for path in run_sockets():
        try:
            with nullcontext() if path in known else connect(path, timeout_s=1.0):
                runs[path.stem if path.stem not in runs else str(path)] = path
        except ControlError as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                remove_dead(path)
    return runs


def find_run(name: str | None = None) -> Path:
    """The socket of a run: by its name, or the only one there is. Raises ControlError with the names that there are."""
    if name is not None and os.sep in name:
        return Path(name)
    runs = list_runs()
    if name is None and len(runs) == 1:
        return next(iter(runs.values()))
    if name is not None and name in runs:
        return runs[name]
    folders = " or ".join(str(folder) for folder in runtime_folders())
    there = f"there are {', '.join(runs)}" if runs else f"there is no socket in {folders}"
    if name is not None:
        raise ControlError(f"no run '{name}': {there}")
    if not runs:
        raise ControlError(f"no run: {there}")
    raise ControlError(f"which run? {there}: name one (`kernel apply` and `kernel set`: --run NAME)")


class EditOptions(TypedDict, total=False):
    """What is asked for: one of ``graph``, ``toml`` and ``set``, as in `GraphEdit`."""

    graph: dict[str, Any] | None
    toml: str | None
    set: dict[str, Any] | None
    folder: str | None


class TimingOptions(TypedDict, total=False):
    """When and how a change happens, as in `ApplyRequest`."""

    at: ChangeTime | Literal["now"]
    crossfade_ms: float
    wait: bool


class ApplyOptions(EditOptions, TimingOptions, total=False):
    """All that a change can be given."""

    silent_after_s: float | None


class _Connection:
    """What both kinds of connection have: numbers for requests, and lines of what was received."""

    def __init__(self) -> None:
        self._received = b""
        self._id = 0

    def _next_id(self) -> int:
        self._id += 1
        return self._id

    def _next_line(self) -> bytes | None:
        line, end, rest = self._received.partition(b"\n")
        if not end:
            return None
        self._received = rest
        return line

    def _add_received(self, data: bytes) -> None:
        if not data:
            raise ControlError("the run has ended") from EOFError()
        self._received += data
        if len(self._received) > _MOST_ANSWER_BYTES:
            raise ControlError("the run answered with too long a line")


class Run(_Connection):
    """A connection to a run, for plain code."""

    def __init__(self, connection: socket.socket) -> None:
        """See `connect`."""
        super().__init__()
        self._socket = connection
        self.hello = _hello(self._read_line())

    def status(self) -> RunStatus:
        """A snapshot of the run."""
        return _status(self._ask(StatusRequest(id=self._next_id())))

    def stop(self, *, at_once: bool = False) -> None:
        """End the run; ``at_once`` does not wait for its sinks."""
        self._ask(StopRequest(id=self._next_id(), at_once=at_once))

    def restart(self, node: str) -> None:
        """End a node and start it again."""
        self._ask(RestartRequest(id=self._next_id(), node=node))

    def capture(self, reason: str = "requested") -> Path:
        """Write what the flight recorder of the run holds. Returns the file, on the run's computer."""
        request = CaptureRequest(id=self._next_id(), reason=reason)
        return Path(self._ask(request, timeout_s=APPLY_TIMEOUT_S).file)

    def graph(self) -> dict[str, Any]:
        """The graph as it runs now, in the shape of a graph file."""
        return _graph(self._ask(GraphRequest(id=self._next_id())))

    def plan(self, **edit: Unpack[EditOptions]) -> ChangePlan:
        """What a graph would change: a whole one, the text of a file, or values by path."""
        return _plan(self._ask(PlanRequest(id=self._next_id(), **edit), timeout_s=APPLY_TIMEOUT_S))

    def apply(self, *, timeout_s: float = APPLY_TIMEOUT_S, **change: Unpack[ApplyOptions]) -> AppliedChange:
        """Change the run to a graph. Raises ChangeRefused, with nothing changed.

        ``at`` says when inputs are switched, ``crossfade_ms`` how long they are cross-faded. A new input that delivers
        nothing refuses the change, or is switched to all the same after ``silent_after_s``. ``timeout_s`` is how long
        the answer may take: where ``at`` is far away, give more, or do not ``wait``.
        """
        return _applied(self._ask(ApplyRequest(id=self._next_id(), **change), timeout_s=timeout_s))

    def set(
        self, values: dict[str, Any], *, timeout_s: float = APPLY_TIMEOUT_S, **when: Unpack[TimingOptions]
    ) -> AppliedChange:
        """Lay values over the graph: ``{"source.take.link-offset": "6 ms"}``. See `apply`."""
        return self.apply(set=values, timeout_s=timeout_s, **when)

    def cancel(self, change: AppliedChange) -> None:
        """Give up a change of this connection that was not waited for. Raises ControlError where it has happened."""
        self._ask(CancelRequest(id=self._next_id(), apply=change.id))

    def subscribe(self, *, interval_s: float | None = 1.0, events: bool = True) -> Iterator[RunStatus | EventLine]:
        """Status at an interval, and events, until the run ends."""
        self._ask(SubscribeRequest(id=self._next_id(), interval_s=interval_s, events=events))
        self._socket.settimeout(None)
        while True:
            try:
                line = _decode(self._read_line())
            except ControlError as error:
                if isinstance(error.__cause__, EOFError):
                    return
                raise
            if not isinstance(line, Answer):
                yield line.status if isinstance(line, StatusLine) else line

    def _ask(self, request: Request, timeout_s: float | None = None) -> Answer:
        before_s = self._socket.gettimeout()
        try:
            self._socket.sendall(encode_line(request))
        except OSError as error:
            raise ControlError(f"the run has gone: {error.strerror}") from error
        if timeout_s is not None:
            self._socket.settimeout(timeout_s)
        while not isinstance(answer := _decode(self._read_line()), Answer) or 0 < answer.id < request.id:
            pass  # of a subscription, or of a request that was answered too late
        self._socket.settimeout(before_s)
        return _accepted(answer, request.id)

    def _read_line(self) -> bytes:
        while (line := self._next_line()) is None:
            try:
                self._add_received(self._socket.recv(_CHUNK))
            except OSError as error:
                raise ControlError(f"the run does not answer: {error.strerror or error}") from error
        return line


@contextmanager
def connect(run: str | Path | None = None, *, timeout_s: float = TIMEOUT_S) -> Iterator[Run]:
    """A connection to a run: by its name, by the path of its socket, or to the only one. Raises ControlError."""
    path = run if isinstance(run, Path) else find_run(run)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(os.fspath(path))
        except OSError as error:
            raise ControlError(f"cannot connect to {path}: {error.strerror or error}") from error
        yield Run(connection)


class AsyncRun(_Connection):
    """A connection to a run, for trio. One task at a time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        """See `connect_async`."""
        super().__init__()
        self._stream = stream
        self.hello: Hello | None = None

    async def status(self) -> RunStatus:
        """See `Run.status`."""
        return _status(await self.ask(StatusRequest(id=self._next_id())))

    async def stop(self, *, at_once: bool = False) -> None:
        """See `Run.stop`."""
        await self.ask(StopRequest(id=self._next_id(), at_once=at_once))

    async def restart(self, node: str) -> None:
        """See `Run.restart`."""
        await self.ask(RestartRequest(id=self._next_id(), node=node))

    async def capture(self, reason: str = "requested") -> Path:
        """See `Run.capture`."""
        return Path((await self.ask(CaptureRequest(id=self._next_id(), reason=reason))).file)

    async def graph(self) -> dict[str, Any]:
        """See `Run.graph`."""
        return _graph(await self.ask(GraphRequest(id=self._next_id())))

    async def plan(self, **edit: Unpack[EditOptions]) -> ChangePlan:
        """See `Run.plan`."""
        return _plan(await self.ask(PlanRequest(id=self._next_id(), **edit)))

    async def apply(self, **change: Unpack[ApplyOptions]) -> AppliedChange:
        """See `Run.apply`. Put a `trio.fail_after` around it to limit the time."""
        return _applied(await self.ask(ApplyRequest(id=self._next_id(), **change)))

    async def set(self, values: dict[str, Any], **when: Unpack[TimingOptions]) -> AppliedChange:
        """See `Run.set`."""
        return await self.apply(set=values, **when)

    async def cancel(self, change: AppliedChange) -> None:
        """See `Run.cancel`."""
        await self.ask(CancelRequest(id=self._next_id(), apply=change.id))

    def subscribe(self, *, interval_s: float | None = 1.0, events: bool = True) -> RunSubscription:
        """See `Run.subscribe`: to be iterated over with ``async for``."""
        return RunSubscription(self, SubscribeRequest(id=self._next_id(), interval_s=interval_s, events=events))

    async def read_hello(self) -> None:
        """Read the server's first line into ``hello``."""
        self.hello = _hello(await self._read_line())

    async def ask(self, request: Request) -> Answer:
        """Send a request and wait for its answer. Raises ControlError."""
        try:
            await self._stream.send_all(encode_line(request))
        except trio.BrokenResourceError as error:
            raise ControlError("the run has gone") from error
        while not isinstance(answer := await self.read(), Answer) or 0 < answer.id < request.id:
            pass  # of a subscription, or of a request whose task was cancelled
        return _accepted(answer, request.id)

    async def read(self) -> Answer | StatusLine | EventLine:
        """The next line of the run. Raises ControlError."""
        return _decode(await self._read_line())

    async def _read_line(self) -> bytes:
        while (line := self._next_line()) is None:
            try:
                self._add_received(await self._stream.receive_some(_CHUNK))
            except trio.BrokenResourceError as error:
                raise ControlError("the run has gone") from error
        return line


class RunSubscription:
    """Status and events of a run, until it ends."""

    def __init__(self, run: AsyncRun, request: SubscribeRequest) -> None:
        """See `AsyncRun.subscribe`."""
        self._run = run
        self._request: SubscribeRequest | None = request

    def __aiter__(self) -> RunSubscription:
        return self

    async def __anext__(self) -> RunStatus | EventLine:
        if self._request is not None:
            request, self._request = self._request, None
            await self._run.ask(request)
        try:
            while isinstance(line := await self._run.read(), Answer):
                pass
        except ControlError as error:
            if isinstance(error.__cause__, EOFError | trio.BrokenResourceError):
                raise StopAsyncIteration from None
            raise
        return line.status if isinstance(line, StatusLine) else line


@asynccontextmanager
async def connect_async(run: str | Path | None = None) -> AsyncIterator[AsyncRun]:
    """As `connect`, for trio."""
    path = run if isinstance(run, Path) else find_run(run)
    try:
        stream = await trio.open_unix_socket(path)
    except (OSError, RuntimeError) as error:
        raise ControlError(f"cannot connect to {path}: {error}") from error
    async with stream:
        connection = AsyncRun(stream)
        with trio.move_on_after(TIMEOUT_S) as waiting:
            await connection.read_hello()
        if waiting.cancelled_caught:
            raise ControlError("the run does not answer")
        yield connection
