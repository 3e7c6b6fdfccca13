"""Which Host and Origin headers belong to this console: against DNS rebinding and requests of other sites. Sans-IO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_OWN_SITE = frozenset({"same-origin", "none"})


def is_loopback(host: str) -> bool:
    """Whether an address or name that is listened to is reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(header: str) -> str | None:
    """The host of a Host header, in lower case, without port and brackets; None where it is malformed."""
    try:
        parts = urlsplit(f"//{header}")
        parts.port  # noqa: B018  raises for a port that is none
    except ValueError:
        return None
    if not parts.hostname or parts.netloc != header or parts.username is not None:
        return None
    return parts.hostname.rstrip(".")


class HostRules:
    """Decides about requests by the names that they use for this console."""

    def __init__(self, names: Iterable[str]) -> None:
        """``names``: hosts and addresses by which this console is called, besides the loopback's."""
        self._names = _LOOPBACK_NAMES | {name.lower().strip("[]").rstrip(".") for name in names}

    def host_problem(self, host: str | None) -> str:
        """Why a Host header is refused; empty where it is one of this console's."""
        if host is None:
            return "the request has no Host"
        if host_of(host) not in self._names:
            return "this console is not called by that name: use its address, or start it with --allow-host NAME"
        return ""

    def origin_problem(self, headers: Mapping[str, str], *, navigation: bool) -> str:
        """Why a request is refused as one that another site's page makes; empty where it is none.

        ``headers`` have lower-case names. ``navigation``: the request is for the page itself, which a link may lead to.
        """
        refusal = "requests from pages of other sites are refused"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            return refusal
        site = headers.get("sec-fetch-site")
        if site is None or site in _OWN_SITE:
            return ""
        return "" if navigation and headers.get("sec-fetch-mode") == "navigate" else refusal
