"""The present resources of a node with their versions."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

from .resource_identity import format_tai
from .resources import KINDS, Resource


class ResourceStore:
    """Resources by kind and UUID. A version rises with every change of its resource."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Resource]] = {kind: {} for kind in KINDS}
        self.revisions: dict[str, int] = dict.fromkeys(KINDS, 0)
        """How often the set of resources of a kind has changed: peer to peer announces it modulo 256."""
        self._newest_ns = 0

    def replace_resources(
        self, made: Mapping[str, Mapping[str, Resource]], tai_ns: int, activated: Collection[str] = ()
    ) -> bool:
        """Replace all resources by ``made``, which is without versions. Returns whether anything has changed.

        Resources whose UUID is in ``activated`` get a new version in any case (IS-05, "Interoperability: IS-04").
        """
        changed = False
        now_ns = max(tai_ns, self._newest_ns + 1)
        for kind in KINDS:
            before = self.resources[kind]
            now = {
                id: self._versioned(before.get(id), resource, now_ns, id in activated)
                for id, resource in made[kind].items()
            }
            if now != before:
                self.resources[kind] = now
                self.revisions[kind] += 1
                self._newest_ns = now_ns
                changed = True
        return changed

    def find(self, kind: str, id: str) -> Resource | None:
        """The resource of a UUID."""
        return self.resources[kind].get(id)

    def all_of(self, kind: str) -> list[Resource]:
        """The resources of a kind."""
        return list(self.resources[kind].values())

    @staticmethod
    def _versioned(before: Resource | None, resource: Resource, now_ns: int, activated: bool) -> Resource:
        caps = dict(resource.get("caps", {}))
        if before is not None:
            if "constraint_sets" in caps and _without_version(before["caps"]) == caps:
                caps["version"] = before["caps"]["version"]
            if not activated and resource | _caps(caps) | {"version": before["version"]} == before:
                return before
        if "constraint_sets" in caps:
            caps.setdefault("version", format_tai(now_ns))
        return copy.deepcopy(resource | _caps(caps) | {"version": format_tai(now_ns)})


def _caps(caps: Resource) -> Resource:
    return {"caps": caps} if caps else {}


def _without_version(caps: Resource) -> Resource:
    return {name: value for name, value in caps.items() if name != "version"}


def as_version(resource: Resource, version: str) -> Resource:
    """A resource in the form of an earlier version of IS-04: v1.2 knows no authorization."""
    if version >= "v1.3":
        return resource
    earlier = copy.deepcopy(resource)
    endpoints = earlier.get("api", {}).get("endpoints", [])
    for place in (*endpoints, *earlier.get("controls", []), *earlier.get("services", [])):
        place.pop("authorization", None)
    return earlier
