"""A console that serves a fake machine on the loopback interface, and a client of it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import trio

from phasegraph_console.web.access_rules import AccessRole
from phasegraph_console.web.console_process import ConsoleSettings, run_console
from phasegraph_console.web.run_directory import RunDirectory

from .console_fakes import FakeMachine

OPERATOR, READ_ONLY = "operator-token-for-tests", "read-only-token-for-tests"
TOKENS = {AccessRole.OPERATOR: OPERATOR, AccessRole.READ_ONLY: READ_ONLY}
AS_OPERATOR = {"authorization": f"Bearer {OPERATOR}"}
AS_READER = {"authorization": f"Bearer {READ_ONLY}"}


class ServedConsole:
    def __init__(self, port: int, client: httpx.AsyncClient, said: list[str]) -> None:
        self.port = port
        self.client = client
        self.said = said
        """What the console printed: its address, then a line for each change."""


@asynccontextmanager
async def served(
    machine: FakeMachine | None = None,
    *,
    host: str = "127.0.0.1",
    directory: RunDirectory | None = None,
    tls: tuple[Path, Path] | None = None,
) -> AsyncIterator[ServedConsole]:
    said: list[str] = []
    if directory is None:
        machine = machine or FakeMachine()
        directory = RunDirectory(machine.find, machine.connect)
    settings = ConsoleSettings(host, 0, TOKENS, tls=tls)
    address, verify = "http://127.0.0.1", True if tls is None else ssl.create_default_context(cafile=tls[0])
    if tls is not None:
        address = "https://localhost"
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(partial(run_console, settings, said.append, directory=directory))
            base = f"{address}:{port}"
            async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60, verify=verify) as client:
                yield ServedConsole(port, client, said)
            nursery.cancel_scope.cancel()


async def raw_answer(port: int, data: bytes, *, patience_s: float = 30) -> bytes:
    """What the console answers to these octets, until it closes the connection."""
    answer = b""
    with trio.fail_after(patience_s):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(data)
            try:
                while more := await stream.receive_some(65536):
                    answer += more
            except trio.BrokenResourceError:
                pass
    return answer
