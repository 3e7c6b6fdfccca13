"""Serves an ASGI application by hypercorn, with bounds on connections and on the patience with slow readers."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

MOST_CONNECTIONS = 250
SEND_S = 10.0
"""A client that reads nothing for this time is disconnected."""
IDLE_S = 10.0
"""For a request head to arrive, and between two requests."""
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-type: application/json\r\n"
    b'content-length: 33\r\n\r\n{"error": "too many connections"}'
)


class ListenError(Exception):
    """The console cannot listen. The message is a sentence."""


class HttpListener:
    """Listens to one address and port."""

    def __init__(self, app: Any, listeners: list[trio.SocketListener], tls: ssl.SSLContext | None) -> None:
        """See `open_listener`."""
        self._app = ASGIWrapper(app)
        self._tls = tls
        self._listeners = listeners
        self._config = Config()
        self._config.keep_alive_timeout = IDLE_S
        self._config.ssl_handshake_timeout = IDLE_S
        self._config.include_server_header = False
        self._config.errorlog = None
        self._context = WorkerContext(None)
        self._connections = 0

    @property
    def port(self) -> int:
        """The port that is listened to."""
        return int(self._listeners[0].socket.getsockname()[1])

    async def run(self) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._serve_connection, self._listeners)

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        if self._connections >= MOST_CONNECTIONS:
            await self._refuse(stream)
            return
        self._connections += 1
        try:
            patient: Any = PatientStream(stream)
            if self._tls is not None:
                patient = trio.SSLStream(patient, self._tls, server_side=True, https_compatible=True)
            await _PromptServer(self._app, self._config, self._context, ConnectionState({}), patient)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # a client that has left is no error of ours
        finally:
            self._connections -= 1

    async def _refuse(self, stream: trio.SocketStream) -> None:
        with trio.move_on_after(1):
            async with stream:
                try:
                    if self._tls is None:
                        await stream.send_all(_REFUSAL)
                        await stream.send_eof()
                        await stream.receive_some(65536)  # what the client has sent: unread, it would reset the answer
                except trio.BrokenResourceError:
                    pass


class _PromptServer(TCPServer):
    """One connection, which is over when the client has closed it: hypercorn alone waits for its idle timeout."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


class PatientStream(trio.abc.HalfCloseableStream):
    """A connection whose peer has a limited time to read what is sent."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket = stream.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or break the connection."""
        with trio.move_on_after(SEND_S) as patience:
            await self._stream.send_all(data)
        if patience.cancelled_caught:
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("the client does not read")

    async def wait_send_all_might_not_block(self) -> None:
        """See trio."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See trio."""
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        """See trio."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """See trio."""
        await self._stream.aclose()


async def open_listener(app: Any, host: str, port: int, tls: tuple[Path, Path] | None = None) -> HttpListener:
    """Listen to a host and port (0: any free one); ``tls`` has the files of certificate and key. Raises ListenError."""
    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(*tls)
        except OSError as error:  # ssl.SSLError is one
            raise ListenError(f"cannot use the certificate {tls[0]} with the key {tls[1]}: {error}") from None
        context.set_alpn_protocols(["http/1.1"])
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise ListenError(f"cannot listen to {host} port {port}: {error.strerror or error}") from None
    return HttpListener(app, listeners, context)
