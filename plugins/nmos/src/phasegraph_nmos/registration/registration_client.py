"""The dialogue of a node with registries (IS-04 v1.3, "Behaviour: Registration"). No I/O: times are local ns.

    seeking --POST node 201--> registered --POST health every 5 s--> registered
    seeking --POST node 200--> stale: DELETE node, then POST it again
    registered --health 404--> seeking, with the same registry: it has forgotten us
    any --5xx, no answer in time--> the next registry, at once, and without registering again: registries of a site
                                    share what they know
    every registry has failed --> a pause that doubles, up to a minute; peers are found by mDNS meanwhile

One request is under way at a time. `next_request` gives it, `on_answer` or `on_failure` takes what became of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from phasegraph import NS_PER_S

from ..model.resource_store import as_version
from ..model.resources import KINDS, Resource

HEARTBEAT_S = 5
TIMEOUT_S = 3.0
"""A registry forgets a node after 12 s without a heartbeat: 5 s and 3 s leave time for another registry."""
FIRST_PAUSE_NS = NS_PER_S
LONGEST_PAUSE_NS = 60 * NS_PER_S


class RegistrationApi(msgspec.Struct, frozen=True, kw_only=True):
    """A registration API."""

    url: str
    """Without a trailing slash, such as ``http://10.0.0.5:8010/x-nmos/registration/v1.3``."""
    priority: int = 0
    """The least is preferred."""

    @property
    def api_version(self) -> str:
        """The version that its URL names."""
        return self.url.rpartition("/")[2]


class RegistryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a registry."""

    method: str
    url: str
    body: dict[str, Any] | None = None
    key: tuple[str, str] = ("", "")
    """Kind and UUID of the resource; of a heartbeat, ``health``."""
    version: str = ""
    sent_ns: int = 0


class RegistrationClient:
    """Keeps a node registered."""

    def __init__(self, node_id: str, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._node = "node", node_id
        self.heartbeat_s = heartbeat_s
        self._registries: tuple[RegistrationApi, ...] = ()
        self._current: RegistrationApi | None = None
        self._failed: set[str] = set()
        """URLs of registries that have failed since one last answered."""
        self._all_failed = False
        self._resources: dict[tuple[str, str], Resource] = {}
        self._known: dict[tuple[str, str], str] = {}
        """Versions that the registries have, or have refused."""
        self._refused: dict[tuple[str, str], str] = {}
        self._heartbeat_ns = 0
        self._pause_ns = FIRST_PAUSE_NS
        self._resume_ns = 0
        self._stale = False
        """Whether the registry has a node of an earlier life, which is deleted next."""
        self._deleted_stale = False
        self._leaving = False
        self._busy: RegistryRequest | None = None
        self.failovers = 0
        self.notes: list[str] = []
        """Sentences about what happened, for a log: the caller takes them."""

    @property
    def registered(self) -> bool:
        """Whether a registry has this node: peers need no announcement of it."""
        return self._node in self._known and not self._all_failed

    @property
    def registry(self) -> RegistrationApi | None:
        """The registry in use."""
        return self._current

    @property
    def refused(self) -> Mapping[tuple[str, str], str]:
        """Why a registry does not take a resource, by kind and UUID."""
        return self._refused

    def set_registries(self, registries: Sequence[RegistrationApi], now_ns: int) -> None:
        """The registries that are there, in any order. One that is in use stays in use while it answers."""
        before = {registry.url for registry in self._registries}
        self._registries = tuple(sorted(registries, key=lambda registry: (registry.priority, registry.url)))
        new = [registry for registry in self._registries if registry.url not in before]
        self._failed &= {registry.url for registry in self._registries}
        if new and (self._current is None or self._all_failed) and self._busy is None:
            self._resume_ns = now_ns
            self._use(new[0], now_ns)

    def set_resources(self, resources: Mapping[str, Mapping[str, Resource]]) -> None:
        """The resources that the registries should have, by kind and UUID, with versions."""
        self._resources = {(kind, id): resource for kind in KINDS for id, resource in resources[kind].items()}

    def deregister(self) -> None:
        """The node ends: it is deleted next, with all that belongs to it."""
        self._leaving = True

    @property
    def left(self) -> bool:
        """Whether there is nothing more to do after `deregister`."""
        return self._leaving and (self._node not in self._known or self._current is None)

    def next_request(self, now_ns: int) -> RegistryRequest | None:
        """The request to send now; None while one is under way, or nothing is due."""
        if self._busy is not None or self._current is None or now_ns < self._resume_ns:
            return None
        self._busy = self._choose_request(self._current.url, self._current.api_version, now_ns)
        return self._busy

    def wake_ns(self) -> int | None:
        """When `next_request` may have something, apart from changes; None where nothing is planned."""
        if self._current is None or self._busy is not None:
            return None
        return max(self._resume_ns, self._heartbeat_ns if self._node in self._known else 0)

    def on_answer(self, status: int, now_ns: int) -> None:
        """The answer to the request under way."""
        request, self._busy = self._busy, None
        if request is None:
            return
        if status >= 500:
            self._fail_over(f"answered {status}", now_ns)
            return
        self._failed.clear()
        self._all_failed = False
        self._pause_ns = FIRST_PAUSE_NS
        if request.key[0] == "health":
            self._on_heartbeat(status, request, now_ns)
        elif request.method == "DELETE":
            self._on_deleted(request)
        else:
            self._on_registered(status, request, now_ns)

    def on_failure(self, reason: str, now_ns: int) -> None:
        """The request under way got no answer in time."""
        if self._busy is not None:
            self._busy = None
            self._fail_over(reason, now_ns)

    def _choose_request(self, base: str, version: str, now_ns: int) -> RegistryRequest | None:
        node_path = f"{base}/resource/nodes/{self._node[1]}"
        if self._stale or (self._leaving and self._node in self._known):
            return RegistryRequest(method="DELETE", url=node_path, key=self._node, sent_ns=now_ns)
        if self._leaving:
            return None
        if self._node in self._known and now_ns >= self._heartbeat_ns:
            url = f"{base}/health/nodes/{self._node[1]}"
            return RegistryRequest(method="POST", url=url, key=("health", self._node[1]), sent_ns=now_ns)
        for key, resource in self._to_register():
            body = {"type": key[0], "data": as_version(resource, version)}
            return RegistryRequest(
                method="POST",
                url=f"{base}/resource",
                body=body,
                key=key,
                version=resource["version"],
                sent_ns=now_ns,
            )
        for key in self._to_delete():
            return RegistryRequest(method="DELETE", url=f"{base}/resource/{key[0]}s/{key[1]}", key=key, sent_ns=now_ns)
        return None

    def _to_register(self) -> Iterator[tuple[tuple[str, str], Resource]]:
        # In the order of KINDS: a resource after those that it refers to.
        for key, resource in self._resources.items():
            if self._known.get(key) != resource["version"]:
                yield key, resource

    def _to_delete(self) -> Iterator[tuple[str, str]]:
        gone = [key for key in self._known if key not in self._resources]
        yield from sorted(gone, key=lambda key: -KINDS.index(key[0]))

    def _on_heartbeat(self, status: int, request: RegistryRequest, now_ns: int) -> None:
        if status == 404:
            self._forget("the registry has forgotten this node")
        elif status == 409:
            self._forget("the registry has this node at another API version")
            self._stale = True
        elif status >= 400:
            self._fail_over(f"answered {status} to a heartbeat", now_ns)
        else:
            self._heartbeat_ns = request.sent_ns + round(self.heartbeat_s * NS_PER_S)

    def _on_deleted(self, request: RegistryRequest) -> None:
        if request.key == self._node:
            self._known.clear()
            self._deleted_stale = self._stale
            self._stale = False
        else:
            self._known.pop(request.key, None)
            self._refused.pop(request.key, None)

    def _on_registered(self, status: int, request: RegistryRequest, now_ns: int) -> None:
        first = request.key not in self._known
        if status >= 400:
            # It would be refused again: it is sent again when it has changed.
            reason = f"the registry refused the {request.key[0]} {request.key[1]} ({status})"
            self._refused[request.key] = reason
            self.notes.append(reason)
            if request.key == self._node:
                if status == 409 and not self._deleted_stale:
                    self._stale = True
                    return
                self._fail_over(f"refused the node ({status})", now_ns)
                return
            self._known[request.key] = request.version
            return
        self._refused.pop(request.key, None)
        if request.key == self._node and first:
            if status == 200 and not self._deleted_stale:
                self._stale = True
                return
            assert self._current is not None
            self.notes.append(f"registered with {self._current.url}")
            self._heartbeat_ns = request.sent_ns + round(self.heartbeat_s * NS_PER_S)
        self._deleted_stale = False
        self._known[request.key] = request.version

    def _forget(self, reason: str) -> None:
        self.notes.append(reason)
        self._known.clear()
        self._refused.clear()
        self._deleted_stale = False

    def _fail_over(self, reason: str, now_ns: int) -> None:
        before = self._current
        assert before is not None
        self._failed.add(before.url)
        self.failovers += 1
        self.notes.append(f"{before.url} {reason}")
        self._stale = self._deleted_stale = False
        following = next((each for each in self._registries if each.url not in self._failed), None)
        if following is None:
            self._failed.clear()
            self._all_failed = True
            self._resume_ns = now_ns + self._pause_ns
            self._pause_ns = min(LONGEST_PAUSE_NS, 2 * self._pause_ns)
            following = next(iter(self._registries), None)
        self._use(following, now_ns)

    def _use(self, registry: RegistrationApi | None, now_ns: int) -> None:
        # It may know the node from another one: a heartbeat shows that.
        self._current = registry
        self._heartbeat_ns = now_ns
