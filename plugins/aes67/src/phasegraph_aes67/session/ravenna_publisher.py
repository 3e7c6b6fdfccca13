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
        raise NodeError(mdns.why_missing(), option="ravenna")
    if not name or "." in name or not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES:
        raise NodeError(
            f"{name!r} cannot be the name of a RAVENNA session",
            f"give the sink a name of up to {MAX_NAME_BYTES} bytes, without a dot",
            option="name",
        )


class _Place:
    """An interface where a session is published, until it has another address."""

    def __init__(self, interface: Interface) -> None:
        self.interface = interface
        self.server: RtspServer | None = None
        self.staying = trio.CancelScope()
        """Cancelled when the interface changes."""


class RavennaPublisher:
    """One session, on the interfaces of its legs."""

    def __init__(self, ctx: NodeContext, name: str, interfaces: Sequence[Interface], port: int) -> None:
        """``port`` is the RTSP server's; with 0 the system chooses."""
        self._ctx = ctx
        self._name = name
        self._places = [_Place(interface) for interface in dict.fromkeys(interfaces)]
        self._port = port
        self._text = ""

    def set_description(self, text: str) -> None:
        """Publish this description from now on."""
        self._text = text
        for server in self._servers():
            server.publish_session(self._name, text)

    def change_interface(self, before: Interface, now: Interface) -> None:
        """Publish on ``now`` what was published on ``before``: it has another address."""
        for place in self._places:
            if place.interface == before:
                place.interface = now
                place.staying.cancel()

    async def run(self) -> None:
        """Publish it until cancelled. Raises NodeError where an interface refuses at the start."""
        async with trio.open_nursery() as nursery:
            for place in self._places:
                await self._open_server(place)
            for place in self._places:
                nursery.start_soon(self._publish_on, place)

    def _servers(self) -> list[RtspServer]:
        return [place.server for place in self._places if place.server is not None]

    async def _open_server(self, place: _Place) -> None:
        place.server = await self._ctx.shared(RtspServers).on(place.interface, self._port)

    async def _publish_on(self, place: _Place) -> None:
        while True:
            place.staying = trio.CancelScope()
            with place.staying:
                await self._publish_until_it_moves(place)

    async def _publish_until_it_moves(self, place: _Place) -> None:
        while place.server is None:
            try:
                await self._open_server(place)
            except NodeError as error:
                self._ctx.event("ravenna_unavailable", reason=error.message)
                await trio.sleep(AGAIN_S)
        server = place.server
        try:
            server.publish_session(self._name, self._text)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.serve)
                nursery.start_soon(self._register, place.interface, server.port)
        finally:
            place.server = None
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
            "rtsp_clients": sum(server.clients for server in self._servers()),
            "rtsp_refused": sum(server.refused for server in self._servers()),
        }
