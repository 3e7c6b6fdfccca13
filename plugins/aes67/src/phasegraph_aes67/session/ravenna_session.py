"""The RAVENNA session of one name: found by mDNS, described by RTSP, and kept up to date."""

from __future__ import annotations

import trio

from . import mdns, sap
from .ravenna import DESCRIBE_S, request_description
from .rtsp import MalformedRtsp, session_url
from .rtsp_client import DescribeClient
from .rtsp_stream import RtspStream, connect
from .session_lookup import SessionOffer, normalized_name

REFRESH_S = 60.0
"""How often a description is requested again. Devices push new ones where the connection stays open."""
REST_S = 0.2
"""Between two visits: a flood of mDNS changes is not a flood of connections."""
RETRY_S = (2.0, 5.0, 10.0, 30.0, REFRESH_S)
"""Pauses after attempts that failed."""


class RavennaSession:
    """Has the newest description of the session while mDNS knows it."""

    def __init__(self, name: str) -> None:
        self.offer: SessionOffer | None = None
        self.changes = 0
        """How often anything has changed."""
        self.problem = ""
        """Why there is no newer description, where a request failed."""
        self._name = normalized_name(name)

    async def run(self, browser: mdns.MdnsBrowser) -> None:
        """Keep it up to date, until cancelled."""
        while True:
            seen = self._seen(browser)
            if seen is None:
                if self.offer is not None:
                    self._set_offer(None)
                await browser.changed.wait()
                await trio.sleep(REST_S)
                continue
            async with trio.open_nursery() as nursery:
                # Any change of its mDNS records ends the visit: it may be elsewhere now.
                nursery.start_soon(self._until_changed, seen, browser, nursery.cancel_scope)
                await self._visit(browser, seen[0])
            await trio.sleep(REST_S)

    def _seen(self, browser: mdns.MdnsBrowser) -> tuple[str, int] | None:
        # Its name, and the number of its newest change.
        return next((seen for seen in browser.names.items() if normalized_name(seen[0]) == self._name), None)

    async def _until_changed(self, seen: tuple[str, int], browser: mdns.MdnsBrowser, scope: trio.CancelScope) -> None:
        while self._seen(browser) == seen:
            await browser.changed.wait()
        scope.cancel()

    async def _visit(self, browser: mdns.MdnsBrowser, name: str) -> None:
        failures = 0
        while True:
            try:
                await self._converse(browser, name)
                failures = 0
            except (OSError, MalformedRtsp) as error:
                self._set_problem(str(error))
                await trio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    async def _converse(self, browser: mdns.MdnsBrowser, name: str) -> None:
        # Requests by one connection, until it is closed; then waits until the next request is due.
        addresses, port = await mdns.resolve(browser.zeroconf, name)
        stream, address = await _reach(addresses, port)
        client = DescribeClient(session_url(address, port, name))
        requested = trio.current_time()
        try:
            while True:
                with trio.move_on_after(DESCRIBE_S) as waiting:
                    await request_description(stream, client)
                if waiting.cancelled_caught:
                    raise MalformedRtsp(f"no answer within {DESCRIBE_S:g} s")
                self._apply(client, address)
                requested = trio.current_time()
                with trio.move_on_at(requested + REFRESH_S):
                    if not await self._listen(stream, client, address):
                        break
        finally:
            await stream.aclose()
        await trio.sleep_until(requested + REFRESH_S)

    async def _listen(self, stream: RtspStream, client: DescribeClient, address: str) -> bool:
        # Handles what the device pushes. Returns False when it has closed the connection, as some do after an answer.
        while True:
            try:
                octets = await stream.receive_answer()
            except (OSError, MalformedRtsp):
                return False
            await stream.send_all(client.receive_data(octets))
            self._apply(client, address)

    def _apply(self, client: DescribeClient, address: str) -> None:
        self.problem = ""
        text = client.description or ""
        key = sap.session_key(text) or f"{address} {self._name}"
        offer = SessionOffer("RAVENNA", self._name, key, text, address)
        if offer != self.offer:
            self._set_offer(offer)

    def _set_offer(self, offer: SessionOffer | None) -> None:
        self.offer = offer
        self.changes += 1

    def _set_problem(self, problem: str) -> None:
        self.problem = problem
        self.changes += 1


async def _reach(addresses: tuple[str, ...], port: int) -> tuple[RtspStream, str]:
    # A device may have addresses that are not for this network: the first that answers counts.
    reason = OSError("no answer to mDNS queries of its address")
    for address in addresses:
        with trio.move_on_after(DESCRIBE_S):
            try:
                return await connect(address, port), address
            except OSError as error:
                reason = error
    raise reason
