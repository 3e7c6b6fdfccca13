"""Control sessions over the messages of ASGI: answers, notifications, and controllers that do not read."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from phasegraph_nmos.control_model.control_objects import DeviceIdentity
from phasegraph_nmos.control_model.device_model import FIRST_MONITOR, ROOT, DeviceModel
from phasegraph_nmos.http.control_websocket import MOST_SESSIONS, MOST_UNSENT, ControlWebSocket
from phasegraph_nmos.status_monitors.domain_health import HEALTHY, Health, Observation
from phasegraph_nmos.status_monitors.status_monitor import MonitoredResource, MonitorInput

LABEL = {"level": 1, "index": 6}
CONNECTION_STATUS = {"level": 4, "index": 4}


def local_ns() -> int:
    return round(trio.current_time() * 1e9)


def set_label(value: str) -> dict[str, Any]:
    arguments = {"id": LABEL, "value": value}
    command = {"handle": 1, "oid": ROOT, "methodId": {"level": 1, "index": 2}, "arguments": arguments}
    return {"messageType": 0, "commands": [command]}


class Controller:
    """One end of a websocket; the other is the handler."""

    def __init__(self, capacity: int) -> None:
        self._to_node, self._from_controller = trio.open_memory_channel[dict[str, Any]](capacity)
        self._to_controller, self._from_node = trio.open_memory_channel[dict[str, Any]](capacity)

    async def tell(self, message: Any) -> None:
        await self._to_node.send({"type": "websocket.receive", "text": json.dumps(message)})

    async def hear(self) -> dict[str, Any]:
        event = await self._from_node.receive()
        return json.loads(event["text"]) if event["type"] == "websocket.send" else event  # type: ignore[no-any-return]

    async def ask(self, message: Any) -> dict[str, Any]:
        await self.tell(message)
        return await self.hear()

    async def leave(self) -> None:
        await self._to_node.send({"type": "websocket.disconnect"})

    async def serve(self, socket: ControlWebSocket) -> None:
        await self._to_node.send({"type": "websocket.connect"})
        await socket.serve_session({}, self._from_controller.receive, self._to_controller.send)


@asynccontextmanager
async def controllers(
    socket: ControlWebSocket, count: int = 1, capacity: int = 1000
) -> AsyncIterator[list[Controller]]:
    made = [Controller(capacity) for _ in range(count)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(socket.run)
        for controller in made:
            nursery.start_soon(controller.serve, socket)
            assert (await controller.hear())["type"] == "websocket.accept"
        yield made
        nursery.cancel_scope.cancel()


@pytest.fixture
def socket() -> ControlWebSocket:
    return ControlWebSocket(DeviceModel(DeviceIdentity(name="n", version="1", serial_number="2")), local_ns)


async def test_all_subscribers_hear_what_one_controller_sets(
    socket: ControlWebSocket, autojump_clock: trio.testing.MockClock
) -> None:
    async with controllers(socket, 2) as (one, other):
        assert (await other.ask({"messageType": 3, "subscriptions": [ROOT]}))["subscriptions"] == [ROOT]
        assert (await one.ask(set_label("Gallery")))["responses"][0]["result"] == {"status": 200}
        heard = await other.hear()
        assert heard["notifications"][0]["eventData"]["value"] == "Gallery"
        assert (await other.ask({"not_a": "valid_command"}))["messageType"] == 5


async def test_a_monitor_recovers_when_its_delay_has_passed(
    socket: ControlWebSocket, autojump_clock: trio.testing.MockClock
) -> None:
    def seen(health: Health) -> MonitoredResource:
        domains = {"link": HEALTHY, "synchronization": HEALTHY, "content": HEALTHY}
        monitor = MonitorInput(active=True, source_id="gm", connection=Observation(health, "lost"), **domains)
        return MonitoredResource(id="x", role="take", label="take", seen=monitor)

    async with controllers(socket) as (controller,):
        socket.observe_runs([seen(Health.HEALTHY)], [])
        await controller.ask({"messageType": 3, "subscriptions": [FIRST_MONITOR]})
        await trio.sleep(5)
        socket.observe_runs([seen(Health.UNHEALTHY)], [])
        started = trio.current_time()
        socket.observe_runs([seen(Health.HEALTHY)], [])
        statuses = []
        while len(statuses) < 2:
            events = [item["eventData"] for item in (await controller.hear())["notifications"]]
            now_s = trio.current_time() - started
            statuses += [(data["value"], now_s) for data in events if data["propertyId"] == CONNECTION_STATUS]
        assert statuses == [(3, 0), (1, pytest.approx(3.0, abs=1e-6))]


async def test_a_controller_that_does_not_read_is_left(
    socket: ControlWebSocket, autojump_clock: trio.testing.MockClock
) -> None:
    async with controllers(socket, 2, capacity=2) as (deaf, one):
        await deaf.ask({"messageType": 3, "subscriptions": [ROOT]})
        for number in range(MOST_UNSENT + 10):
            await one.ask(set_label(str(number)))
        await trio.sleep(2)
        assert len(socket._sessions) == 1
        assert (await one.ask(set_label("done")))["responses"]


async def test_sessions_end_with_their_controllers_and_are_limited(
    socket: ControlWebSocket, autojump_clock: trio.testing.MockClock
) -> None:
    async with controllers(socket, MOST_SESSIONS) as made:
        late = Controller(10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late.serve, socket)
            assert await late.hear() == {"type": "websocket.close", "code": 1013}
        await made[0].leave()
        await trio.sleep(0.1)
        assert len(socket._sessions) == MOST_SESSIONS - 1
