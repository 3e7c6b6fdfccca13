"""RAVENNA sessions: found by mDNS, described by RTSP."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from phasegraph.net import Interface

from . import mdns
from .rtsp import MalformedRtsp, session_url
from .rtsp_client import DescribeClient

DESCRIBE_S = 5.0
"""How long a device may take to describe a session."""
_AT_ONCE = 8
"""Sessions that are being described."""


class Found(msgspec.Struct, frozen=True):
    """A session that a device offers, and its description or why there is none."""

    name: str
    address: str
    sdp: str = ""
    problem: str = ""


async def describe(address: str, port: int, name: str) -> str:
    """Fetch the description of a session. Raises OSError or MalformedRtsp with the reason."""
    client = DescribeClient(session_url(address, port, name))
    with trio.move_on_after(DESCRIBE_S):
        async with await connect(address, port) as stream:
            await ask(stream, client)
        assert client.description is not None
        return client.description
    raise MalformedRtsp(f"no answer within {DESCRIBE_S:g} s")


async def connect(address: str, port: int) -> trio.SocketStream:
    """A connection to a device. Raises OSError."""
    return await trio.open_tcp_stream(address, port)


async def ask(stream: trio.SocketStream, client: DescribeClient) -> None:
    """Ask for a description and wait for the answer. Raises OSError or MalformedRtsp."""
    await send(stream, client.ask())
    while client.waiting:
        await send(stream, client.feed(await receive(stream)))


async def receive(stream: trio.SocketStream) -> bytes:
    """What comes next. Raises OSError or MalformedRtsp where nothing does any more."""
    try:
        octets = bytes(await stream.receive_some())
    except trio.BrokenResourceError as error:
        raise OSError("the connection broke") from error
    if not octets:
        raise MalformedRtsp("it closed the connection without an answer")
    return octets


async def send(stream: trio.SocketStream, octets: bytes) -> None:
    """Send, if there is anything to. Raises OSError."""
    if octets:
        try:
            await stream.send_all(octets)
        except trio.BrokenResourceError as error:
            raise OSError("the connection broke") from error


async def browse_ravenna(interface: Interface, tell: Callable[[Found], None]) -> None:
    """Tell every session that comes, until cancelled. Raises ImportError where zeroconf is not installed."""
    zeroconf = await mdns.start(interface)
    try:
        sightings = mdns.Sightings(zeroconf)
        limit = trio.CapacityLimiter(_AT_ONCE)
        seen: set[str] = set()
        async with trio.open_nursery() as nursery:
            while True:
                seen &= sightings.names.keys()
                for name in sightings.names.keys() - seen:
                    seen.add(name)
                    nursery.start_soon(_look_up, sightings, name, limit, tell)
                await sightings.change()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(zeroconf.close)


async def _look_up(
    sightings: mdns.Sightings, name: str, limit: trio.CapacityLimiter, tell: Callable[[Found], None]
) -> None:
    async with limit:
        tell(await find(sightings, name))


async def find(sightings: mdns.Sightings, name: str) -> Found:
    """Look up a session by its name, and fetch its description."""
    address = ""
    try:
        (address, *_), port = await mdns.resolve(sightings.zeroconf, name)
        return Found(name, address, sdp=await describe(address, port, name))
    except (OSError, MalformedRtsp) as error:
        problem = str(error)
        return Found(name, address, problem=f"cannot be described: {problem}" if address else problem)
