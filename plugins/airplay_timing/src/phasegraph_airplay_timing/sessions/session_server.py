"""The Unix socket of sessions: one connection is one session, which ends with it."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio

from phasegraph import LocalClock, NodeError
from phasegraph.net import Network, StampedSocket

from ..engine import LeaderClock, NtpEngine, TimingPeer, TimingRole
from ..filters import FILTERS
from ..participant import EmitEvent, TimingParticipant
from ..timing_sockets import TimingSockets
from .airplay_session import AirplaySession
from .session_messages import MOST_LINE_OCTETS, SessionAnswer, decode_request

MOST_SESSIONS = 16
NTP_SILENCE_NS = 10_000_000_000
_UPDATE_S = 0.1
_SEND_TIMEOUT_S = 5.0


class SessionServer:
    """`run` serves until it is cancelled."""

    def __init__(
        self,
        path: str,
        make_session: Callable[[], AirplaySession],
        on_change: Callable[[], None],
        network: Network,
        interface: str,
        local: LocalClock,
        emit_event: EmitEvent,
        filter: str,
    ) -> None:
        """``on_change`` is called when the peers of `sessions` have changed."""
        self.sessions: list[AirplaySession] = []
        """Those with a connection."""
        self._path = Path(path)
        self._make_session = make_session
        self._on_change = on_change
        self._network = network
        self._interface = interface
        self._local = local
        self._emit_event = emit_event
        self._filter = filter

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve. Raises NodeError where the socket cannot be made."""
        listener = _listen(self._path)
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            if len(self.sessions) >= MOST_SESSIONS:
                await _send(stream, SessionAnswer(id=0, ok=False, error=f"there are {MOST_SESSIONS} sessions already"))
                return
            session = self._make_session()
            self.sessions.append(session)
            try:
                await self._converse(stream, session)
            except (trio.BrokenResourceError, trio.TooSlowError):
                pass  # the program is gone, or reads nothing
            finally:
                self.sessions.remove(session)
                self._on_change()

    async def _converse(self, stream: trio.SocketStream, session: AirplaySession) -> None:
        followed: tuple[tuple[str, ...], tuple[str, int] | None] = ((), None)
        async with trio.open_nursery() as nursery:
            ntp = trio.CancelScope()
            async for line in _lines(stream):
                try:
                    request = decode_request(line)
                except ValueError as error:
                    await _send(stream, SessionAnswer(id=0, ok=False, error=str(error)))
                    continue
                answer = session.fulfil(request, self._local.now_ns())
                if (session.peers, session.ntp_server) != followed:
                    followed = session.peers, session.ntp_server
                    self._emit_event("session", peers=" ".join(session.peers), ntp=str(session.ntp_server or ""))
                    ntp.cancel()
                    if session.ntp_server is not None:
                        ntp = trio.CancelScope()
                        nursery.start_soon(self._follow_ntp, session, session.ntp_server, ntp)
                    self._on_change()
                await _send(stream, answer)
            nursery.cancel_scope.cancel()

    async def _follow_ntp(self, session: AirplaySession, server: tuple[str, int], scope: trio.CancelScope) -> None:
        now, (address, port) = self._local.now_ns(), server
        engine = NtpEngine(TimingRole.FOLLOW, [TimingPeer(address, port, port)], now)
        clock = LeaderClock(FILTERS[self._filter], silence_ns=NTP_SILENCE_NS, now_ns=now)
        try:
            sockets = TimingSockets(self._network, self._interface, 0, None, {":" in address})
        except NodeError as error:
            self._emit_event("session_failed", reason=str(error))
            return
        participant = TimingParticipant(engine, clock, sockets, self._emit_event)
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    for each in sockets:
                        nursery.start_soon(self._read, each, participant)
                    while True:
                        now = self._local.now_ns()
                        session.update(participant.advance(now), now)
                        await trio.sleep(min(_UPDATE_S, max(engine.deadline_ns - now, 1_000_000) / 1e9))
        finally:
            sockets.close()

    async def _read(self, socket: StampedSocket, participant: TimingParticipant) -> None:
        while True:
            for item in await socket.receive():
                participant.handle_socket_item(item, self._local.now_ns)


async def _lines(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    # Ends with the connection, and with a line that is too long.
    waiting = bytearray()
    while True:
        received = await stream.receive_some(65536)
        if not received:
            return
        waiting += received
        *whole, rest = waiting.split(b"\n")
        waiting = bytearray(rest)
        for line in whole:
            if line.strip():
                yield bytes(line)
        if len(waiting) > MOST_LINE_OCTETS:
            await _send(stream, SessionAnswer(id=0, ok=False, error=f"a line of more than {MOST_LINE_OCTETS} octets"))
            return


async def _send(stream: trio.SocketStream, answer: SessionAnswer) -> None:
    with trio.fail_after(_SEND_TIMEOUT_S):
        await stream.send_all(answer.to_line())


def _listen(path: Path) -> trio.SocketListener:
    if sys.platform == "win32":
        raise NodeError("this system has no Unix sockets")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                if _is_served(path):
                    raise NodeError(f"{path} is served by another process", "stop it, or give another --sessions")
                path.unlink()
        before = os.umask(0o177)  # only this user may connect
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
        made.listen(MOST_SESSIONS)
    except OSError as error:
        made.close()
        raise NodeError(f"cannot open {path}: {error.strerror or error}", "give another --sessions") from error
    except NodeError:
        made.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(made))


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
