"""The RTSP servers of a run: one per interface and port, whatever sinks offer sessions there."""

from __future__ import annotations

from collections import OrderedDict

import trio

from phasegraph import NodeContext, NodeError
from phasegraph.net import Interface

from .rtsp_server import Catalogue, ServerConnection

MAX_CLIENTS = 64
"""One more, and whoever has said nothing for longest is left."""
SEND_S = 5.0
"""A client that does not take what it is sent for so long is left."""
_PAUSE_S = 0.1
"""Before connections are accepted again where the system had no more room for one."""


class RtspServer:
    """Describes the sessions of its catalogue. One of those who offer sessions serves for all."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self.refused = 0
        """Requests that were not understood, or not met."""
        self.catalogue = Catalogue()
        self._listener = listener
        self.host, self.port = listener.socket.getsockname()[:2]
        self._serving = trio.Lock()
        self._news = trio.Event()
        self._clients: OrderedDict[ServerConnection, trio.CancelScope] = OrderedDict()

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self._clients)

    def offer(self, name: str, sdp: str) -> None:
        """Offer a session, or its new description, which is told to those who know the old one."""
        self.catalogue.offer(name, sdp)
        news, self._news = self._news, trio.Event()
        news.set()

    def close(self) -> None:
        """Close the listening socket."""
        self._listener.socket.close()

    async def serve(self) -> None:
        """Serve until cancelled, when nobody else does."""
        async with self._serving, trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await self._listener.accept()
                except OSError:
                    await trio.sleep(_PAUSE_S)
                else:
                    nursery.start_soon(self._talk, stream)

    async def _talk(self, stream: trio.SocketStream) -> None:
        connection = ServerConnection(self.catalogue, self.host, self.port)
        while len(self._clients) >= MAX_CLIENTS:
            _, longest_silent = self._clients.popitem(last=False)
            longest_silent.cancel()
        try:
            async with stream, trio.open_nursery() as nursery:
                self._clients[connection] = nursery.cancel_scope
                one_at_a_time = trio.Lock()
                nursery.start_soon(self._tell_news, stream, connection, one_at_a_time)
                await self._answer(stream, connection, one_at_a_time)
                nursery.cancel_scope.cancel()
        except* (OSError, trio.BrokenResourceError, trio.TooSlowError):
            pass  # it is gone
        finally:
            self._clients.pop(connection, None)

    async def _answer(self, stream: trio.SocketStream, connection: ServerConnection, one_at_a_time: trio.Lock) -> None:
        while not connection.over:
            octets = bytes(await stream.receive_some())
            if not octets:
                return
            if connection in self._clients:
                self._clients.move_to_end(connection)
            refused = connection.refused
            answers = connection.feed(octets)
            self.refused += connection.refused - refused
            async with one_at_a_time:
                await _send(stream, answers)

    async def _tell_news(
        self, stream: trio.SocketStream, connection: ServerConnection, one_at_a_time: trio.Lock
    ) -> None:
        while True:
            news = self._news
            async with one_at_a_time:
                await _send(stream, connection.news())
            await news.wait()


async def _send(stream: trio.SocketStream, octets: bytes) -> None:
    with trio.fail_after(SEND_S):
        await stream.send_all(octets)


class RtspServers:
    """Shared by the ``aes67`` sinks of a run."""

    def __init__(self, ctx: NodeContext) -> None:
        self._opening = trio.Lock()
        self._servers: dict[tuple[Interface, int], RtspServer] = {}

    async def on(self, interface: Interface, port: int) -> RtspServer:
        """The server of an interface and a port; with port 0 the system chooses one. Raises NodeError."""
        async with self._opening:
            if (interface, port) not in self._servers:
                try:
                    (listener,) = await trio.open_tcp_listeners(port, host=interface.address)
                except OSError as error:
                    raise NodeError(
                        f"cannot answer RTSP at {interface.address} port {port}: {error.strerror or error}",
                        "choose another port, or leave it to the system",
                        option="rtsp-port",
                    ) from error
                self._servers[interface, port] = RtspServer(listener)
            return self._servers[interface, port]

    def close(self) -> None:
        """Close the listening sockets."""
        for server in self._servers.values():
            server.close()
