"""A step of the receiving sockets ends, whatever arrives: floods wait, and every socket has its turn."""

from __future__ import annotations

import itertools
from typing import Any

from phasegraph.net import PacketBatch
from phasegraph_aes67.receive.receive_sockets import STEP_BATCHES, STEP_SINGLY, ReceiveSockets, _Socket

BASE = 48 * 1_790_000_000_000
MS = 1_000_000


class FakeReceiver:
    """Always has another batch, or has each of a few."""

    room = 4000

    def __init__(self, batches: list[PacketBatch], *, endless: bool = False) -> None:
        self.batches = batches
        self.endless = endless
        self.reads = 0

    def receive(self) -> PacketBatch:
        self.reads += 1
        if self.endless:
            return self.batches[0]
        return self.batches.pop(0) if self.batches else PacketBatch(8, 100)

    def dropped(self) -> int:
        return 0


class FakeContext:
    network = None

    def quantum_ns(self) -> int:
        return 4 * MS

    def attach(self, step: Any) -> None:
        pass


def sockets_of(*receivers: FakeReceiver) -> tuple[ReceiveSockets, list[_Socket]]:
    sockets = ReceiveSockets(FakeContext())  # type: ignore[arg-type]
    each = [_Socket(receiver) for receiver in receivers]  # type: ignore[arg-type]
    sockets._active = tuple(each)
    return sockets, each


def test_a_socket_that_is_never_empty_lets_the_others_have_their_turn(make: Any, batch_of: Any) -> None:
    stage = make()
    flood = batch_of([(b"x" * 61, 0, "239.9.9.9")] * 64)
    wanted = batch_of([(stage.packet(BASE), stage.arrival(BASE, MS), "239.1.1.1")])
    busy, quiet = FakeReceiver([flood], endless=True), FakeReceiver([wanted])
    sockets, (_, second) = sockets_of(busy, quiet)
    second.demultiplexer.set_routes(stage.routes)
    assert sockets.step(5) == 5, "there is more: it comes again at once, after the others"
    assert busy.reads == STEP_BATCHES
    assert stage.receiver.packets_received == 1


def test_packets_that_go_one_by_one_are_few_in_a_step(make: Any, batch_of: Any) -> None:
    # Junk before the first packet: each is parsed, and a whole batch would take tens of milliseconds.
    stage = make()
    junk = batch_of([(bytes([0x40]) * 61, 0, "239.1.1.1")] * 2000)
    sockets, (only,) = sockets_of(FakeReceiver([junk], endless=True))
    only.demultiplexer.set_routes(stage.routes)
    sockets.step(0)
    counts = [stage.metrics()["packets_malformed"]]
    for _ in range(20):
        sockets.step(0)
        counts.append(stage.metrics()["packets_malformed"])
    steps = [after - before for before, after in itertools.pairwise(counts)]
    assert set(steps) <= {STEP_SINGLY, 2000 % STEP_SINGLY + STEP_SINGLY, 2000 % STEP_SINGLY}
    assert sum(steps) >= 2 * 2000, "and none is left out"
