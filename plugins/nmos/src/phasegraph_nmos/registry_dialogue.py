"""Sends the requests of the registration client, and takes the answers to it."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import trio

from .registration.registration_client import TIMEOUT_S, RegistrationClient, RegistryRequest

LEAVE_S = 2.0
"""How long the node takes leave when it ends."""
NS_PER_S = 1_000_000_000


class RegistryDialogue:
    """Keeps a node registered. Redirections are not followed and bodies of answers are not read."""

    def __init__(self, client: RegistrationClient, log: Any, trust: str = "") -> None:
        """``trust`` names a PEM file with the certificates that registries are checked against."""
        self.client = client
        self._log = log
        self._changed = trio.Event()
        self._context: ssl.SSLContext | bool = ssl.create_default_context(cafile=trust) if trust else True

    def wake(self) -> None:
        """Resources or registries have changed."""
        self._changed.set()

    async def run(self) -> None:
        """Keep the node registered until cancelled, then take leave."""
        headers = {"Accept": "application/json"}
        limits = httpx.Limits(max_connections=4, max_keepalive_connections=2)
        async with httpx.AsyncClient(
            verify=self._context, headers=headers, limits=limits, timeout=None, trust_env=False
        ) as http:
            try:
                await self._keep_registered(http)
            finally:
                self.client.deregister()
                with trio.move_on_after(LEAVE_S, shield=True):
                    while (request := self.client.next_request(_now_ns())) is not None:
                        await self._send_request(http, request)

    async def _keep_registered(self, http: httpx.AsyncClient) -> None:
        while True:
            self._changed = trio.Event()
            request = self.client.next_request(_now_ns())
            if request is not None:
                await self._send_request(http, request)
                self._write_notes()
                continue
            wake_ns = self.client.wake_ns()
            wait_s = float("inf") if wake_ns is None else max(0.01, (wake_ns - _now_ns()) / NS_PER_S)
            with trio.move_on_after(wait_s):
                await self._changed.wait()

    async def _send_request(self, http: httpx.AsyncClient, request: RegistryRequest) -> None:
        reason = f"does not answer within {TIMEOUT_S:g} s"
        try:
            with trio.move_on_after(TIMEOUT_S) as patience:
                async with http.stream(request.method, request.url, json=request.body) as response:
                    status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self.client.on_failure(f"cannot be reached: {error or type(error).__name__}", _now_ns())
            return
        except trio.Cancelled:
            self.client.on_failure("the request was cancelled", _now_ns())
            raise
        if patience.cancelled_caught:
            self.client.on_failure(reason, _now_ns())
        else:
            self.client.on_answer(status, _now_ns())

    def _write_notes(self) -> None:
        for note in self.client.notes:
            self._log.info("registration", note=note)
        self.client.notes.clear()


def _now_ns() -> int:
    return round(trio.current_time() * NS_PER_S)
