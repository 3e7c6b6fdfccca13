"""A controller maps channels and watches status monitors of a run by NMOS: real streams and sockets over loopback."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import material
from tests.support.addresses import LOOPBACK
from tests.support.kernel import where_the_machine_runs
from tests.system.test_nmos_switching import Controller, Recorded, switched_hall, tai_in
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

pytestmark = pytest.mark.realtime

MAP = "/x-nmos/channelmapping/v1.0/map"
OUTPUT = "run_rec0"
OVERALL, CONNECTION, STREAM = ({"level": level, "index": index} for level, index in ((3, 1), (4, 4), (4, 11)))


def swapped(mode: str, requested_time: str | None = None) -> dict[str, Any]:
    activation = {"mode": mode} if requested_time is None else {"mode": mode, "requested_time": requested_time}
    routes = {str(index): {"input": "run_r0", "channel_index": 1 - index} for index in range(2)}
    return {"activation": activation, "action": {OUTPUT: routes}}


@where_the_machine_runs
def test_channels_are_swapped_at_their_frame_bit_for_bit(tmp_path: Path) -> None:
    with switched_hall(tmp_path, receivers=1, seconds=30) as controller:
        status, io = controller.ask("GET", "/x-nmos/channelmapping/v1.0/io")
        assert status == 200
        assert io["inputs"]["run_r0"]["parent"] == {"id": controller.receivers["r0"], "type": "receiver"}
        requested, wanted = tai_in(1.7)
        status, body = controller.ask("POST", f"{MAP}/activations", swapped("activate_scheduled_absolute", requested))
        assert status == 202, body
        assert controller.ask("POST", f"{MAP}/activations", swapped("activate_immediate"))[0] == 423
        time.sleep(3)
        assert controller.ask("GET", f"{MAP}/activations") == (200, {})
        _, active = controller.ask("GET", f"{MAP}/active/{OUTPUT}")
        assert active["map"][OUTPUT]["0"] == {"input": "run_r0", "channel_index": 1}
        unrouted = {"0": {"input": None, "channel_index": None}}
        body = {"activation": {"mode": "activate_immediate"}, "action": {OUTPUT: unrouted}}
        assert controller.ask("POST", f"{MAP}/activations", body)[0] == 200
        time.sleep(1)
    path = tmp_path / "rec0.wav"
    words, first = material.read(path) >> 8, Recorded(path).first
    at = wanted - first
    numbers = np.concatenate([words[:at, 0], words[at:, 1]])
    programme = np.concatenate([words[:at, 1], words[at:, 0]])
    assert (np.diff(numbers) == 1).all(), "every frame follows the one before, on its new channel from its frame on"
    silent = np.flatnonzero(programme == 0)
    assert len(silent) > 24_000
    assert (programme[: silent[0]] == 1).all()
    assert (np.diff(silent) == 1).all(), "without an input the channel is silent"


class ControlClient:
    """A controller of the control protocol."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), timeout=20)
        self._websocket = WSConnection(ConnectionType.CLIENT)
        self._send(Request(host=f"{LOOPBACK}:{port}", target="/x-nmos/ncp/v1.0"))
        assert isinstance(next(self._events()), AcceptConnection)
        self._handle = 0
        self.heard: list[tuple[dict[str, int], Any]] = []
        """Notifications: property and value."""

    def _send(self, event: Any) -> None:
        self._socket.sendall(self._websocket.send(event))

    def _events(self) -> Iterator[Any]:
        while True:
            yield from self._websocket.events()
            self._websocket.receive_data(self._socket.recv(65536))

    def _message(self) -> dict[str, Any]:
        text = ""
        for event in self._events():
            if isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    break
        return json.loads(text)  # type: ignore[no-any-return]

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self._send(TextMessage(data=json.dumps(message)))
        while (answer := self._message())["messageType"] == 2:
            self._hear(answer)
        return answer

    def call(self, oid: int, level: int, index: int, **arguments: Any) -> Any:
        self._handle += 1
        method = {"level": level, "index": index}
        command = {"handle": self._handle, "oid": oid, "methodId": method, "arguments": arguments}
        (response,) = self.ask({"messageType": 0, "commands": [command]})["responses"]
        assert response["handle"] == self._handle
        assert response["result"]["status"] == 200, response
        return response["result"].get("value")

    def hear_until(self, property: dict[str, int], value: Any) -> None:
        while (property, value) not in self.heard:
            self._hear(self._message())

    def _hear(self, message: dict[str, Any]) -> None:
        for each in message["notifications"]:
            self.heard.append((each["eventData"]["propertyId"], each["eventData"]["value"]))

    def close(self) -> None:
        self._send(CloseConnection(code=1000))
        self._socket.close()


@contextmanager
def control(controller: Controller) -> Iterator[ControlClient]:
    client = ControlClient(controller._port)
    try:
        yield client
    finally:
        client.close()


def test_a_monitor_follows_its_receiver(tmp_path: Path) -> None:
    with switched_hall(tmp_path, receivers=1, seconds=60) as controller, control(controller) as client:
        _, devices = controller.ask("GET", "/x-nmos/node/v1.3/devices")
        controls = {each["type"]: each["href"] for each in devices[0]["controls"]}
        assert controls["urn:x-nmos:control:ncp/v1.0"] == f"ws://{LOOPBACK}:{controller._port}/x-nmos/ncp/v1.0"
        found = client.call(1, 2, 4, classId=[1, 2, 2, 1], includeDerived=True, recurse=True)
        (monitor,) = [member["oid"] for member in found]
        touchpoint = client.call(monitor, 1, 1, id={"level": 1, "index": 7})[0]
        assert touchpoint["resource"] == {"resourceType": "receiver", "id": controller.receivers["r0"]}
        time.sleep(4)
        assert client.call(monitor, 1, 1, id=OVERALL) == 1
        assert client.ask({"messageType": 3, "subscriptions": [monitor]})["subscriptions"] == [monitor]
        path = f"/x-nmos/connection/v1.1/single/receivers/{controller.receivers['r0']}/staged"
        off = {"master_enable": False, "activation": {"mode": "activate_immediate"}}
        assert controller.ask("PATCH", path, off)[0] == 200
        client.hear_until(OVERALL, 0)
        assert [value for property, value in client.heard if property in (OVERALL, CONNECTION, STREAM)] == [0, 0, 0]
        client.heard.clear()
        status, body = controller.connect("r0", "b", mode="activate_immediate")
        assert status == 200, body
        client.hear_until(OVERALL, 1)
        time.sleep(4)
        assert client.call(monitor, 1, 1, id=CONNECTION) == 1
        assert [value for property, value in client.heard if property in (OVERALL, CONNECTION, STREAM)] == [1, 1, 1]
        lost = client.call(monitor, 4, 1)
        assert [(counter["name"], counter["value"]) for counter in lost] == [("packets_lost", 0)]
