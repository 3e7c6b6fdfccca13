"""A simulated leader on a simulated network, and captured packets, where PHASEGRAPH_VECTORS names their folder."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from phasegraph.ieee1588 import EVENT_MESSAGES, MalformedMessage, Message, encode
from phasegraph.net import Arrival
from phasegraph.testing import SimLocalClock, SimNetwork, SimStampedSocket, SimWire, true_now_ns
from phasegraph_airplay_timing.wire import apple

from .simulated_group import S, SimLeader


def free_pairs(count: int) -> list[int]:
    """The first of a number of free pairs of ports."""
    held, found = [], []
    try:
        while len(found) < count:
            first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            held += [first, second]
            first.bind(("", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("", port + 1))
            except OSError:
                continue
            found.append(port)
    finally:
        for each in held:
            each.close()
    return found


@pytest.fixture
def free_ports() -> Callable[[int], list[int]]:
    """Asked for a number, the first of that number of free pairs of ports."""
    return free_pairs


@pytest.fixture(scope="session")
def airplay_vectors() -> list[dict[str, Any]]:
    """The packets with their decodes; skips the test where they are not there."""
    file = Path(os.environ.get("PHASEGRAPH_VECTORS", "")) / "airplay" / "vectors.json"
    if not file.is_file():
        pytest.skip("PHASEGRAPH_VECTORS names no folder of captures")
    vectors: list[dict[str, Any]] = json.loads(file.read_text())["vectors"]
    return vectors


class Device:
    """A host with a leader of its own."""

    def __init__(self, wire: SimWire, nursery: trio.Nursery, clock: int = 0x0499_B9B7_E0F1_0008) -> None:
        self.network = SimNetwork(SimLocalClock(ppm=-12), wire)
        interface = self.network.interface("eth0")
        self.address = interface.address
        self.random = Random(1)
        self.leader = SimLeader(clock, self.address, epoch_ns=1_173_601 * S, ppm=-12.0)
        self.follower = ""
        self._nursery = nursery
        self._event = self.network.stamped(319, interface)
        self._general = self.network.stamped(320, interface)
        nursery.start_soon(self._read, self._event)
        nursery.start_soon(self._read, self._general)
        self.leader.start(self)

    @property
    def now_ns(self) -> int:
        return true_now_ns()

    def after(self, delay_ns: int, do: Callable[[], None]) -> None:
        async def later() -> None:
            await trio.sleep(delay_ns / 1e9)
            do()

        self._nursery.start_soon(later)

    def every(self, interval_ns: int, do: Callable[[], None]) -> None:
        async def again() -> None:
            while True:
                do()
                await trio.sleep(interval_ns / 1e9)

        self._nursery.start_soon(again)

    def to_follower(self, leader: SimLeader, message: Message) -> None:
        if self.follower:
            socket, port = (self._event, 319) if message.type in EVENT_MESSAGES else (self._general, 320)
            socket.send(encode(message), (self.follower, port))

    async def _read(self, socket: SimStampedSocket) -> None:
        while True:
            for item in await socket.receive():
                assert isinstance(item, Arrival)
                try:
                    self.leader.receive(apple.decode(item.data), self)
                except MalformedMessage as error:
                    raise AssertionError("we sent that?") from error


@pytest.fixture
def wired() -> SimNetwork:
    """The host under test, on a wire with others."""
    return SimNetwork(SimLocalClock(ppm=18), SimWire(seed=4))


@pytest.fixture
async def device(wired: SimNetwork, nursery: trio.Nursery) -> Device:
    """Another host on the wire, that leads."""
    made = Device(wired.wire, nursery)
    made.follower = wired.interface("eth0").address
    return made
