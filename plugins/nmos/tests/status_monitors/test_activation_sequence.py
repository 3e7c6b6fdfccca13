"""What a controller sees of a monitor while its receiver or sender is activated and deactivated (BCP-008-01, -02).

A run shows its state once a second, and after every activation. Each batch of changes is one notification message:
after each, the overall status must be that of the domains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from phasegraph_nmos.control_model.control_classes import ElementId, element_id, properties_of
from phasegraph_nmos.control_model.control_objects import DeviceIdentity
from phasegraph_nmos.control_model.device_model import FIRST_MONITOR, DeviceModel
from phasegraph_nmos.status_monitors.domain_health import HEALTHY, NEUTRAL, Health, Observation
from phasegraph_nmos.status_monitors.status_monitor import MonitoredResource, MonitorInput, PacketCounter

S = 1_000_000_000
DELAY_S = 3
GET, SET = (1, 1), (1, 2)
SILENT = Observation(Health.UNHEALTHY, "no packets")
KINDS = {
    "receiver": ((1, 2, 2, 1), "connectionStatus", "streamStatus", (4, 3), ((4, 1), (4, 2))),
    "sender": ((1, 2, 2, 2), "transmissionStatus", "essenceStatus", (4, 2), ((4, 1),)),
}
"""The class, the statuses that can be inactive, ResetCountersAndMessages, and the methods of counters."""


class WatchedMonitor:
    """A monitor, and what a controller that has subscribed to it has got."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.class_id, self.connection, self.content, self.reset_method, self.counters = KINDS[kind]
        self.ids = {described.field.name: id for id, described in properties_of(self.class_id).items()}
        self.now_ns = 0
        self.active = False
        self.activation = 0
        self.flows = False
        self.synchronization = NEUTRAL
        self.errors = 0
        self.model = DeviceModel(DeviceIdentity(name="hall", version="1", serial_number="1"))
        self.heard: list[tuple[int, str, Any]] = []
        """Time, property and value."""
        self._observe()
        self.known = {name: self.get(name) for name in self.ids}

    @property
    def statuses(self) -> dict[str, int]:
        """As the controller knows them."""
        names = ("linkStatus", self.connection, "externalSynchronizationStatus", self.content)
        return {name: self.known[name] for name in names}

    def call(self, method: ElementId, **arguments: Any) -> dict[str, Any]:
        result, changes = self.model.call(FIRST_MONITOR, method, arguments)
        self._hear(changes)
        return result

    def get(self, name: str) -> Any:
        result = self.call(GET, id=element_id(self.ids[name]))
        assert result["status"] == 200
        return result["value"]

    def activate(self) -> None:
        self.active, self.activation = True, self.activation + 1
        self._observe()

    def deactivate(self) -> None:
        self.active = False
        self._observe()

    def wait(self, seconds: float) -> None:
        """Let time pass: a status each second, and the model's own times."""
        end_ns = self.now_ns + round(seconds * S)
        while True:
            following = (self.now_ns // S + 1) * S
            pending = self.model.next_change_ns()
            at_ns = min(following, end_ns) if pending is None else min(following, end_ns, max(pending, self.now_ns))
            self.now_ns = at_ns
            self._hear(self.model.advance_monitors(at_ns))
            if at_ns == end_ns:
                return
            if at_ns == following:
                self._observe()

    def _observe(self) -> None:
        seen = (HEALTHY if self.flows else SILENT) if self.active else NEUTRAL
        counters = {kind: (PacketCounter(kind, self.errors),) for kind in ("lost", "late", "errors")}
        input = MonitorInput(
            active=self.active,
            activation=self.activation,
            link=HEALTHY,
            connection=seen,
            synchronization=self.synchronization,
            source_id="internal",
            content=seen,
            counters=counters,
        )
        watched = [MonitoredResource(id="00000000-0000-4000-8000-000000000001", role="it", label="It", seen=input)]
        resources = (watched, []) if self.kind == "receiver" else ([], watched)
        self._hear(self.model.observe_runs(*resources, self.now_ns))

    def _hear(self, changes: Any) -> None:
        names = {id: name for name, id in self.ids.items()}
        for change in changes:
            if change.oid == FIRST_MONITOR:
                self.heard.append((self.now_ns, names[change.property_id], change.value))
                self.known[names[change.property_id]] = change.value
        if changes and hasattr(self, "known"):
            self.check_overall()

    def check_overall(self) -> None:
        overall = self.known["overallStatus"]
        if 0 in (self.known[self.connection], self.known[self.content]):
            assert overall == 0, self.known
        else:
            assert overall == max(self.statuses.values()), self.known

    def of(self, *names: str) -> list[tuple[float, Any]]:
        """Seconds and values of what was heard of some properties."""
        return [(at_ns / S, value) for at_ns, name, value in self.heard if name in names]

    def transitions(self) -> dict[str, int]:
        return {name: self.get(name) for name in self.ids if name.endswith("TransitionCounter") and self.get(name)}


@pytest.fixture(params=[*KINDS])
def monitor(request: pytest.FixtureRequest) -> Iterator[WatchedMonitor]:
    watched = WatchedMonitor(request.param)
    assert watched.known["overallStatus"] == 0
    assert watched.call(SET, id=element_id(watched.ids["statusReportingDelay"]), value=DELAY_S) == {"status": 200}
    watched.wait(4.4)
    watched.heard.clear()
    yield watched
    for name in watched.ids:
        assert watched.get(name) == watched.known[name], f"{name} changed without a notification"


def test_a_stream_that_does_not_come_is_reported_after_the_delay(monitor: WatchedMonitor) -> None:
    monitor.activate()
    monitor.wait(DELAY_S + 2)
    for name in ("overallStatus", monitor.connection, monitor.content):
        assert monitor.of(name) == [(4.4, 1), (4.4 + DELAY_S, 3)], name
    assert monitor.transitions() == {f"{name}TransitionCounter": 1 for name in (monitor.connection, monitor.content)}
    assert monitor.call(monitor.reset_method) == {"status": 200}
    assert monitor.transitions() == {}
    monitor.deactivate()
    for name in ("overallStatus", monitor.connection, monitor.content):
        assert monitor.of(name)[-1] == (9.4, 0), "at once"


def test_a_deactivation_within_the_delay_shows_nothing_unhealthy(monitor: WatchedMonitor) -> None:
    monitor.activate()
    monitor.wait(1)
    monitor.deactivate()
    monitor.wait(4)
    for name in ("overallStatus", monitor.connection, monitor.content):
        assert monitor.of(name) == [(4.4, 1), (5.4, 0)], name
    assert monitor.transitions() == {}


def test_an_activation_resets_the_counters(monitor: WatchedMonitor) -> None:
    monitor.activate()
    monitor.errors = 7
    monitor.wait(DELAY_S + 1)
    assert monitor.transitions()
    for method in monitor.counters:
        assert [counter["value"] for counter in monitor.call(method)["value"]] == [7]
    monitor.deactivate()
    monitor.wait(2)
    assert monitor.transitions(), "a deactivation does not"
    monitor.activate()
    monitor.wait(1)
    assert monitor.transitions() == {}
    for method in monitor.counters:
        assert [counter["value"] for counter in monitor.call(method)["value"]] == [0]
    monitor.deactivate()
    assert monitor.call(SET, id=element_id(monitor.ids["autoResetCountersAndMessages"]), value=False)["status"] == 200
    monitor.activate()
    monitor.wait(DELAY_S + 1)
    monitor.deactivate()
    monitor.activate()
    assert monitor.transitions(), "without autoResetCountersAndMessages they stay"


def test_the_overall_status_has_an_unlocked_clock_from_the_activation_on(monitor: WatchedMonitor) -> None:
    monitor.synchronization = Observation(Health.UNHEALTHY, "the clock is unlocked")
    monitor.flows = True
    monitor.wait(2)
    assert monitor.known["overallStatus"] == 0
    monitor.activate()
    assert monitor.known["overallStatus"] == 3
    monitor.wait(5)
    assert monitor.known["overallStatus"] == 3
    monitor.synchronization = HEALTHY
    monitor.wait(1 + DELAY_S)
    assert monitor.known["overallStatus"] == 1


def test_a_stream_that_comes_back_is_healthy_after_the_delay(monitor: WatchedMonitor) -> None:
    monitor.flows = True
    monitor.activate()
    monitor.wait(5.6)
    assert monitor.of("overallStatus") == [(4.4, 1)]
    monitor.heard.clear()
    monitor.flows = False
    monitor.wait(2)
    monitor.flows = True
    monitor.wait(6)
    (worse, _), (better, _) = changes = monitor.of(monitor.connection)
    assert [value for _, value in changes] == [3, 1]
    assert better - worse == pytest.approx(2 + DELAY_S)
