"""What a run reports to the service manager that started it: systemd's notification protocol, sd_notify(3).

READY=1       every node has started
STATUS=       the headline and the most urgent trouble, when they change
WATCHDOG=1    the engine's thread has made progress, and the control plane that reports it has too
RELOADING=1   the graph file is being read again; READY=1 follows
STOPPING=1    the run is ending
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

import trio

from .run_monitor import RunMonitor

NOTIFY_SOCKET = "NOTIFY_SOCKET"
STATUS_S = 1.0
"""How often the status is compared with the one that systemd has, and sent if it differs."""
_MOST_STATUS = 400


class ServiceManager:
    """The socket of a service manager. A message that cannot be sent is left out: the run does not depend on it."""

    def __init__(self, address: str, watchdog_s: float | None = None) -> None:
        """``address`` is a path, or ``@NAME`` of an abstract socket. Within ``watchdog_s`` it must get a sign of life;
        None where it does not ask for one."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServiceManager | None:
        """The service manager that started this process; None where there is none."""
        address = environment.get(NOTIFY_SOCKET, "")
        if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
            return None
        watchdog_s = None
        if environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with suppress(ValueError):
                watchdog_s = int(environment.get("WATCHDOG_USEC", "")) / 1e6 or None
        return cls(address, watchdog_s)

    def notify(self, **fields: str | int) -> None:
        """Send fields."""
        message = "\n".join(f"{name}={str(value).replace(chr(10), ' ')}" for name, value in fields.items())
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.setblocking(False)
            connection.sendto(message.encode(), self._address)

    async def run(self, monitor: RunMonitor) -> None:
        """Report a run until cancelled."""
        session = monitor.session
        session.reload.began = self.reloading
        session.reload.ended = lambda: self.notify(READY=1)
        async with trio.open_nursery() as nursery:
            if self._watchdog_s is not None:
                nursery.start_soon(self._feed_watchdog, monitor, self._watchdog_s)
            nursery.start_soon(self._report_status, monitor)
            await session.supervisor.started.wait()
            if not session.supervisor.stopping:
                self.notify(READY=1)
            await session.supervisor.wait_until_stopping()
            self.notify(STOPPING=1)

    def reloading(self) -> None:
        """The run is changing its graph. systemd wants the time, since a READY=1 may overtake."""
        self.notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)

    async def _report_status(self, monitor: RunMonitor) -> None:
        before = ""
        while True:
            status = await monitor.read_status()
            what = "ending" if status.stopping else f"{len(status.nodes)} nodes, all well"
            if status.trouble:
                what = f"{len(status.trouble)} in trouble: {status.trouble[0]}"
            if what != before:
                before = what
                self.notify(STATUS=what[:_MOST_STATUS])
            await trio.sleep(STATUS_S)

    async def _feed_watchdog(self, monitor: RunMonitor, watchdog_s: float) -> None:
        engine, seen = monitor.session.services.engine, -1
        while True:
            if engine.passes != seen:
                seen = engine.passes
                self.notify(WATCHDOG=1)
            await trio.sleep(watchdog_s / 4)
