"""A simulated leader on a simulated network, beside the graph under test."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import trio

from phasegraph.ieee1588 import EVENT_MESSAGES, MalformedMessage, Message, encode
from phasegraph.net import Arrival
from phasegraph.testing import SimLocalClock, SimNetwork, SimStampedSocket, SimWire, true_now_ns
from phasegraph_airplay_timing.simulation import S, SimLeader
from phasegraph_airplay_timing.wire import apple


class Device:
    """A host with a leader of its own."""

    def __init__(self, wire: SimWire, nursery: trio.Nursery) -> None:
        self.network = SimNetwork(SimLocalClock(ppm=-12), wire)
        interface = self.network.interface("eth0")
        self.address = interface.address
        self.random = Random(1)
        self.leader = SimLeader(0x0499_B9B7_E0F1_0008, self.address, epoch_ns=1_173_601 * S, ppm=-12.0)
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
