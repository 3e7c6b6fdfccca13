"""The walk of a packet, from the sockets to the ring: which files it enters, in which order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import CO_GENERATOR
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from phasegraph_aes67.receive.receive_sockets import ReceiveSockets, _Socket

BASE = 48 * 1_790_000_000_000
MS = 1_000_000
FIRST_HALF = ["receive_sockets", "demultiplexer", "media_clock", "stream_receiver", "leg", "sequence"]
SECOND_HALF = ["ring_writer", "ring", "stream"]
WALK = FIRST_HALF + SECOND_HALF
"""The files of a usual packet. Helpers that only compute (`histogram`, `clock`) are left out."""
WALK_OF_TWO_LEGS = [*FIRST_HALF, "redundancy", "sequence", *SECOND_HALF]
"""Two counts of sequence numbers: those of the leg, and those of both legs together."""


class Network:
    """The context of the sockets, and a socket that has one packet."""

    network = None
    room = 4000

    def __init__(self, batch_of: Any) -> None:
        self.batch_of = batch_of
        self.packet: tuple[Any, ...] = ()
        self.local = self

    def receive(self) -> Any:
        packets, self.packet = [self.packet] if self.packet else [], ()
        return self.batch_of(packets)

    def dropped(self) -> int:
        return 0

    def now_ns(self) -> int:
        return 0

    def quantum_ns(self) -> int:
        return 4 * MS

    def attach(self, step: Any) -> Callable[[], None]:
        return lambda: None


def walk(step: Any, files: list[str], now_ns: int) -> list[str]:
    """Every entry into one of the files: a call of one of its functions from another of them."""
    entered: list[str] = []
    generators: list[FrameType] = []

    def enter(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or (name := file_of(frame)) not in files or frame in generators:
            return
        if frame.f_code.co_flags & CO_GENERATOR:
            generators.append(frame)  # to go on with it later is no entry
        caller = frame.f_back
        while caller is not None and file_of(caller) not in files:
            caller = caller.f_back
        if caller is None or file_of(caller) != name:
            entered.append(name)

    sys.setprofile(enter)
    try:
        step(now_ns)
    finally:
        sys.setprofile(None)
    return entered


def file_of(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return path.stem if "src" in path.parts or "site-packages" in path.parts else ""


@pytest.mark.parametrize("legs", [1, 2])
def test_a_usual_packet_enters_each_file_once(make: Any, batch_of: Any, legs: int) -> None:
    stage = make(leg_b={"address": "239.1.1.2"} if legs == 2 else None)
    network = Network(batch_of)
    sockets = ReceiveSockets(network)  # type: ignore[arg-type]
    only = _Socket(network)  # type: ignore[arg-type]
    sockets._active = (only,)
    only.demultiplexer.set_routes(stage.routes)
    for number in range(3):
        frame = BASE + 48 * number
        network.packet = (stage.packet(frame), stage.arrival(frame, MS), "239.1.1.1")
        entered = walk(sockets.step, WALK_OF_TWO_LEGS, number * 100 * MS)
    assert entered == (WALK if legs == 1 else WALK_OF_TWO_LEGS)
    assert stage.counted()["packets_received"] == 3
