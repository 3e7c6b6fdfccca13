"""RAVENNA sessions: found by mDNS, described by RTSP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import trio

from phasegraph.net import Interface

from .rtsp import MalformedRtsp, ResponseReader, describe_request, session_url

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf

SERVICE = "_rtsp._tcp.local."
SESSIONS = f"_ravenna_session._sub.{SERVICE}"
DESCRIBE_S = 5.0
"""How long a device may take to describe a session."""
RESOLVE_MS = 3000
_CSEQ = 1
_WAITING, _AT_ONCE = 256, 8
"""Sessions that may wait to be described, and that are being described."""


class Found(msgspec.Struct, frozen=True):
    """A session that a device offers, and its description or why there is none."""

    name: str
    address: str
    sdp: str = ""
    problem: str = ""


async def describe(address: str, port: int, name: str) -> str:
    """Fetch the description of a session. Raises OSError or MalformedRtsp with the reason."""
    with trio.move_on_after(DESCRIBE_S):
        async with await trio.open_tcp_stream(address, port) as stream:
            await stream.send_all(describe_request(session_url(address, port, name), _CSEQ))
            reader = ResponseReader(_CSEQ)
            async for octets in stream:
                response = reader.feed(bytes(octets))
                if response is not None:
                    if response.status != 200:
                        raise MalformedRtsp(f"it answers {response.status} {response.reason}")
                    return response.body
            raise MalformedRtsp("it closed the connection without an answer")
    raise MalformedRtsp(f"no answer within {DESCRIBE_S:g} s")


async def browse_ravenna(interface: Interface, tell: Callable[[Found], None]) -> None:
    """Tell every session that comes, until cancelled. Raises ImportError where zeroconf is not installed."""
    from zeroconf import IPVersion, ServiceBrowser, Zeroconf

    token = trio.lowlevel.current_trio_token()
    send, receive = trio.open_memory_channel[str](_WAITING)

    def arrived(name: str) -> None:
        with contextlib.suppress(trio.WouldBlock):  # a flood of names
            send.send_nowait(name)

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change.name == "Added":
            token.run_sync_soon(arrived, name)

    interfaces = [interface.address] if interface.name else ["0.0.0.0"]
    zeroconf = await trio.to_thread.run_sync(lambda: Zeroconf(interfaces=interfaces, ip_version=IPVersion.V4Only))
    try:
        ServiceBrowser(zeroconf, SESSIONS, handlers=[changed])
        async with trio.open_nursery() as nursery:
            for _ in range(_AT_ONCE):
                nursery.start_soon(_look_up, zeroconf, receive, tell)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(zeroconf.close)


async def _look_up(zeroconf: Zeroconf, names: trio.MemoryReceiveChannel[str], tell: Callable[[Found], None]) -> None:
    async for name in names:
        tell(await find(zeroconf, name))


async def find(zeroconf: Zeroconf, full_name: str) -> Found:
    """Look up a session by its full name, and fetch its description."""
    from zeroconf import Error

    name = full_name.removesuffix(f".{SERVICE}")
    try:
        info = await trio.to_thread.run_sync(
            lambda: zeroconf.get_service_info(SERVICE, f"{name}.{SERVICE}", timeout=RESOLVE_MS), abandon_on_cancel=True
        )
    except Error as error:
        return Found(name, "", problem=f"its name cannot be looked up: {error}")
    addresses = [] if info is None else info.parsed_addresses()
    if info is None or not addresses or info.port is None:
        return Found(name, "", problem="nobody says where it is")
    try:
        return Found(name, addresses[0], sdp=await describe(addresses[0], info.port, name))
    except (OSError, trio.BrokenResourceError, MalformedRtsp) as error:
        return Found(name, addresses[0], problem=f"cannot be described: {error}")
