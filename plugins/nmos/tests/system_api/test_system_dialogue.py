"""A System API on the loopback is asked, and runs get what it says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import structlog
import trio

from phasegraph.control import ControlError
from phasegraph_nmos.system_api.global_parameters import GlobalParameters, parse_global
from phasegraph_nmos.system_api.system_client import SystemApi, SystemClient
from phasegraph_nmos.system_dialogue import SystemDialogue, set_clocks

GLOBAL = {
    "id": "3b8be755-08ff-452b-b217-c9151eb21193",
    "version": "1:0",
    "is04": {"heartbeat_interval": 8},
    "ptp": {"announce_receipt_timeout": 3, "domain_number": 57},
}


@contextmanager
def system_api(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[SystemApi]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield SystemApi(url=f"http://127.0.0.1:{server.server_address[1]}/x-nmos/system/v1.0/global")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def give(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, location: str = "") -> None:
    handler.send_response(status)
    handler.send_header("content-length", str(len(body)))
    if location:
        handler.send_header("location", location)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.realtime
async def test_the_first_one_that_is_of_use_is_used() -> None:
    received: list[GlobalParameters] = []
    there = trio.Event()

    async def on_parameters(parameters: GlobalParameters) -> None:
        received.append(parameters)
        there.set()

    body = json.dumps(GLOBAL).encode()
    with (
        system_api(lambda handler: give(handler, b" " * 70_000)) as too_long,
        system_api(lambda handler: give(handler, b"", 302, "http://127.0.0.1:9/")) as elsewhere,
        system_api(lambda handler: give(handler, body)) as right,
        trio.fail_after(20),
    ):
        client = SystemClient("node")
        dialogue = SystemDialogue(client, on_parameters, structlog.get_logger())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dialogue.run)
            ordered = [
                SystemApi(url=api.url, priority=priority) for priority, api in enumerate((too_long, elsewhere, right))
            ]
            dialogue.set_apis(ordered)
            await there.wait()
            nursery.cancel_scope.cancel()
    assert client.source_url == right.url
    assert [parameters.ptp.domain_number for parameters in received] == [57]


class FakeRun:
    """A run that takes changes, or refuses them."""

    def __init__(self, graph: dict[str, Any], refusal: str = "") -> None:
        self.changing = trio.Lock()
        self.view: Any = type("View", (), {"graph": graph})
        self.applied: list[Any] = []
        self._refusal = refusal

    async def apply(self, changes: Any, at: Any = "now", *, wait: bool = True, ahead_s: float | None = None) -> Any:
        if self._refusal:
            raise ControlError(self._refusal)
        self.applied.append(dict(changes))

    async def plan(self, changes: Any) -> Any:
        raise AssertionError("nothing is planned")

    async def refresh(self) -> None:
        """Nothing is read again."""

    async def wait_refreshed(self) -> None:
        raise AssertionError("nothing is waited for")


async def test_clocks_get_what_their_graph_leaves_open() -> None:
    parameters = parse_global(json.dumps(GLOBAL).encode())
    run = FakeRun({"clocks": {"house": {"kind": "ptp", "announce-receipt-timeout": 5}}})
    assert await set_clocks(run, parameters, override=False) == ["clock.house.domain"]
    assert run.applied == [{"clock.house.domain": 57}]
    assert await set_clocks(FakeRun({}), parameters, override=True) == []
    with pytest.raises(ControlError, match="there is no PTP"):
        await set_clocks(FakeRun(run.view.graph, "there is no PTP"), parameters, override=True)
