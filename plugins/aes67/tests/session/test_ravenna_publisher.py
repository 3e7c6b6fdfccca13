"""Where a session is published, while the interface gets another address: real RTSP, no mDNS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from phasegraph.net import Interface
from phasegraph_aes67.session import mdns
from phasegraph_aes67.session.ravenna_publisher import RavennaPublisher
from phasegraph_aes67.session.rtsp_listener import RtspServers

pytestmark = pytest.mark.realtime

FIRST, SECOND = Interface("lo", 1, "127.0.0.1"), Interface("lo", 1, "127.0.0.2")
REQUEST = b"DESCRIBE rtsp://device/by-name/Stage RTSP/1.0\r\nCSeq: 1\r\n\r\n"
SDP = "v=0\r\ns={}\r\n"


class Context:
    """What a publisher uses of a `NodeContext`."""

    def __init__(self) -> None:
        self._shared: dict[type, Any] = {RtspServers: RtspServers(self), mdns.MulticastDns: self}  # type: ignore[arg-type]
        self.events: list[str] = []

    def shared(self, kind: type) -> Any:
        return self._shared[kind]

    def event(self, name: str, **fields: object) -> None:
        self.events.append(name)

    async def on(self, interface: Interface) -> None:
        """mDNS of an interface."""


async def described_at(address: str, port: int) -> str:
    stream = await trio.open_tcp_stream(address, port)
    async with stream:
        await stream.send_all(REQUEST)
        return (await stream.receive_some(4096)).decode()


async def until(condition: Any) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.01)


async def test_a_session_follows_the_address_of_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[tuple[str, int]] = []

    @asynccontextmanager
    async def registered(zeroconf: object, name: str, address: str, port: int) -> AsyncIterator[None]:
        offered.append((address, port))
        try:
            yield
        finally:
            offered.remove((address, port))

    monkeypatch.setattr(mdns, "registered", registered)
    ctx: Any = Context()
    publisher = RavennaPublisher(ctx, "Stage", [FIRST], 0)
    publisher.set_description(SDP.format("first"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.run)
        await until(lambda: offered)
        (before,) = offered
        assert before[0] == FIRST.address
        assert "s=first" in await described_at(*before)
        publisher.change_interface(FIRST, SECOND)
        publisher.set_description(SDP.format("second"))
        await until(lambda: offered and offered[0][0] == SECOND.address)
        (now,) = offered
        assert "s=second" in await described_at(*now)
        publisher.change_interface(SECOND, FIRST)  # the address comes back, as after a pause of DHCP
        await until(lambda: offered == [before])
        assert "s=second" in await described_at(*before)
        nursery.cancel_scope.cancel()
    assert offered == []
    ctx.shared(RtspServers).close()


async def test_an_address_where_rtsp_cannot_be_answered_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phasegraph_aes67.session.ravenna_publisher.AGAIN_S", 0.05)
    offered: list[str] = []

    @asynccontextmanager
    async def registered(zeroconf: object, name: str, address: str, port: int) -> AsyncIterator[None]:
        offered.append(address)
        yield

    monkeypatch.setattr(mdns, "registered", registered)
    ctx: Any = Context()
    (taken,) = await trio.open_tcp_listeners(0, host=SECOND.address)
    publisher = RavennaPublisher(ctx, "Stage", [FIRST], taken.socket.getsockname()[1])
    publisher.set_description(SDP.format("first"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.run)
        await until(lambda: offered)
        publisher.change_interface(FIRST, SECOND)
        await until(lambda: "ravenna_unavailable" in ctx.events)
        await taken.aclose()
        await until(lambda: offered[-1] == SECOND.address)
        nursery.cancel_scope.cancel()
    ctx.shared(RtspServers).close()
