"""mDNS, through the package zeroconf: once per interface and run, whoever needs it."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from phasegraph import NodeContext
from phasegraph.net import Interface

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf

SERVICE = "_rtsp._tcp.local."
SESSIONS = f"_ravenna_session._sub.{SERVICE}"
RESOLVE_MS = 3000
MISSING = "RAVENNA sessions need mDNS, which is not installed: pip install phasegraph-aes67[mdns]"
MAX_NAMES = 1024
"""A flood of names ends here."""


def installed() -> bool:
    """Whether there is mDNS."""
    return importlib.util.find_spec("zeroconf") is not None


async def start(interface: Interface) -> Zeroconf:
    """Speak mDNS on an interface. Raises ImportError with a remedy, or OSError."""
    try:
        from zeroconf import IPVersion, Zeroconf
    except ImportError:
        raise ImportError(MISSING) from None
    interfaces = [interface.address] if interface.name else ["0.0.0.0"]
    make = partial(Zeroconf, interfaces=interfaces, ip_version=IPVersion.V4Only)
    return await trio.to_thread.run_sync(make)


class Sightings:
    """Which RAVENNA sessions there are, as mDNS tells, by name: with a number that is another after each change."""

    def __init__(self, zeroconf: Zeroconf) -> None:
        from zeroconf import ServiceBrowser

        from .mdns_records import watch_records

        self.zeroconf = zeroconf
        self.names: dict[str, int] = {}
        self._records: dict[tuple[str, str], object] = {}
        """What the newest records of a name say, by their type."""
        self._changes = 0
        self._changed = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        ServiceBrowser(zeroconf, SESSIONS, handlers=[self._saw])
        watch_records(zeroconf, self._read)

    async def change(self) -> None:
        """Wait until anything changes."""
        await self._changed.wait()

    def _saw(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        # In a thread of zeroconf's, as `_read`.
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._note, name.removesuffix(f".{SERVICE}"), state_change.name != "Removed")

    def _read(self, name: str, kind: str, said: object) -> None:
        if name.endswith(f".{SERVICE}"):
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._compare, name.removesuffix(f".{SERVICE}"), kind, said)

    def _compare(self, name: str, kind: str, said: object) -> None:
        if len(self._records) > 2 * MAX_NAMES:
            self._records.clear()
        before, self._records[name, kind] = self._records.get((name, kind)), said
        if before not in (None, said) and name in self.names:
            self._note(name, there=True)

    def _note(self, name: str, there: bool) -> None:
        self._changes += 1
        if not there:
            self.names.pop(name, None)
        elif name in self.names or len(self.names) < MAX_NAMES:
            self.names[name] = self._changes
        changed, self._changed = self._changed, trio.Event()
        changed.set()


class MulticastDns:
    """What the nodes of a run share."""

    def __init__(self, ctx: NodeContext) -> None:
        self._starting = trio.Lock()
        self._zeroconfs: dict[Interface, Zeroconf] = {}
        self._sightings: dict[Interface, Sightings] = {}

    async def on(self, interface: Interface) -> Zeroconf:
        """mDNS on an interface. Raises ImportError with a remedy, or OSError."""
        async with self._starting:
            if interface not in self._zeroconfs:
                self._zeroconfs[interface] = await start(interface)
            return self._zeroconfs[interface]

    async def sightings(self, interface: Interface) -> Sightings:
        """The sessions on an interface. Raises as `on`."""
        zeroconf = await self.on(interface)
        if interface not in self._sightings:
            self._sightings[interface] = Sightings(zeroconf)
        return self._sightings[interface]

    def close(self) -> None:
        """Say no more."""
        for zeroconf in self._zeroconfs.values():
            zeroconf.close()


async def resolve(zeroconf: Zeroconf, name: str) -> tuple[tuple[str, ...], int]:
    """Addresses and port of a session. Raises OSError with the reason."""
    from zeroconf import Error

    look_up = partial(zeroconf.get_service_info, SERVICE, f"{name}.{SERVICE}", timeout=RESOLVE_MS)
    try:
        info = await trio.to_thread.run_sync(look_up, abandon_on_cancel=True)
    except Error as error:
        raise OSError(f"its name cannot be looked up: {error}") from error
    addresses = () if info is None else tuple(info.parsed_addresses())
    if info is None or not addresses or info.port is None:
        raise OSError("nobody says where it is")
    return addresses, info.port


@asynccontextmanager
async def registered(zeroconf: Zeroconf, name: str, address: str, port: int) -> AsyncIterator[None]:
    """A session is offered by RTSP at an address while the block runs. Raises OSError with the reason."""
    from zeroconf import Error, NonUniqueNameException, ServiceInfo

    server = f"phasegraph-{address.replace('.', '-')}-{port}.local."  # whose address nobody else takes back
    done: list[ServiceInfo] = []
    try:
        try:
            for kind in (SERVICE, SESSIONS):
                info = ServiceInfo(
                    kind, f"{name}.{SERVICE}", port=port, parsed_addresses=[address], server=server, properties={}
                )
                if kind == SESSIONS:
                    # A service and its subtype have one name (RFC 6763, 7.1); zeroconf keeps them by keys, one each.
                    info.key += SESSIONS
                # Whether the name is free is asked once.
                register = partial(zeroconf.register_service, info, cooperating_responders=kind == SESSIONS)
                await trio.to_thread.run_sync(register)
                done.append(info)
        except NonUniqueNameException as error:
            raise OSError(f"somebody else offers a session {name!r}") from error
        except Error as error:
            raise OSError(f"mDNS refuses the session {name!r}: {error}") from error
        yield
    finally:
        with trio.CancelScope(shield=True):
            for info in done:
                with contextlib.suppress(Error, OSError):
                    await trio.to_thread.run_sync(zeroconf.unregister_service, info)
