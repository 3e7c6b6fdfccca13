"""Asks a System API, and gives runs and the registration what it says (IS-09)."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import trio

from phasegraph import NS_PER_S
from phasegraph.control import ControlError

from .activation_runner import APPLY_TIMEOUT_S, ChangeableRun
from .system_api.global_parameters import GlobalParameters, clock_changes
from .system_api.system_client import TIMEOUT_S, SystemApi, SystemClient

MOST_BYTES = 1 << 16


class SystemDialogue:
    """Fetches the global parameters. Redirections are not followed; an answer has 64 KiB at most."""

    def __init__(
        self,
        client: SystemClient,
        on_parameters: Callable[[GlobalParameters], Awaitable[None]],
        log: Any,
        trust: str = "",
    ) -> None:
        """``on_parameters`` is cancelled when others replace them.

        ``trust`` names a PEM file with the certificates that System APIs are checked against.
        """
        self._client = client
        self._on_parameters = on_parameters
        self._log = log
        self._changed = trio.Event()
        self._context: ssl.SSLContext | bool = ssl.create_default_context(cafile=trust) if trust else True

    def set_apis(self, apis: Sequence[SystemApi]) -> None:
        """The System APIs that are there."""
        self._client.set_apis(apis, _now_ns())
        self._changed.set()

    async def run(self) -> None:
        """Ask until one has answered, and again where the system is another one, until cancelled."""
        async with (
            httpx.AsyncClient(verify=self._context, timeout=None, trust_env=False) as http,
            trio.open_nursery() as nursery,
        ):
            used, scope = self._client.parameters, trio.CancelScope()
            while True:
                self._changed = trio.Event()
                if (api := self._client.next_fetch(_now_ns())) is not None:
                    await self._fetch(http, api)
                    continue
                if (parameters := self._client.parameters) is not None and parameters != used:
                    scope.cancel()
                    used, scope = parameters, trio.CancelScope()
                    nursery.start_soon(self._use, parameters, scope)
                wake_ns = self._client.wake_ns()
                wait_s = float("inf") if wake_ns is None else max(0.01, (wake_ns - _now_ns()) / NS_PER_S)
                with trio.move_on_after(wait_s):
                    await self._changed.wait()

    async def _use(self, parameters: GlobalParameters, scope: trio.CancelScope) -> None:
        with scope:
            await self._on_parameters(parameters)

    async def _fetch(self, http: httpx.AsyncClient, api: SystemApi) -> None:
        body = bytearray()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            with trio.move_on_after(TIMEOUT_S) as patience:
                async with http.stream("GET", api.url, headers=headers) as response:
                    async for part in response.aiter_raw():
                        body += part[: MOST_BYTES + 1 - len(body)]  # what is too long is read on, and not kept
            if patience.cancelled_caught:
                self._client.on_failure(f"does not answer within {TIMEOUT_S:g} s", _now_ns())
            elif len(body) > MOST_BYTES:
                self._client.on_failure(f"answers with more than {MOST_BYTES >> 10} KiB", _now_ns())
            else:
                self._client.on_answer(response.status_code, bytes(body), _now_ns())
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._client.on_failure(f"cannot be reached: {error or type(error).__name__}", _now_ns())
        for note in self._client.notes:
            self._log.info("system parameters", note=note)
        self._client.notes.clear()


async def set_clocks(link: ChangeableRun, parameters: GlobalParameters, *, override: bool) -> list[str]:
    """Give the parameters to the PTP clocks of a run. Returns the options that have changed. Raises ControlError."""
    async with link.changing:
        if link.view is None:
            return []
        changes = clock_changes(parameters, link.view.graph, override=override)
        if changes:
            try:
                with trio.fail_after(APPLY_TIMEOUT_S):
                    await link.apply(changes)
                    await link.refresh()
            except trio.TooSlowError:
                raise ControlError(f"it took longer than {APPLY_TIMEOUT_S:g} s") from None
        return sorted(changes)


def _now_ns() -> int:
    return round(trio.current_time() * NS_PER_S)
