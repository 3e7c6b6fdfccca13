"""The RTSP servers of a run: one for each interface and port, shared by all sinks that publish sessions there."""

from __future__ import annotations

from collections import OrderedDict

import trio

from phasegraph import NodeContext, NodeError
from phasegraph.net import Interface

from .rtsp_server import RtspServerConnection, SessionCatalogue
from .rtsp_stream import ReadBudget, RtspStream

MAX_CLIENTS = 64
"""With one more, the client that has sent nothing for longest is disconnected."""
ACCEPT_COST = 1024
"""Octets of the read budget that a new connection costs."""
_PAUSE_S = 0.1
"""Before connections are accepted again where the system had no room for one."""


class RtspServer:
    """Describes the sessions of its catalogue to its clients, which share one read budget."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self.refused = 0
        """Requests that were not understood, or not answered with 200."""
        self.catalogue = SessionCatalogue()
        self._listener = listener
        self.host, self.port = listener.socket.getsockname()[:2]
        self._serving = trio.Lock()
        self._published = trio.Event()
        self._clients: OrderedDict[RtspServerConnection, trio.CancelScope] = OrderedDict()
        self._budget = ReadBudget()

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self._clients)

    def publish_session(self, name: str, sdp: str) -> None:
        """Publish a session, or its new description, which is announced to the clients that have the old one."""
        self.catalogue.put(name, sdp)
        published, self._published = self._published, trio.Event()
        published.set()

    def close(self) -> None:
        """Close the listening socket."""
        self._listener.socket.close()

    async def serve(self) -> None:
        """Serve until cancelled. Where several sinks call this, one serves at a time."""
        async with self._serving, trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await self._listener.accept()
                except OSError:
                    await trio.sleep(_PAUSE_S)
                else:
                    nursery.start_soon(self.serve_client, stream)
                    await self._budget.spend(ACCEPT_COST)

    async def serve_client(self, stream: trio.abc.Stream) -> None:
        """Serve one client until it leaves, or has to."""
        connection = RtspServerConnection(self.catalogue, self.host, self.port)
        peer = RtspStream(stream, self._budget)
        while len(self._clients) >= MAX_CLIENTS:
            _, longest_silent = self._clients.popitem(last=False)
            longest_silent.cancel()
        try:
            async with stream, trio.open_nursery() as nursery:
                self._clients[connection] = nursery.cancel_scope
                nursery.start_soon(self._announce, peer, connection)
                await self._serve_requests(peer, connection)
                nursery.cancel_scope.cancel()
        except* OSError:
            pass  # it has left
        finally:
            self._clients.pop(connection, None)

    async def _serve_requests(self, peer: RtspStream, connection: RtspServerConnection) -> None:
        while not connection.closing:
            octets = await peer.receive_some()
            if not octets:
                return
            if connection in self._clients:
                self._clients.move_to_end(connection)
            refused = connection.refused
            answers = connection.receive_data(octets)
            self.refused += connection.refused - refused
            await peer.send_all(answers)

    async def _announce(self, peer: RtspStream, connection: RtspServerConnection) -> None:
        while True:
            published = self._published
            await peer.send_all(connection.announcements())
            await published.wait()


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
