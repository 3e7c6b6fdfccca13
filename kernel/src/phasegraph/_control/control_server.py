"""The server of a run's control socket. It lives on the control plane, and nothing a client does holds up the run.

Bounds: clients, octets of a line, answers and events that wait for a slow reader, status lines (the newest only),
requests a second. A client that reads nothing for 10 s is disconnected.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio

from .. import __version__
from .._core.graph_change import AppliedChange, EditRefused
from .._plugins.specs import Event
from .._run.flight_recorder import CaptureError
from .._run.report import plain_metrics
from .control_protocol import (
    MOST_LINE_BYTES,
    Answer,
    ApplyRequest,
    CancelRequest,
    CaptureRequest,
    EventLine,
    GraphRequest,
    Hello,
    PlanRequest,
    Request,
    RestartRequest,
    RunEvent,
    RunStatus,
    SetRequest,
    StatusLine,
    StatusRequest,
    StopRequest,
    SubscribeRequest,
    decode_request,
    encode_line,
)
from .run_monitor import RunMonitor
from .socket_paths import peer_user

MOST_CLIENTS = 64
MOST_ANSWERS = 16
"""Answers that wait for a client: it reads them before the server reads its next request."""
MOST_EVENTS = 1000
"""Events that wait for a client; more are counted."""
PATIENCE_S = 10.0
"""A client that reads nothing for this time is disconnected."""
REQUEST_PAUSE_S = 0.02
"""Between two requests of a client."""


class ControlServer:
    """Answers clients of one run."""

    def __init__(self, monitor: RunMonitor, listener: socket.socket, path: Path, log: Any) -> None:
        self.monitor = monitor
        self._session = monitor.session
        self._listener = listener
        self._path = path
        self._log = log
        self._clients: set[_Client] = set()
        self._inode = os.lstat(path).st_ino
        self._encoded: tuple[RunStatus, bytes] | None = None
        """The newest status that was sent, and its line: the same for all subscribers."""
        self._encoding = trio.Lock()
        self._changing: trio.Nursery
        """Changes of the graph: they go on where their client leaves."""

    async def run(self) -> None:
        """Serve until cancelled, then remove the socket."""
        self._listener.setblocking(False)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener))
        self._session.add_listener(self._send_event)
        try:
            async with trio.open_nursery() as self._changing:
                await trio.serve_listeners(self._serve, [listener])
        finally:
            self.close()

    def close(self) -> None:
        """Remove the socket, unless another run has replaced it."""
        self._listener.close()
        with suppress(OSError):
            if os.lstat(self._path).st_ino == self._inode:
                self._path.unlink()

    async def _serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            user = peer_user(stream.socket)
            if user not in (None, 0, os.geteuid()):
                self._log.warning("a control connection of another user was refused", user=user)
                return
            if len(self._clients) >= MOST_CLIENTS:
                await stream.send_all(encode_line(Answer(id=0, ok=False, error="too many clients")))
                return
            client = _Client(self, stream)
            self._clients.add(client)
            try:
                await client.run()
            finally:
                self._clients.discard(client)

    def hello(self) -> Hello:
        """The first line to a client."""
        session = self._session
        return Hello(
            version=__version__,
            name=self.monitor.name,
            graph=session.name,
            pid=os.getpid(),
            started_at=session.meter.started_at,
        )

    async def status_line(self) -> bytes:
        """The line of a subscription with a status of now."""
        async with self._encoding:
            status = await self.monitor.read_status()
            if self._encoded is None or self._encoded[0] is not status:
                self._encoded = status, await self.encode_status(StatusLine(status=status))
            return self._encoded[1]

    async def encode_status(self, line: StatusLine | Answer) -> bytes:
        """A line with a status, encoded while the data plane rests."""
        slices = self.monitor.slices
        return await slices.do("line", partial(encode_line, line), slices.deadline_ns())

    def _send_event(self, event: Event) -> None:
        fields = plain_metrics(event.fields)
        for client in self._clients:
            client.add_event(RunEvent(at_ns=event.at_ns, node=event.node, name=event.name, fields=fields))

    async def answer(self, request: Request, scheduled: dict[int, trio.CancelScope]) -> Answer:
        """Do what a request asks. `SubscribeRequest` is its client's, and so are the ``scheduled`` changes."""
        session = self._session
        match request:
            case GraphRequest():
                return Answer(id=request.id, ok=True, graph=session.changes.tables())
            case PlanRequest():
                return await self._plan(request)
            case ApplyRequest():
                return await self._apply(request, scheduled)
            case SetRequest():
                return await self._apply(request.apply, scheduled)
            case CaptureRequest():
                return await self._capture(request)
            case StatusRequest():
                return Answer(id=request.id, ok=True, status=await self.monitor.read_status())
        problem = self._order(request, scheduled)
        return Answer(id=request.id, ok=not problem, error=problem)

    def _order(self, request: Request, scheduled: dict[int, trio.CancelScope]) -> str:
        # What is done at once; returns why it is not.
        problem, session = "", self._session
        if isinstance(request, CancelRequest):
            problem = _cancel(scheduled, request.apply)
        elif isinstance(request, RestartRequest):
            problem = session.supervisor.restart(request.node)
        elif isinstance(request, StopRequest):
            session.stop(at_once=request.at_once)
        return problem

    async def _plan(self, request: PlanRequest) -> Answer:
        try:
            return Answer(id=request.id, ok=True, plan=await self._session.changes.plan(request))
        except EditRefused as refused:
            return Answer(id=request.id, ok=False, error=str(refused))

    async def _capture(self, request: CaptureRequest) -> Answer:
        recorder = self._session.recorder
        if recorder is None:
            error = "there is no flight recorder: add [recorder] to the graph, or run with --recorder 60s"
            return Answer(id=request.id, ok=False, error=error)
        try:
            return Answer(id=request.id, ok=True, file=str(await recorder.capture(request.reason)))
        except CaptureError as error:
            return Answer(id=request.id, ok=False, error=str(error))

    async def _apply(self, request: ApplyRequest, scheduled: dict[int, trio.CancelScope]) -> Answer:
        answers: list[Answer] = []
        answered = trio.Event()

        def answer(done: AppliedChange) -> None:
            answers.append(Answer(id=request.id, ok=True, plan=done.plan, applied=done.applied))
            answered.set()

        def planned(done: AppliedChange) -> None:
            if not request.wait:
                answer(done)

        async def change() -> None:
            try:
                with trio.CancelScope() as scheduled[request.id]:
                    answer(
                        await self._session.changes.apply(
                            request,
                            at=request.at,
                            crossfade_ms=request.crossfade_ms,
                            silent_after_s=request.silent_after_s,
                            planned=planned,
                        )
                    )
            except EditRefused as refused:
                answers.append(Answer(id=request.id, ok=False, error=str(refused), plan=refused.plan))
                if answered.is_set():  # its client has been answered already
                    self._log.error("a change was given up", reason=str(refused))
            finally:
                scheduled.pop(request.id, None)
                answered.set()

        self._changing.start_soon(change)
        await answered.wait()
        return answers[0]


def _cancel(scheduled: dict[int, trio.CancelScope], change: int) -> str:
    """Give up a change that has not happened yet. Returns why that is impossible; empty where it is not."""
    if change not in scheduled:
        return f"no change {change} is waiting for its time"
    scheduled[change].cancel()
    return ""


class _Client:
    """One connection: a task that reads requests and one that writes, with bounded queues between."""

    def __init__(self, server: ControlServer, stream: trio.SocketStream) -> None:
        self._server = server
        self._stream = stream
        self._answers: deque[bytes] = deque()
        self._events: deque[RunEvent] = deque()
        self._events_lost = 0
        self._wants_events = False
        self._interval_s: float | None = None
        self._next_status_s = 0.0
        self._wake = trio.Event()
        self._drained = trio.Event()
        self._ending = False
        self._scheduled: dict[int, trio.CancelScope] = {}
        """Changes that have not happened yet, by the number of their request."""

    async def run(self) -> None:
        """Serve until the client leaves, or breaks a rule."""
        self._answers.append(encode_line(self._server.hello()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, nursery.cancel_scope)
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._read()
            self._ending = True
            self._wake.set()

    def add_event(self, event: RunEvent) -> None:
        """Queue an event, if the client wants events."""
        if not self._wants_events:
            return
        if len(self._events) >= MOST_EVENTS:
            self._events_lost += 1
            return
        self._events.append(event)
        self._wake.set()

    async def _read(self) -> None:
        received = bytearray()
        while data := await self._stream.receive_some(65536):
            searched = len(received)
            received += data
            while (end := received.find(b"\n", searched)) >= 0:
                line = bytes(received[:end])
                del received[: end + 1]
                searched = 0
                await self._handle(line)
            if len(received) > MOST_LINE_BYTES:
                self._add_answer(Answer(id=0, ok=False, error=f"a line is longer than {MOST_LINE_BYTES} octets"))
                return

    async def _handle(self, line: bytes) -> None:
        try:
            request = decode_request(line)
        except ValueError as error:
            answer = Answer(id=0, ok=False, error=str(error))
        else:
            if isinstance(request, SubscribeRequest):
                self._wants_events = request.events
                self._interval_s = request.interval_s
                self._next_status_s = trio.current_time()
                answer = Answer(id=request.id, ok=True)
            else:
                answer = await self._server.answer(request, self._scheduled)
        if answer.status is None:
            self._add_answer(answer)
        else:
            self._answers.append(await self._server.encode_status(answer))
            self._wake.set()
        while len(self._answers) >= MOST_ANSWERS:
            self._drained = trio.Event()
            await self._drained.wait()
        await trio.sleep(REQUEST_PAUSE_S)

    def _add_answer(self, answer: Answer) -> None:
        self._answers.append(encode_line(answer))
        self._wake.set()

    async def _write(self, scope: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                data = await self._next_lines()
                if data:
                    with trio.move_on_after(PATIENCE_S) as patience:
                        await self._stream.send_all(data)
                    if patience.cancelled_caught:
                        break
                elif self._ending:
                    break
                else:
                    await self._wait()
        scope.cancel()

    async def _next_lines(self) -> bytes:
        status = None
        if self._interval_s is not None and trio.current_time() >= self._next_status_s:
            # A slow reader gets the newest status only: none is queued while the last one is being sent.
            self._next_status_s = trio.current_time() + self._interval_s
            status = await self._server.status_line()
        lines = list(self._answers)  # nothing is awaited while these are in no queue
        self._answers.clear()
        self._drained.set()
        while self._events and len(lines) < 100:
            event = self._events.popleft()
            lost = 0
            if not self._events:
                lost, self._events_lost = self._events_lost, 0
            lines.append(encode_line(EventLine(event=event, lost=lost)))
        if status is not None:
            lines.append(status)
        return b"".join(lines)

    async def _wait(self) -> None:
        self._wake = trio.Event()
        if self._answers or self._events or self._ending:
            return
        timeout_s = float("inf") if self._interval_s is None else max(0.0, self._next_status_s - trio.current_time())
        with trio.move_on_after(timeout_s):
            await self._wake.wait()
