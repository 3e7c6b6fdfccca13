"""mDNS of a node: it finds registries and System APIs, and announces itself. zeroconf works in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial

import trio
from zeroconf import IPVersion, NonUniqueNameException, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from .registration.registration_client import RegistrationApi
from .registration.registry_choice import MOST_REGISTRIES, SERVICES, announced_registry
from .system_api.system_client import MOST_SYSTEM_APIS, SystemApi, announced_system
from .system_api.system_client import SERVICE as SYSTEM_SERVICE

NODE_SERVICE = "_nmos-node._tcp.local."
RESOLVE_MS = 3000


class NmosMdns:
    """The registries and System APIs that are announced, and this node's announcement."""

    def __init__(self, zeroconf: Zeroconf, changed: Callable[[], object], *, secure: bool, authorization: bool) -> None:
        """``changed`` is called in the control plane when other registries or System APIs are there."""
        self._zeroconf = zeroconf
        self._changed = changed
        self._secure = secure
        self._authorization = authorization
        self._token = trio.lowlevel.current_trio_token()
        self._lock = threading.Lock()
        self._found: dict[str, RegistrationApi | SystemApi] = {}
        """By name of the service. Written by zeroconf's thread and read by the control plane, each under the lock."""
        self._announced: ServiceInfo | None = None
        self._announced_properties: Mapping[str, str] = {}
        self._browser = ServiceBrowser(zeroconf, [*SERVICES, SYSTEM_SERVICE], handlers=[self._on_service])

    @property
    def registries(self) -> list[RegistrationApi]:
        """The registries that can be used."""
        with self._lock:
            found = [each for each in self._found.values() if isinstance(each, RegistrationApi)]
        return list({registry.url: registry for registry in found}.values())

    @property
    def systems(self) -> list[SystemApi]:
        """The System APIs that can be used."""
        with self._lock:
            return [each for each in self._found.values() if isinstance(each, SystemApi)]

    async def announce_node(self, name: str, address: str, port: int, properties: Mapping[str, str]) -> None:
        """Announce the node with this TXT record; another one replaces it. Raises OSError."""
        if properties == self._announced_properties:
            return
        info = ServiceInfo(
            NODE_SERVICE,
            f"{name}.{NODE_SERVICE}",
            addresses=[socket.inet_aton(address)],
            port=port,
            properties=dict(properties),
            server=f"{name}.local.",
        )
        act = self._zeroconf.update_service if self._announced is not None else self._zeroconf.register_service
        try:
            await trio.to_thread.run_sync(act, info, abandon_on_cancel=True)
        except NonUniqueNameException:
            raise OSError(f"the name {name} is taken on the network: set another label") from None
        self._announced, self._announced_properties = info, dict(properties)

    async def close(self) -> None:
        """Withdraw the announcement and end."""
        with trio.move_on_after(3, shield=True):
            await trio.to_thread.run_sync(self._zeroconf.close, abandon_on_cancel=True)

    def _on_service(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        found = None
        if state_change is not ServiceStateChange.Removed:
            found = self._resolve(zeroconf, service_type, name)
        with self._lock:
            before = self._found.get(name)
            if found is None:
                self._found.pop(name, None)
            elif name in self._found or len(self._found) < MOST_REGISTRIES + MOST_SYSTEM_APIS:
                self._found[name] = found
        if found != before:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._changed, idempotent=True)

    def _resolve(self, zeroconf: Zeroconf, service_type: str, name: str) -> RegistrationApi | SystemApi | None:
        info = zeroconf.get_service_info(service_type, name, timeout=RESOLVE_MS)
        if info is None or info.port is None:
            return None
        addresses = info.parsed_addresses(IPVersion.V4Only)
        if not addresses:
            return None
        texts = {
            key.decode("ascii", "replace"): (value or b"").decode("ascii", "replace")
            for key, value in info.properties.items()
        }
        if service_type == SYSTEM_SERVICE:
            return announced_system(addresses[0], info.port, texts, secure=self._secure)
        return announced_registry(
            addresses[0], info.port, texts, secure=self._secure, authorization=self._authorization
        )


async def start_mdns(address: str, changed: Callable[[], object], *, secure: bool, authorization: bool) -> NmosMdns:
    """Speak mDNS on the interface of an address; an empty one is all interfaces. Raises OSError."""
    interfaces = [address] if address else ["0.0.0.0"]
    make = partial(Zeroconf, interfaces=interfaces, ip_version=IPVersion.V4Only)
    zeroconf = await trio.to_thread.run_sync(make)
    return NmosMdns(zeroconf, changed, secure=secure, authorization=authorization)
