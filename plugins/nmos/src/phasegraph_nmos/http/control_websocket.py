"""The websocket of the control protocol (IS-12 v1.0): sessions of controllers on one device model.

Nothing that a controller does holds up the node: there are 64 sessions, a message has 64 KiB at most, and a session
whose controller does not read what has changed ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import trio

from ..control_model.control_session import ControlSession
from ..control_model.device_model import DeviceModel, PropertyChange
from ..status_monitors.status_monitor import MonitoredResource
from .nmos_app import Receive, Scope, Send

PATH = "/x-nmos/ncp/v1.0"
MOST_SESSIONS = 64
MOST_UNSENT = 256
"""Messages that wait for a controller to read."""
SEND_TIMEOUT_S = 20.0
_TRY_AGAIN_LATER = 1013
_POLICY_VIOLATION = 1008


class ControlWebSocket:
    """Serves control sessions; `serve_session` is a WebSocketHandler. It lives in the control plane."""

    def __init__(self, model: DeviceModel, local_ns: Callable[[], int]) -> None:
        self.model = model
        self._local_ns = local_ns
        self._sessions: dict[ControlSession, trio.MemorySendChannel[str]] = {}
        self._ends: dict[ControlSession, trio.CancelScope] = {}
        self._woken = trio.Event()

    def observe_runs(self, receivers: Sequence[MonitoredResource], senders: Sequence[MonitoredResource]) -> None:
        """Take what the runs show now, and notify controllers of what has changed."""
        self._notify_sessions(self.model.observe_runs(receivers, senders, self._local_ns()))
        self._woken.set()

    async def run(self) -> None:
        """Report statuses whose delay has passed, until cancelled."""
        while True:
            self._woken = trio.Event()
            due_ns = self.model.next_change_ns()
            with trio.move_on_after(60.0 if due_ns is None else max(0, due_ns - self._local_ns()) / 1e9):
                await self._woken.wait()
            self._notify_sessions(self.model.advance_monitors(self._local_ns()))

    async def serve_session(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket until its controller closes it."""
        await receive()  # websocket.connect
        if len(self._sessions) >= MOST_SESSIONS:
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
            return
        await send({"type": "websocket.accept"})
        session = ControlSession(self.model)
        to_controller, unsent = trio.open_memory_channel[str](MOST_UNSENT)
        self._sessions[session] = to_controller
        gone = False
        try:
            with trio.CancelScope() as self._ends[session]:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_send_all, unsent, send, self._ends[session])
                    await self._answer_all(session, receive, to_controller)
                    gone = True
                    nursery.cancel_scope.cancel()
        finally:
            del self._sessions[session], self._ends[session]
        if not gone:
            with trio.move_on_after(1.0):
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})

    async def _answer_all(
        self, session: ControlSession, receive: Receive, to_controller: trio.MemorySendChannel[str]
    ) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            answer, changes = session.receive_message(_text_of(message))
            await to_controller.send(answer)
            self._notify_sessions(changes)

    def _notify_sessions(self, changes: Sequence[PropertyChange]) -> None:
        if not changes:
            return
        for session, to_controller in list(self._sessions.items()):
            text = session.notification(changes)
            if text is None:
                continue
            try:
                to_controller.send_nowait(text)
            except trio.WouldBlock:
                self._ends[session].cancel()


def _text_of(message: Any) -> str | bytes:
    text: str | bytes | None = message.get("text")
    return text if text is not None else message.get("bytes") or b""


async def _send_all(unsent: trio.MemoryReceiveChannel[str], send: Send, end: trio.CancelScope) -> None:
    async for text in unsent:
        with trio.move_on_after(SEND_TIMEOUT_S) as patience:
            await send({"type": "websocket.send", "text": text})
        if patience.cancelled_caught:
            end.cancel()
            return
