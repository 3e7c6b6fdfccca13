"""Consoles find each other by mDNS (``_phasegraph._tcp``), through zeroconf, which has a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

SERVICE = "_phasegraph._tcp.local."
MOST_NAMES = 256


class MdnsConsoles(ServiceListener):
    """The consoles that are offered now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._urls: dict[str, str] = {}
        """By name. Written by zeroconf's thread, read by others, each under the lock."""

    def urls(self) -> dict[str, str]:
        """URLs by name."""
        with self._lock:
            return dict(self._urls)

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """A console is offered. Called in zeroconf's thread."""
        info = zc.get_service_info(type_, name, timeout=3000)
        addresses = info.parsed_addresses(IPVersion.V4Only) if info else []
        if info is None or info.port is None or not addresses:
            return
        scheme = "https" if (info.properties or {}).get(b"tls") == b"1" else "http"
        with self._lock:
            if name in self._urls or len(self._urls) < MOST_NAMES:
                self._urls[name.removesuffix(f".{SERVICE}")] = f"{scheme}://{addresses[0]}:{info.port}"

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """The same with other data."""
        self.add_service(zc, type_, name)

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """A console is offered no more."""
        with self._lock:
            self._urls.pop(name.removesuffix(f".{SERVICE}"), None)


@contextmanager
def mdns_consoles(host: str, port: int, name: str, *, tls: bool, announce: bool) -> Iterator[MdnsConsoles]:
    """Browse, and announce this console under a name, until the end. Blocks for a second. Raises OSError."""
    every = ip_address(host).is_unspecified
    zeroconf = Zeroconf(interfaces=["0.0.0.0"] if every else [host], ip_version=IPVersion.V4Only)
    try:
        found = MdnsConsoles()
        ServiceBrowser(zeroconf, SERVICE, listener=found)
        if announce:
            addresses = [socket.gethostbyname(socket.gethostname())] if every else [host]
            info = ServiceInfo(
                SERVICE,
                f"{name}.{SERVICE}",
                port=port,
                parsed_addresses=addresses,
                properties={"tls": "1" if tls else "0", "api": "/api/v1"},
                server=f"{socket.gethostname()}.local.",
            )
            zeroconf.register_service(info, allow_name_change=True)
        yield found
    finally:
        zeroconf.close()
