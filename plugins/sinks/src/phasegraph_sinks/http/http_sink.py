"""The ``http`` sink: its input as FLAC, Opus or WAV by HTTP, for players, browsers and a listen button."""

from __future__ import annotations

import errno
import ipaddress
from pathlib import Path

import trio

from phasegraph import TASK_STATUS_IGNORED, Build, Frames, Input, Metrics, NodeContext, NodeError

from ..due_frames import DueFrames
from .audio_server import AudioServer
from .options import HttpConfig

LEAST_PASSWORD = 12
_LAST_WORDS_S = 2.0
"""How long listeners of a stream that has ended may take for the rest."""


class HttpSink:
    """Serves its input to its listeners. Without a listener, it costs what ``null`` costs.

    Threads: the step reads ``AudioServer.queues``, which the control plane replaces.
    """

    def __init__(self, config: HttpConfig, input: Input, password: str) -> None:
        """``password``: of listeners; empty: they need none."""
        self._config = config
        self._input = input
        self._due = DueFrames(input)
        self._password = password
        self._server: AudioServer | None = None
        self._port = config.port

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Serve until the input has ended. Raises NodeError where the port cannot be listened to."""
        config = self._config
        hosts = frozenset(name.lower() for name in config.hosts)
        server = self._server = AudioServer(
            ctx, self._input.format, most_listeners=config.listeners, hosts=hosts, password=self._password
        )
        listeners = await _listen(config.address, config.port)
        self._port = listeners[0].socket.getsockname()[1]

        def distribute(frames: Frames, now_ns: int) -> None:
            if len(frames):
                ctx.call_soon(server.distribute, frames)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, server.serve, listeners)
            task_status.started()
            await self._due.run(ctx, distribute, wanted=lambda: bool(server.queues))
            server.end()
            with trio.move_on_after(_LAST_WORDS_S):
                while server.queues:
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()

    def metrics(self) -> Metrics:
        """``frames_in``, ``url``, ``listeners`` now and ``listeners_since_start``, ``requests_refused``, and
        ``frames_dropped``, which listeners missed because they did not follow."""
        host = f"[{self._config.address}]" if ":" in self._config.address else self._config.address
        metrics: dict[str, int | str] = {"frames_in": self._due.frames_in, "url": f"http://{host}:{self._port}/"}
        if self._server is not None:
            metrics |= {
                "listeners": len(self._server.queues),
                "listeners_since_start": self._server.listeners_since_start,
                "requests_refused": self._server.requests_refused,
                "frames_dropped": self._server.frames_dropped,
            }
        return metrics


async def _listen(address: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy, option = "another program listens there: give another port", "port"
        elif error.errno == errno.EACCES:
            remedy, option = "ports below 1024 need a privilege: give a port above", "port"
        else:
            remedy, option = "give an address of this computer, or 127.0.0.1", "address"
        raise NodeError(
            f"cannot listen on {address} port {port}: {error.strerror or error}", remedy, option=option
        ) from error


def make(config: HttpConfig, build: Build, input: Input) -> HttpSink:
    """Raises NodeError for an address that others reach without a password, and for a file without one."""
    password = "" if config.password_file is None else _read_password(config.password_file)
    if not password and not _is_loopback(config.address):
        raise NodeError(
            f"others than this computer could listen on {config.address} without a password",
            "set password-file, or listen on 127.0.0.1",
            option="address",
        )
    return HttpSink(config, input, password)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _read_password(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8") as lines:
            password = lines.readline(1024).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NodeError(f"cannot read the password in {file}: {error}", option="password-file") from error
    if len(password) < LEAST_PASSWORD:
        raise NodeError(
            f"the first line of {file} has fewer than {LEAST_PASSWORD} characters",
            "write a longer password",
            option="password-file",
        )
    return password
