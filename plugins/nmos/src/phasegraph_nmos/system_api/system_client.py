"""Which System API a node asks, and when (IS-09 v1.0, "Discovery: Operation" and "Behaviour: Node Start-Up").

    waiting --an API of our version and protocol is announced--> asking it
    asking --200 with parameters that can be used--> done, while the API that gave them is announced
    done --others are announced, and that one is not--> waiting: the system is another one
    asking --5xx, no answer in time, or an answer that cannot be used--> asking the next one by priority
    all have failed --> a pause that doubles, up to five minutes

No I/O: `next_fetch` gives the URL to fetch, `on_answer` or `on_failure` takes what became of it. Times are local ns.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Mapping, Sequence

import msgspec

from phasegraph import NS_PER_S

from .global_parameters import GlobalParameters, parse_global

SERVICE = "_nmos-system._tcp.local."
VERSION = "v1.0"
TIMEOUT_S = 3.0
SETTLE_NS = NS_PER_S
"""How long announcements are collected before the first choice: an API of a better priority may be announced last."""
FIRST_PAUSE_NS = 2 * NS_PER_S
LONGEST_PAUSE_NS = 300 * NS_PER_S
MOST_SYSTEM_APIS = 32
LOWEST_ACTIVE_PRIORITY = 99
"""100 and more are for development: such an API is not asked."""


class SystemApi(msgspec.Struct, frozen=True, kw_only=True):
    """A System API."""

    url: str
    """Of its global resource: ``http://10.0.0.5:8095/x-nmos/system/v1.0/global``."""
    priority: int = 0
    """The least is preferred."""


def announced_system(address: str, port: int, properties: Mapping[str, str], *, secure: bool) -> SystemApi | None:
    """The System API of an mDNS announcement (TXT ``api_ver``, ``api_proto``, ``pri``); None for a useless one."""
    protocol = "https" if secure else "http"
    versions = [each.strip() for each in properties.get("api_ver", "").split(",")]
    if VERSION not in versions or properties.get("api_proto") != protocol:
        return None
    try:
        ipaddress.IPv4Address(address)
        priority = int(properties.get("pri", ""))
    except ValueError:
        return None
    if not 0 < port < 65536 or not 0 <= priority <= LOWEST_ACTIVE_PRIORITY:
        return None
    return SystemApi(url=f"{protocol}://{address}:{port}/x-nmos/system/{VERSION}/global", priority=priority)


class SystemClient:
    """Gets the global parameters, once for each system."""

    def __init__(self, seed: str) -> None:
        """``seed`` decides between APIs of one priority: the UUID of the node spreads the nodes over them."""
        self._random = random.Random(seed)
        self._apis: dict[str, tuple[int, float, SystemApi]] = {}
        """By URL, with the order in which they are asked: priority, and a random number."""
        self._failed: set[str] = set()
        self._asked: SystemApi | None = None
        self._resume_ns: int | None = None
        self._pause_ns = FIRST_PAUSE_NS
        self._done = False
        self.parameters: GlobalParameters | None = None
        """What was received; None until then."""
        self.source_url = ""
        """Where it came from."""
        self.notes: list[str] = []
        """Sentences about what happened, for a log: the caller takes them."""

    def set_apis(self, apis: Sequence[SystemApi], now_ns: int) -> None:
        """The System APIs that are announced now."""
        before = self._apis
        ordered = sorted(apis, key=lambda api: (api.priority, api.url))[:MOST_SYSTEM_APIS]
        self._apis = {
            api.url: (api.priority, before[api.url][1] if api.url in before else self._random.random(), api)
            for api in ordered
        }
        self._failed &= self._apis.keys()
        if self._apis and self.source_url not in self._apis and (self._done or self._resume_ns is None):
            self._done = False
            self._resume_ns = now_ns + SETTLE_NS

    def next_fetch(self, now_ns: int) -> SystemApi | None:
        """The API to ask now; None while one is asked, or nothing is due."""
        if self._asked is not None or (due_ns := self.wake_ns()) is None or now_ns < due_ns:
            return None
        left = [entry for url, entry in self._apis.items() if url not in self._failed]
        self._asked = min(left)[2]
        return self._asked

    def wake_ns(self) -> int | None:
        """When `next_fetch` has something; None where nothing is planned."""
        waits = self._done or self._asked is not None or not self._apis
        return None if waits else self._resume_ns

    def on_answer(self, status: int, body: bytes, now_ns: int) -> None:
        """The answer of the API that was asked."""
        if status != 200:
            self.on_failure(f"answered {status}", now_ns)
            return
        try:
            parameters = parse_global(body)
        except ValueError as error:
            self.on_failure(f"answered, but {error}", now_ns)
            return
        asked, self._asked = self._asked, None
        if asked is not None:
            self.parameters, self.source_url, self._done = parameters, asked.url, True
            self._pause_ns = FIRST_PAUSE_NS
            self.notes.append(f"global parameters of '{parameters.label or parameters.id}' from {asked.url}")

    def on_failure(self, reason: str, now_ns: int) -> None:
        """The API that was asked cannot be used now."""
        asked, self._asked = self._asked, None
        if asked is None:
            return
        self.notes.append(f"{asked.url} {reason}")
        self._failed.add(asked.url)
        if self._failed >= self._apis.keys():
            self._failed.clear()
            self._resume_ns = now_ns + self._pause_ns
            self._pause_ns = min(LONGEST_PAUSE_NS, 2 * self._pause_ns)
