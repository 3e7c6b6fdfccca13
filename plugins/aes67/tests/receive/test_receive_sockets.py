"""A step of the receiving sockets ends, whatever arrives: floods wait, and every socket has its turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from phasegraph.net import PacketBatch
from phasegraph_aes67.receive.demultiplexer import LEGS_TOGETHER
from phasegraph_aes67.receive.receive_sockets import (
    FIRST_INTERVAL_NS,
    FIRST_PACKETS_NS,
    ROUND_BATCHES,
    STEP_SINGLY,
    TURN_NS,
    ReceiveSockets,
    _Socket,
)

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


class FakeLocal:
    """Time that passes by as much at every look."""

    def __init__(self, pace_ns: int = 0) -> None:
        self.time_ns = 0
        self.pace_ns = pace_ns

    def now_ns(self) -> int:
        self.time_ns += self.pace_ns
        return self.time_ns


class FakeContext:
    network = None

    def __init__(self, pace_ns: int) -> None:
        self.local = FakeLocal(pace_ns)

    quantum = 4 * MS

    def quantum_ns(self) -> int:
        return self.quantum

    read_now = False

    def attach(self, step: Any) -> Callable[[], None]:
        def call_now() -> None:
            self.read_now = True

        return call_now


def sockets_of(*receivers: FakeReceiver, pace_ns: int = 0) -> tuple[ReceiveSockets, list[_Socket]]:
    sockets = ReceiveSockets(FakeContext(pace_ns))  # type: ignore[arg-type]
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
    assert busy.reads == ROUND_BATCHES
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


def test_a_round_of_many_streams_takes_several_turns(make: Any, batch_of: Any) -> None:
    count = 3 * LEGS_TOGETHER
    stages = [make(address=f"239.1.1.{number}") for number in range(1, count + 1)]

    def packets(number: int) -> list[tuple[bytes, int, str]]:
        frame = BASE + 48 * number
        return [(one.packet(frame), one.arrival(frame, MS), one.parameters.address) for one in stages]

    batches = [batch_of(packets(0)), batch_of([*packets(1), *packets(2)])]
    for batch in batches:
        batch.capacity += 1  # there is no more
    sockets, (only,) = sockets_of(FakeReceiver(batches), pace_ns=TURN_NS)
    only.demultiplexer.set_routes([route for one in stages for route in one.routes])

    def turns() -> list[int]:
        # How many streams have got their packets after each turn of a round.
        sockets._ctx.local.time_ns += 4 * MS  # type: ignore[attr-defined]
        before, after = stages[0].receiver.packets_received, []
        while sockets.step(now_ns := sockets._ctx.local.now_ns()) == now_ns:
            after.append(sum(one.receiver.packets_received > before for one in stages))
        return sorted(set(after))

    assert turns() == list(range(1, count + 1)), "the first packets go one by one"
    assert turns() == [LEGS_TOGETHER, 2 * LEGS_TOGETHER, count]
    assert [one.receiver.packets_received for one in stages] == [3] * count


def test_a_round_of_many_receivers_of_one_stream_takes_several_turns(make: Any, batch_of: Any) -> None:
    stages = [make() for _ in range(5)]
    batches = [batch_of([(stages[0].packet(BASE), stages[0].arrival(BASE, MS), "239.1.1.1")])]
    batches[0].capacity += 1
    sockets, (only,) = sockets_of(FakeReceiver(batches), pace_ns=TURN_NS)
    for one in stages:
        only.demultiplexer.add_route(one.routes[0])
    counts = []
    while sockets.step(now_ns := sockets._ctx.local.now_ns()) == now_ns:
        counts.append(sum(one.receiver.packets_received for one in stages))
    assert sorted(set(counts)) == [1, 2, 3, 4, 5]


def test_a_stream_that_is_added_does_not_wait_for_the_next_round() -> None:
    # A recording is read every 80 ms. A change of the graph waits for the first packets of its new streams.
    sockets, (only,) = sockets_of(quiet := FakeReceiver([]))
    sockets._ctx.quantum = 80 * MS  # type: ignore[attr-defined]
    now_ns = 0

    def reads_until(end_ns: int) -> list[int]:
        # When the socket is read, if the step is called whenever it asks for it.
        nonlocal now_ns
        times = []
        while now_ns < end_ns:
            before = quiet.reads
            sockets._ctx.local.time_ns = now_ns  # type: ignore[attr-defined]
            next_ns = sockets.step(now_ns)
            assert quiet.reads > before
            times.append(now_ns)
            now_ns = next_ns
        return times

    reads_until(500 * MS)
    calm = reads_until(1000 * MS)
    assert {after - before for before, after in itertools.pairwise(calm)} == {80 * MS}
    added_ns = now_ns = now_ns - 79 * MS
    sockets._ctx.local.time_ns = added_ns  # type: ignore[attr-defined]
    sockets.expect_first_packets()
    assert sockets._ctx.read_now  # type: ignore[attr-defined]
    busy = reads_until(added_ns + FIRST_PACKETS_NS)
    assert busy[0] == added_ns
    assert max(after - before for before, after in itertools.pairwise(busy)) == FIRST_INTERVAL_NS
    reads_until(now_ns + 500 * MS)
    calm = reads_until(now_ns + 500 * MS)
    assert {after - before for before, after in itertools.pairwise(calm)} == {80 * MS}
    assert only.closed is False
