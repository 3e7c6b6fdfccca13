"""The console as a whole: the directory of runs, the guarded routes, the listener."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trio

from phasegraph import install_command

from .access_rules import AccessRole, AccessRules
from .audit_log import AuditLog
from .console_routes import ConsoleRoutes
from .fleet_watch import FleetConsole, FleetWatch
from .host_rules import HostRules, is_loopback
from .http_listener import open_listener
from .request_guard import RequestGuard
from .run_directory import RunDirectory
from .sibling_commands import SiblingCommands

if TYPE_CHECKING:
    from .mdns_consoles import MdnsConsoles

MDNS_END_S = 3.0
"""How long taking back the announcement may take."""


class ConsoleSettings(NamedTuple):
    """How a console was asked to run."""

    host: str
    port: int
    tokens: dict[AccessRole, str]
    names: Sequence[str] = ()
    """Names by which it is called, besides its address."""
    tls: tuple[Path, Path] | None = None
    fleet: Mapping[str, FleetConsole] | None = None
    """Other consoles by name; None: this machine alone."""
    name: str = ""
    """Under which this console is announced by mDNS, where there is a fleet; empty: not."""
    interface: str | None = None
    """Where to listen for announced sessions."""


Say = Callable[[str], object]


async def run_console(
    settings: ConsoleSettings,
    say: Say,
    *,
    directory: RunDirectory | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, or until SIGINT or SIGTERM. ``say`` gets lines for people. Raises ListenError."""
    local = is_loopback(settings.host)
    access = AccessRules(settings.tokens, open_for_reading=local)
    own_names = (socket.gethostname(), socket.getfqdn()) if not local else ()
    hosts = HostRules((settings.host, *own_names, *settings.names))
    directory = directory or RunDirectory()
    siblings = SiblingCommands(settings.interface)
    found: dict[str, MdnsConsoles] = {}
    fleet = None
    if settings.fleet is not None:
        fleet = FleetWatch(settings.fleet, lambda: found["mdns"].urls() if found else {})
    routes = ConsoleRoutes(directory, siblings, AuditLog(say), fleet)
    guard = RequestGuard(routes.application(), access, hosts)
    listener = await open_listener(guard, settings.host, settings.port, settings.tls)
    async with trio.open_nursery() as nursery:
        if fleet is not None:
            nursery.start_soon(fleet.run)
            nursery.start_soon(_find_consoles, settings, listener.port, found, say)
        nursery.start_soon(directory.run)
        nursery.start_soon(siblings.keep_listening)
        nursery.start_soon(listener.run)
        task_status.started(listener.port)
        scheme = "https" if settings.tls else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        say(f"The console is at {scheme}://{host}:{listener.port}/")
        await _wait_for_signal()
        nursery.cancel_scope.cancel()


async def _find_consoles(settings: ConsoleSettings, port: int, found: dict[str, MdnsConsoles], say: Say) -> None:
    try:
        from .mdns_consoles import mdns_consoles
    except ImportError:
        say(f"Other consoles are not looked for by mDNS: {install_command('phasegraph-console[mdns]')}")
        return
    announce = bool(settings.name) and not is_loopback(settings.host)
    mdns = mdns_consoles(settings.host, port, settings.name, tls=settings.tls is not None, announce=announce)
    try:
        found["mdns"] = await trio.to_thread.run_sync(mdns.__enter__)
    except (OSError, ValueError) as error:
        say(f"Other consoles are not looked for by mDNS: {error}")
        return
    try:
        await trio.sleep_forever()
    finally:
        found.clear()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + MDNS_END_S):
            await trio.to_thread.run_sync(mdns.__exit__, None, None, None, abandon_on_cancel=True)


async def _wait_for_signal() -> None:
    try:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                return
    except (RuntimeError, ValueError):  # not in the main thread, as in some tests: cancelled from outside
        await trio.sleep_forever()
