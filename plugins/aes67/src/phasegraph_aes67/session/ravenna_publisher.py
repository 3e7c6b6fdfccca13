"""Publishing a session as RAVENNA devices do: mDNS announces its name, RTSP describes it."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from phasegraph import Metric, NodeContext, NodeError
from phasegraph.net import Interface

from . import mdns
from .rtsp_listener import RtspServer, RtspServers

AGAIN_S = 60.0
"""How long after a conflict a name is tried again."""
MAX_NAME_BYTES = 63
"""Of an instance name (RFC 6763, 4.1.1)."""


def check_name(name: str) -> None:
    """Raises NodeError where a session cannot be offered under this name, or at all."""
    if not mdns.installed():
        raise NodeError(mdns.MISSING, option="ravenna")
    if not name or "." in name or not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES:
        raise NodeError(
            f"{name!r} cannot be the name of a RAVENNA session",
            f"give the sink a name of up to {MAX_NAME_BYTES} bytes, without a dot",
            option="name",
        )


class RavennaPublisher:
    """One session, on the interfaces of its legs."""

    def __init__(self, ctx: NodeContext, name: str, interfaces: Sequence[Interface], port: int) -> None:
        """``port`` is the RTSP server's; with 0 the system chooses."""
        self._ctx = ctx
        self._name = name
        self._interfaces = tuple(dict.fromkeys(interfaces))
        self._port = port
        self._text = ""
        self._servers: list[RtspServer] = []

    def set_description(self, text: str) -> None:
        """Publish this description from now on."""
        self._text = text
        for server in self._servers:
            server.publish_session(self._name, text)

    async def run(self) -> None:
        """Publish it until cancelled. Raises NodeError."""
        try:
            async with trio.open_nursery() as nursery:
                for interface in self._interfaces:
                    server = await self._ctx.shared(RtspServers).on(interface, self._port)
                    self._servers.append(server)
                    server.publish_session(self._name, self._text)
                    nursery.start_soon(server.serve)
                    nursery.start_soon(self._register, interface, server.port)
        finally:
            for server in self._servers:
                server.catalogue.withdraw(self._name)

    async def _register(self, interface: Interface, port: int) -> None:
        last_reason = ""
        while True:
            try:
                zeroconf = await self._ctx.shared(mdns.MulticastDns).on(interface)
                async with mdns.registered(zeroconf, self._name, interface.address, port):
                    self._ctx.event("session_offered", session=self._name, rtsp=f"{interface.address}:{port}")
                    await trio.sleep_forever()
            except OSError as error:
                if str(error) != last_reason:
                    last_reason = str(error)
                    self._ctx.event("ravenna_unavailable", reason=last_reason)
                await trio.sleep(AGAIN_S)

    def metrics(self) -> dict[str, Metric]:
        """The figures of the servers, which the sessions of a run share."""
        return {
            "rtsp_clients": sum(server.clients for server in self._servers),
            "rtsp_refused": sum(server.refused for server in self._servers),
        }
