"""Serves the application by hypercorn, over TLS if there is a certificate, with a bound on connections."""

from __future__ import annotations

import ssl
from typing import Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

MOST_CONNECTIONS = 256
IDLE_S = 30.0
PING_S = 20.0
"""How often a websocket is pinged: the connection of a controller that has vanished ends."""


class CannotServe(Exception):
    """The APIs cannot be served. The message is a sentence."""


class NmosHttpServer:
    """Listens to one port."""

    def __init__(self, app: Any, *, certificate: str = "", key: str = "") -> None:
        """``certificate`` and ``key`` name PEM files. Raises CannotServe."""
        self._app = ASGIWrapper(app)
        self._tls = _tls(certificate, key) if certificate else None
        self._config = Config()
        self._config.keep_alive_timeout = IDLE_S
        self._config.include_server_header = False
        self._config.errorlog = None
        self._config.websocket_max_message_size = 1 << 20
        self._config.websocket_ping_interval = PING_S
        self._context = WorkerContext(None)
        self._connections = 0
        self._listeners: list[trio.SocketListener] = []

    async def open_port(self, host: str, port: int) -> int:
        """Listen to an address, and to a port or any (0). Returns the port. Raises CannotServe."""
        try:
            self._listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            reason = error.strerror or error
            raise CannotServe(f"cannot listen to {host} port {port}: {reason}; choose another with port") from None
        return int(self._listeners[0].socket.getsockname()[1])

    async def run(self) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._serve, self._listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        if self._connections >= MOST_CONNECTIONS:
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            connection: Any = stream
            if self._tls is not None:
                connection = trio.SSLStream(stream, self._tls, server_side=True, https_compatible=True)
            await _ClosingServer(self._app, self._config, self._context, ConnectionState({}), connection)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # a client that has left is no error of this node
        finally:
            self._connections -= 1


class _ClosingServer(TCPServer):
    """One connection, which is over when its client has closed it: hypercorn alone waits for the idle timeout."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


def _tls(certificate: str, key: str) -> ssl.SSLContext:
    # BCP-003-01: TLS 1.2 or newer.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key or None)
    except OSError as error:  # ssl.SSLError is one
        raise CannotServe(f"cannot use the certificate {certificate} with the key {key}: {error}") from None
    return context
