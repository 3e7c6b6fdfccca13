"""The RAVENNA session of one name: looked for by mDNS, described by RTSP, and kept up to date."""

from __future__ import annotations

import trio

from . import mdns, sap
from .ravenna import DESCRIBE_S, ask, connect, receive, send
from .rtsp import MalformedRtsp, session_url
from .rtsp_client import DescribeClient
from .session_lookup import SessionOffer, normalized_name

REFRESH_S = 60.0
"""How often a description is asked for again. Devices push new ones where the connection stays open."""
REST_S = 0.2
"""Between two visits: a flood of news is no flood of connections."""
RETRY_S = (2.0, 5.0, 10.0, 30.0, REFRESH_S)
"""Pauses after attempts that failed."""


class RavennaSession:
    """Has the newest description of the session for as long as mDNS knows it."""

    def __init__(self, name: str) -> None:
        self.offer: SessionOffer | None = None
        self.changes = 0
        """How often anything has changed."""
        self.problem = ""
        """Why there is no newer description, where one was asked for in vain."""
        self._name = normalized_name(name)

    async def run(self, sightings: mdns.Sightings) -> None:
        """Keep it up to date, until cancelled."""
        while True:
            seen = self._seen(sightings)
            if seen is None:
                if self.offer is not None:
                    self._become(None)
                await sightings.change()
                continue
            async with trio.open_nursery() as nursery:
                # Whatever mDNS tells of it ends the visit: it may be elsewhere now.
                nursery.start_soon(self._until_another, seen, sightings, nursery.cancel_scope)
                await self._visit(sightings, seen[0])
            await trio.sleep(REST_S)

    def _seen(self, sightings: mdns.Sightings) -> tuple[str, int] | None:
        # Its name and what number the newest news of it has.
        return next((seen for seen in sightings.names.items() if normalized_name(seen[0]) == self._name), None)

    async def _until_another(self, seen: tuple[str, int], sightings: mdns.Sightings, scope: trio.CancelScope) -> None:
        while self._seen(sightings) == seen:
            await sightings.change()
        scope.cancel()

    async def _visit(self, sightings: mdns.Sightings, name: str) -> None:
        failures = 0
        while True:
            try:
                await self._converse(sightings, name)
                failures = 0
            except (OSError, MalformedRtsp) as error:
                self._say(str(error))
                await trio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    async def _converse(self, sightings: mdns.Sightings, name: str) -> None:
        # Asks at one connection, for as long as it lasts; then waits until it is time to ask again.
        addresses, port = await mdns.resolve(sightings.zeroconf, name)
        stream, address = await _reach(addresses, port)
        client = DescribeClient(session_url(address, port, name))
        asked = trio.current_time()
        async with stream:
            while True:
                with trio.move_on_after(DESCRIBE_S) as waiting:
                    await ask(stream, client)
                if waiting.cancelled_caught:
                    raise MalformedRtsp(f"no answer within {DESCRIBE_S:g} s")
                self._heard(client, address)
                asked = trio.current_time()
                with trio.move_on_at(asked + REFRESH_S):
                    if not await self._listen(stream, client, address):
                        break
        await trio.sleep_until(asked + REFRESH_S)

    async def _listen(self, stream: trio.SocketStream, client: DescribeClient, address: str) -> bool:
        # Takes in what the device pushes. Returns False when it has closed the connection, as some do after an answer.
        while True:
            try:
                octets = await receive(stream)
            except (OSError, MalformedRtsp):
                return False
            await send(stream, client.feed(octets))
            self._heard(client, address)

    def _heard(self, client: DescribeClient, address: str) -> None:
        self.problem = ""
        text = client.description or ""
        key = sap.session_key(text) or f"{address} {self._name}"
        offer = SessionOffer("RAVENNA", self._name, key, text, address)
        if offer != self.offer:
            self._become(offer)

    def _become(self, offer: SessionOffer | None) -> None:
        self.offer = offer
        self.changes += 1

    def _say(self, problem: str) -> None:
        self.problem = problem
        self.changes += 1


async def _reach(addresses: tuple[str, ...], port: int) -> tuple[trio.SocketStream, str]:
    # A device may have addresses that are not for this network: the first that answers counts.
    reason = OSError("nobody says where it is")
    for address in addresses:
        with trio.move_on_after(DESCRIBE_S):
            try:
                return await connect(address, port), address
            except OSError as error:
                reason = error
    raise reason
