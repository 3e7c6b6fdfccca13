"""RAVENNA sessions: found by mDNS, described by RTSP."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from phasegraph.net import Interface

from . import mdns
from .rtsp import MalformedRtsp, session_url
from .rtsp_client import DescribeClient
from .rtsp_stream import RtspStream, connect

DESCRIBE_S = 5.0
"""How long a device may take to describe a session."""
_AT_ONCE = 8
"""Sessions that are described at the same time."""
_REST_S = 0.05
"""Between two new lookups: a flood of names is not a flood of connections."""


class DescribedSession(msgspec.Struct, frozen=True):
    """A session that a device offers, and its description or why there is none."""

    name: str
    address: str
    sdp: str = ""
    problem: str = ""


async def describe(address: str, port: int, name: str) -> str:
    """Fetch the description of a session. Raises OSError or MalformedRtsp with the reason."""
    client = DescribeClient(session_url(address, port, name))
    with trio.move_on_after(DESCRIBE_S):
        stream = await connect(address, port)
        try:
            await request_description(stream, client)
        finally:
            await stream.aclose()
        assert client.description is not None
        return client.description
    raise MalformedRtsp(f"no answer within {DESCRIBE_S:g} s")


async def request_description(stream: RtspStream, client: DescribeClient) -> None:
    """Request a description and wait for the answer. Raises OSError or MalformedRtsp."""
    await stream.send_all(client.request())
    while client.waiting:
        await stream.send_all(client.receive_data(await stream.receive_answer()))


async def browse_ravenna(interface: Interface, report: Callable[[DescribedSession], None]) -> None:
    """Report every session that appears, until cancelled. Raises ImportError where zeroconf is not installed."""
    zeroconf = await mdns.start(interface)
    try:
        browser = mdns.MdnsBrowser(zeroconf)
        limit = trio.CapacityLimiter(_AT_ONCE)
        seen: set[str] = set()
        running: set[str] = set()

        async def report_one(name: str) -> None:
            async with limit:
                try:
                    report(await look_up(browser, name))
                finally:
                    running.discard(name)

        async with trio.open_nursery() as nursery:
            while True:
                # One lookup of a name at a time, however often it is withdrawn and announced.
                seen &= browser.names.keys()
                change = browser.changed
                for name in browser.names.keys() - seen - running:
                    seen.add(name)
                    running.add(name)
                    nursery.start_soon(report_one, name)
                await change.wait()
                await trio.sleep(_REST_S)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(zeroconf.close)


async def look_up(browser: mdns.MdnsBrowser, name: str) -> DescribedSession:
    """Look up a session by its name, and fetch its description."""
    address = ""
    try:
        (address, *_), port = await mdns.resolve(browser.zeroconf, name)
        return DescribedSession(name, address, sdp=await describe(address, port, name))
    except (OSError, MalformedRtsp) as error:
        problem = str(error)
        return DescribedSession(name, address, problem=f"cannot be described: {problem}" if address else problem)
