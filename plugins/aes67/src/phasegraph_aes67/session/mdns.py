"""mDNS, through the package zeroconf: once for each interface of a run."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from phasegraph import NodeContext, install_command
from phasegraph.net import Interface

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf

K = TypeVar("K")
V = TypeVar("V")
SERVICE = "_rtsp._tcp.local."
SESSIONS = f"_ravenna_session._sub.{SERVICE}"
RESOLVE_MS = 3000
CONFLICT_MS = 2000
"""How long a name is queried before it is used: twice what a responder may wait before it repeats (RFC 6762, 6)."""
MAX_NAMES = 1024
"""Sessions that are kept; the names of a flood beyond that are ignored."""


def why_missing() -> str:
    """What to do about the package that is not installed."""
    return f"RAVENNA sessions need mDNS, which is not installed: {install_command('phasegraph-aes67[mdns]')}"


def installed() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("zeroconf") is not None


async def start(interface: Interface) -> Zeroconf:
    """Speak mDNS on an interface. Raises ImportError with a remedy, or OSError."""
    try:
        import asyncio

        from zeroconf import IPVersion, Zeroconf
    except ImportError:
        raise ImportError(why_missing()) from None
    _ = asyncio.Lock  # a deferred import ends here, not in two of the threads that follow
    interfaces = [interface.address] if interface.name else ["0.0.0.0"]
    make = partial(Zeroconf, interfaces=interfaces, ip_version=IPVersion.V4Only)
    return await trio.to_thread.run_sync(make)


class MdnsBrowser:
    """The RAVENNA sessions that mDNS knows.

    zeroconf reports in a thread of its own. What it reports is put together by name until the control plane has time:
    of a flood the newest state of a bounded number of names is kept, not every report.
    """

    def __init__(self, zeroconf: Zeroconf) -> None:
        from zeroconf import ServiceBrowser

        from .mdns_records import watch_records

        self.zeroconf = zeroconf
        self.names: dict[str, int] = {}
        """Each session's name, with a number that is another one after each change."""
        self.changed = trio.Event()
        """Set at the next change, and then replaced."""
        self._records: dict[tuple[str, str], object] = {}
        """Values of the newest records of a name, by their type."""
        self._changes = 0
        self._token = trio.lowlevel.current_trio_token()
        self._lock = threading.Lock()
        self._reported_names: dict[str, bool] = {}
        self._reported_records: dict[tuple[str, str], object] = {}
        """Both are filled by zeroconf's thread and emptied by the control plane, each under the lock."""
        ServiceBrowser(zeroconf, SESSIONS, handlers=[self._report_name])
        watch_records(zeroconf, self._report_record)

    def _report_name(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        self._report(self._reported_names, name.removesuffix(f".{SERVICE}"), state_change.name != "Removed")

    def _report_record(self, name: str, kind: str, value: object) -> None:
        if name.endswith(f".{SERVICE}"):
            self._report(self._reported_records, (name.removesuffix(f".{SERVICE}"), kind), value)

    def _report(self, reported: dict[K, V], key: K, value: V) -> None:
        with self._lock:
            if key not in reported and len(reported) >= 2 * MAX_NAMES:
                return
            reported[key] = value
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._apply, idempotent=True)

    def _apply(self) -> None:
        with self._lock:
            names, records = dict(self._reported_names), dict(self._reported_records)
            self._reported_names.clear()
            self._reported_records.clear()
        changes = self._changes
        for name, present in names.items():
            self._changes += 1
            if not present:
                self.names.pop(name, None)
            elif name in self.names or len(self.names) < MAX_NAMES:
                self.names[name] = self._changes
        if len(self._records) > 2 * MAX_NAMES:
            self._records.clear()
        for (name, kind), value in records.items():
            before, self._records[name, kind] = self._records.get((name, kind)), value
            if before not in (None, value) and name in self.names:
                self._changes += 1
                self.names[name] = self._changes
        if self._changes != changes:
            changed, self.changed = self.changed, trio.Event()
            changed.set()


class MulticastDns:
    """mDNS on the interfaces of a run. Shared by its nodes."""

    def __init__(self, ctx: NodeContext) -> None:
        self._starting = trio.Lock()
        self._zeroconfs: dict[Interface, Zeroconf] = {}
        self._browsers: dict[Interface, MdnsBrowser] = {}

    async def on(self, interface: Interface) -> Zeroconf:
        """mDNS on an interface. Raises ImportError with a remedy, or OSError."""
        async with self._starting:
            if interface not in self._zeroconfs:
                self._zeroconfs[interface] = await start(interface)
            return self._zeroconfs[interface]

    async def browser(self, interface: Interface) -> MdnsBrowser:
        """The sessions on an interface. Raises as `on`."""
        zeroconf = await self.on(interface)
        if interface not in self._browsers:
            self._browsers[interface] = MdnsBrowser(zeroconf)
        return self._browsers[interface]

    def close(self) -> None:
        """End mDNS on every interface."""
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
        raise OSError("no answer to mDNS queries of its address")
    return addresses, info.port


def is_taken(zeroconf: Zeroconf, name: str, server: str, port: int) -> bool:
    """Whether another host or server offers a session of this name. Blocks for `CONFLICT_MS` where none does.

    zeroconf's own check asks for unicast answers, which another socket on port 5353 of this host may get instead.
    """
    from zeroconf import DNSQuestionType

    info = zeroconf.get_service_info(
        SERVICE, f"{name}.{SERVICE}", timeout=CONFLICT_MS, question_type=DNSQuestionType.QM
    )
    return info is not None and (info.server, info.port) != (server, port)


@asynccontextmanager
async def registered(zeroconf: Zeroconf, name: str, address: str, port: int) -> AsyncIterator[None]:
    """A session is offered by RTSP at an address while the block runs. Raises OSError with the reason."""
    from zeroconf import Error, ServiceInfo

    server = f"phasegraph-{address.replace('.', '-')}-{port}.local."  # a host name that no other program withdraws
    done: list[ServiceInfo] = []
    try:
        try:
            if await trio.to_thread.run_sync(is_taken, zeroconf, name, server, port, abandon_on_cancel=True):
                raise OSError(f"another device offers a session {name!r}")
            for kind in (SERVICE, SESSIONS):
                info = ServiceInfo(
                    kind, f"{name}.{SERVICE}", port=port, parsed_addresses=[address], server=server, properties={}
                )
                if kind == SESSIONS:
                    # A service and its subtype have one name (RFC 6763, 7.1); zeroconf keeps them by keys, one each.
                    info.key += SESSIONS
                register = partial(zeroconf.register_service, info, cooperating_responders=True)
                await trio.to_thread.run_sync(register)
                done.append(info)
        except Error as error:
            raise OSError(f"mDNS refuses the session {name!r}: {error}") from error
        yield
    finally:
        with trio.CancelScope(shield=True):
            for info in done:
                with contextlib.suppress(Error, OSError):
                    await trio.to_thread.run_sync(zeroconf.unregister_service, info)
