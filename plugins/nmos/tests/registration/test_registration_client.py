"""The dialogue with registries in virtual time: registries that vanish, answer 5xx, are slow, or forget the node."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from phasegraph import NS_PER_S
from phasegraph_nmos.model.resource_store import ResourceStore
from phasegraph_nmos.model.resources import KINDS, make_resources
from phasegraph_nmos.registration.registration_client import (
    LONGEST_PAUSE_NS,
    TIMEOUT_S,
    RegistrationApi,
    RegistrationClient,
    RegistryRequest,
)
from phasegraph_nmos.registration.registry_choice import announced_registry, configured_registries, peer_properties

from ..nmos_site import IDENTITY, INTERFACES, TAI_NS, hall

EXPIRY_NS = 12 * NS_PER_S


class SharedMemory:
    """What the registries of a site know together."""

    def __init__(self) -> None:
        self.resources: dict[tuple[str, str], dict[str, Any]] = {}
        self.health_ns = 0

    def expire(self, now_ns: int) -> None:
        if now_ns - self.health_ns > EXPIRY_NS:
            self.resources.clear()


class VirtualRegistry:
    """A registration API as IS-04 describes it, with the faults that a test wants."""

    def __init__(self, name: str, memory: SharedMemory) -> None:
        self.url = f"http://{name}:8010/x-nmos/registration/v1.3"
        self.memory = memory
        self.fault = ""
        self.requests: list[RegistryRequest] = []

    def answer(self, request: RegistryRequest, now_ns: int) -> int:
        """The status, or 0 for no answer."""
        self.requests.append(request)
        if self.fault:
            return {"gone": 0, "error": 503}[self.fault]
        self.memory.expire(now_ns)
        known = self.memory.resources
        kind, id = request.key
        if kind == "health":
            if ("node", id) not in known:
                return 404
            self.memory.health_ns = now_ns
            return 200
        if request.method == "DELETE":
            found = known.pop(request.key, None)
            if kind == "node":
                known.clear()
            return 204 if found else 404
        assert request.body is not None
        data = request.body["data"]
        parent = {"node": None, "device": ("node", data.get("node_id")), "flow": ("source", data.get("source_id"))}.get(
            kind, ("device", data.get("device_id"))
        )
        if parent is not None and parent not in known:
            return 400
        status = 200 if request.key in known else 201
        if kind == "node":
            self.memory.health_ns = now_ns
        known[request.key] = data
        return status


class RegistrationWorld:
    """A node and registries in virtual time."""

    def __init__(self, registries: int = 2) -> None:
        self.now_ns = 0
        self.memory = SharedMemory()
        self.registries = [VirtualRegistry(f"r{number}", self.memory) for number in range(registries)]
        self.store = ResourceStore()
        self.update()
        self.client = RegistrationClient(IDENTITY.id)
        self.client.set_resources(self.store.resources)
        self.client.set_registries(
            [RegistrationApi(url=each.url, priority=number) for number, each in enumerate(self.registries)], 0
        )
        self.longest_gap_ns = 0

    def update(self, **changes: Any) -> None:
        arguments = {"runs": [hall()], "interfaces": INTERFACES, "subscriptions": {}, "controls": []} | changes
        self.store.replace_resources(make_resources(IDENTITY, **arguments), TAI_NS + self.now_ns)

    def run_until(self, end_ns: int, latency_ns: Callable[[], int] = lambda: 2_000_000) -> None:
        while self.now_ns < end_ns:
            request = self.client.next_request(self.now_ns)
            if request is None:
                wake = self.client.wake_ns()
                self.now_ns = end_ns if wake is None else min(end_ns, max(wake, self.now_ns + 1_000_000))
                continue
            registry = next(each for each in self.registries if request.url.startswith(each.url))
            status = registry.answer(request, self.now_ns)
            if status == 0:
                self.now_ns += round(TIMEOUT_S * NS_PER_S)
                self.client.on_failure("does not answer", self.now_ns)
            else:
                self.now_ns += latency_ns()
                self.client.on_answer(status, self.now_ns)

    @property
    def is_complete(self) -> bool:
        wanted = {(kind, id): resource for kind in KINDS for id, resource in self.store.resources[kind].items()}
        return self.memory.resources == wanted


def seconds(count: float) -> int:
    return round(count * NS_PER_S)


def test_resources_are_registered_in_their_order_and_the_heart_beats() -> None:
    world = RegistrationWorld()
    world.run_until(seconds(21))
    assert world.is_complete
    assert world.client.registered
    requests = world.registries[0].requests
    kinds = [request.key[0] for request in requests if request.body]
    assert kinds == sorted(kinds, key=KINDS.index)
    beats = [request.sent_ns for request in requests if request.key[0] == "health"]
    assert [round(at / NS_PER_S) for at in beats] == [5, 10, 15, 20]
    assert not world.registries[1].requests


def test_a_change_is_posted_and_what_has_gone_is_deleted() -> None:
    world = RegistrationWorld()
    world.run_until(seconds(1))
    world.update(runs=[])
    world.client.set_resources(world.store.resources)
    world.run_until(seconds(2))
    assert world.is_complete
    deleted = [request.key[0] for request in world.registries[0].requests if request.method == "DELETE"]
    assert deleted == sorted(deleted, key=KINDS.index, reverse=True)
    assert len(deleted) == 6


def test_a_stale_node_is_deleted_and_registered_again() -> None:
    world = RegistrationWorld()
    world.memory.resources[("node", IDENTITY.id)] = {"of": "an earlier life"}
    world.run_until(seconds(1))
    assert [(request.method, request.key[0]) for request in world.registries[0].requests][:3] == [
        ("POST", "node"),
        ("DELETE", "node"),
        ("POST", "node"),
    ]
    assert world.is_complete


def test_a_registry_that_has_forgotten_the_node_gets_all_of_it_again() -> None:
    world = RegistrationWorld()
    world.run_until(seconds(6))
    world.memory.resources.clear()
    world.run_until(seconds(11))
    assert world.is_complete
    assert not world.registries[1].requests


@pytest.mark.parametrize("fault", ["gone", "error"])
def test_the_next_registry_is_used_within_a_heartbeat_without_registering_again(fault: str) -> None:
    world = RegistrationWorld()
    world.run_until(seconds(7))
    world.registries[0].fault = fault
    world.run_until(seconds(14))
    first = world.registries[1].requests[0]
    assert first.key[0] == "health"
    assert first.sent_ns <= seconds(10 + TIMEOUT_S) + 1
    assert all(request.key[0] == "health" for request in world.registries[1].requests)
    assert world.is_complete
    assert world.client.registered


def test_where_all_have_failed_the_pauses_grow_and_peers_are_needed() -> None:
    world = RegistrationWorld()
    world.run_until(seconds(6))
    for registry in world.registries:
        registry.fault = "error"
    world.run_until(seconds(600))
    assert not world.client.registered
    attempts = sum(len(registry.requests) for registry in world.registries)
    assert attempts < 60, "a minute between two rounds at the end"
    for registry in world.registries:
        registry.fault = ""
    world.run_until(seconds(600) + LONGEST_PAUSE_NS + seconds(1))
    assert world.client.registered
    assert world.is_complete


def test_a_new_registry_ends_the_pause() -> None:
    world = RegistrationWorld()
    world.registries[0].fault = world.registries[1].fault = "gone"
    world.run_until(seconds(100))
    new = VirtualRegistry("new", world.memory)
    world.registries.append(new)
    world.client.set_registries([RegistrationApi(url=each.url) for each in world.registries], world.now_ns)
    world.run_until(seconds(102) + round(TIMEOUT_S * NS_PER_S))
    assert world.client.registered
    assert new.requests


def test_a_registry_of_higher_priority_does_not_take_the_node_away() -> None:
    world = RegistrationWorld()
    world.run_until(seconds(6))
    better = VirtualRegistry("better", world.memory)
    world.registries.append(better)
    apis = [RegistrationApi(url=each.url, priority=0 if each is better else 5) for each in world.registries]
    world.client.set_registries(apis, world.now_ns)
    world.run_until(seconds(30))
    assert not better.requests


def test_a_resource_that_is_refused_is_not_sent_again_and_holds_up_no_other() -> None:
    world = RegistrationWorld(registries=1)
    refuse = next(iter(world.store.resources["flow"]))
    answer = world.registries[0].answer

    def picky(request: RegistryRequest, now_ns: int) -> int:
        return 400 if request.key == ("flow", refuse) else answer(request, now_ns)

    world.registries[0].answer = picky  # type: ignore[method-assign]
    world.run_until(seconds(30))
    assert world.client.refused.keys() == {("flow", refuse)}
    assert world.client.registered


def test_the_node_leaves() -> None:
    world = RegistrationWorld()
    world.run_until(seconds(3))
    world.client.deregister()
    world.run_until(seconds(4))
    assert world.client.left
    assert world.memory.resources == {}


def test_1000_failovers() -> None:
    world = RegistrationWorld(registries=4)
    random_of_test = random.Random(14)
    rounds = 0
    while world.client.failovers < 1000:
        rounds += 1
        for registry in world.registries:
            registry.fault = random_of_test.choice(["", "", "gone", "error"])
        if random_of_test.random() < 0.1:
            world.memory.resources.clear()
        if all(registry.fault for registry in world.registries):
            world.registries[0].fault = ""
        world.run_until(
            world.now_ns + seconds(random_of_test.uniform(1, 60)), lambda: random_of_test.randrange(1, 200_000_000)
        )
        assert len(world.client.notes) < 200
        world.client.notes.clear()
    for registry in world.registries:
        registry.fault = ""
    world.run_until(world.now_ns + LONGEST_PAUSE_NS + seconds(20))
    assert world.client.registered
    assert world.is_complete
    assert rounds > 100


@pytest.mark.parametrize(
    ("properties", "url"),
    [
        ({"api_ver": "v1.2,v1.3", "api_proto": "http", "pri": "10"}, "http://10.0.0.5:8010/x-nmos/registration/v1.3"),
        ({"api_ver": "v1.2", "api_proto": "http", "pri": "10"}, "http://10.0.0.5:8010/x-nmos/registration/v1.2"),
        ({"api_ver": "v9.0", "api_proto": "http", "pri": "0"}, None),
        ({"api_ver": "v1.3", "api_proto": "https", "pri": "0"}, None),
        ({"api_ver": "v1.3", "api_proto": "http", "pri": "0", "api_auth": "true"}, None),
        ({"api_ver": "v1.3", "api_proto": "http", "pri": "soon"}, None),
        ({}, None),
    ],
)
def test_only_registries_that_fit_are_used(properties: dict[str, str], url: str | None) -> None:
    found = announced_registry("10.0.0.5", 8010, properties, secure=False, authorization=False)
    assert (found.url if found is not None else None) == url


def test_configured_registries_are_tried_in_their_order() -> None:
    first, second = configured_registries(["http://a:80/", "https://b:443/x-nmos/registration/v1.2"])
    assert (first.url, first.api_version) == ("http://a:80/x-nmos/registration/v1.3", "v1.3")
    assert (second.url, second.priority, second.api_version) == ("https://b:443/x-nmos/registration/v1.2", 1, "v1.2")


def test_revisions_are_announced_to_peers_and_not_beside_a_registry() -> None:
    revisions = dict.fromkeys(KINDS, 257)
    peer = peer_properties(["v1.2", "v1.3"], secure=False, authorization=False, revisions=revisions)
    assert peer["ver_slf"] == peer["ver_rcv"] == "1"
    registered = peer_properties(["v1.2", "v1.3"], secure=True, authorization=True, revisions=None)
    assert registered == {"api_ver": "v1.2,v1.3", "api_proto": "https", "api_auth": "true"}
