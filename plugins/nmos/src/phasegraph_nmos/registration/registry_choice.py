"""Which registries may be used, of those that mDNS or the configuration names (IS-04 v1.3, "Discovery: Registered")."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from .registration_client import RegistrationApi

VERSIONS = ("v1.3", "v1.2")
"""Of the Registration API, the preferred one first."""
SERVICES = ("_nmos-register._tcp.local.", "_nmos-registration._tcp.local.")
"""Of v1.3, and of versions before it."""
MOST_REGISTRIES = 32


def announced_registry(
    address: str, port: int, properties: Mapping[str, str], *, secure: bool, authorization: bool
) -> RegistrationApi | None:
    """The registry of an announcement; None for one that this node cannot use."""
    version = next((each for each in VERSIONS if each in _list(properties.get("api_ver", ""))), None)
    protocol = "https" if secure else "http"
    if version is None or properties.get("api_proto", "http") != protocol:
        return None
    if properties.get("api_auth", "false").lower() == "true" and not authorization:
        return None
    try:
        ipaddress.IPv4Address(address)
        priority = int(properties.get("pri", "100"))
    except ValueError:
        return None
    if not 0 < port < 65536 or priority < 0:
        return None
    return RegistrationApi(url=f"{protocol}://{address}:{port}/x-nmos/registration/{version}", priority=priority)


def configured_registries(urls: Iterable[str]) -> list[RegistrationApi]:
    """The registries of a configuration, in its order; a URL without a path gets that of the newest version."""
    registries = []
    for priority, url in enumerate(urls):
        base = url.rstrip("/")
        path = base if "/x-nmos/" in base else f"{base}/x-nmos/registration/{VERSIONS[0]}"
        registries.append(RegistrationApi(url=path, priority=priority))
    return registries


def peer_properties(
    versions: Iterable[str], *, secure: bool, authorization: bool, revisions: Mapping[str, int] | None
) -> dict[str, str]:
    """The TXT record of the node's own announcement (IS-04 v1.3, "Discovery: Peer to Peer").

    ``revisions`` count the changes of each kind of resource; None for a registered node, which has no ``ver_`` records.
    """
    properties = {
        "api_ver": ",".join(versions),
        "api_proto": "https" if secure else "http",
        "api_auth": str(authorization).lower(),
    }
    if revisions is not None:
        properties |= {record: str(revisions[kind] % 256) for kind, record in _RECORDS.items()}
    return properties


_RECORDS = {
    "node": "ver_slf",
    "source": "ver_src",
    "flow": "ver_flw",
    "device": "ver_dvc",
    "sender": "ver_snd",
    "receiver": "ver_rcv",
}


def _list(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]
