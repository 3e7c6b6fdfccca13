"""Simulated stamped sockets: on the same wire, in virtual time, with known truth."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
import pytest
import trio
import trio.testing

from phasegraph import StampKind
from phasegraph.net import Arrival, Departure, StampedSocket
from phasegraph.testing import Every, Faults, Impairment, SimLocalClock, SimNetwork, SimWire, Stamping, true_now_ns

GROUP = "224.0.1.129"


def hosts(wire: SimWire, stamping: Stamping | None = None) -> tuple[SimNetwork, SimNetwork]:
    clocks = (SimLocalClock(ppm=-20), SimLocalClock(ppm=30, epoch_ns=7))
    near, far = (SimNetwork(clock, wire, stamping=stamping or Stamping(latency_ns=0)) for clock in clocks)
    return near, far


def opened(network: SimNetwork, port: int = 319, group: str = GROUP, ipv6: bool = False) -> StampedSocket:
    stamped = network.stamped(port, network.interface("eth0"), ipv6=ipv6)
    stamped.join(group)
    return stamped


async def everything(stamped: StampedSocket, for_s: float = 1.0) -> list[Arrival | Departure]:
    got: list[Arrival | Departure] = []
    with trio.move_on_after(for_s):
        while True:
            got += await stamped.receive()
    return got


def arrivals(items: Sequence[Arrival | Departure]) -> list[Arrival]:
    return [item for item in items if isinstance(item, Arrival)]


@pytest.mark.parametrize(("group", "ipv6"), [(GROUP, False), ("ff0e::181", True)])
async def test_stamps_are_true_in_each_host_s_own_time(autojump_clock, group, ipv6):
    near, far = hosts(SimWire(impairment=Impairment(delay_ns=700_000)))
    here, there = opened(near, group=group, ipv6=ipv6), opened(far, group=group, ipv6=ipv6)
    await trio.sleep(100)
    here.send(b"sync", (group, 319), 5)
    assert await here.receive() == [Departure(5, near.local.at(100_000_000_000), StampKind.KERNEL)]
    address = near.interface("eth0").address6 if ipv6 else near.interface("eth0").address
    expected = Arrival(b"sync", (address, 319), group, far.local.at(100_000_700_000), StampKind.KERNEL)
    assert await there.receive() == [expected]
    assert true_now_ns() == 100_000_700_000
    there.send(b"answer", (address, 319))
    own, answer = [*await here.receive(), *await here.receive()]
    assert isinstance(own, Arrival)
    assert own.source == (address, 319)  # its own multicast
    assert isinstance(answer, Arrival)
    assert (answer.data, answer.destination) == (b"answer", address)


async def test_links_do_to_datagrams_what_they_do_to_streams(autojump_clock):
    near, far = hosts(SimWire(faults=Faults(drop={1}, duplicate={3}, swap={5})))
    here, there = opened(near), opened(far)
    for number in range(8):
        here.send(bytes([number]), (GROUP, 319))
        await trio.sleep(0.125)
    got = arrivals(await everything(there))
    assert [arrival.data[0] for arrival in got] == [0, 2, 3, 3, 4, 6, 5, 7]
    assert near.wire.link(near, far).truth.delivered == 8


async def test_a_reader_waits_for_what_is_sent_meanwhile(autojump_clock):
    near, far = hosts(SimWire(impairment=Impairment(delay_ns=2_000_000)))
    here, there = opened(near), opened(far)
    times = []

    async def read() -> None:
        for _ in range(2):
            await there.receive()
            times.append(true_now_ns())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.sleep(1)
        here.send(b"late", (GROUP, 319))
        near.wire.impair(Impairment(delay_ns=500_000))
        near.wire.link(near, far)._last[:] = 0  # a shorter way
        here.send(b"early", (GROUP, 319))
    assert times == [1_000_500_000, 1_002_000_000]


async def test_missing_transmit_stamps(autojump_clock):
    near, _ = hosts(SimWire(), Stamping(missing_transmit=Every(3, 1), latency_ns=10_000))
    here = near.stamped(0, near.interface("eth0"))
    sent = {}
    for token in range(6):
        sent[token] = near.local.now_ns()
        here.send(b"x", (GROUP, 319), token)
        await trio.sleep(0.2)
    kinds = {departure.token: departure.stamp for departure in await everything(here)}
    assert [kinds[token] for token in range(6)] == [
        StampKind.USER if token % 3 == 1 else "kernel" for token in range(6)
    ]
    assert here.counts.transmit_stamps_missing == 2
    began = true_now_ns()
    here.send(b"x", (GROUP, 319), 6)
    await here.receive()
    here.send(b"x", (GROUP, 319), 7)
    (departure,) = await here.receive()
    assert isinstance(departure, Departure)
    assert true_now_ns() - began >= 50_000_000
    assert 0 <= near.local.at(began + 1_000_000) - departure.local_ns < 2_000_000


@pytest.mark.slow
async def test_noise_and_user_stamps_come_from_the_seed(autojump_clock):
    async def errors(seed: int, stamping: Stamping) -> tuple[list[int], list[int]]:
        near, far = hosts(SimWire(impairment=Impairment(delay_ns=1_000_000), seed=seed), stamping)
        here, there = opened(near), far.stamped(319, far.interface("eth0"))
        there.join(GROUP)
        went, came = [], []
        for token in range(300):
            true = true_now_ns()
            here.send(b"x", (GROUP, 319), token)
            (departure,) = [item for item in await here.receive() if isinstance(item, Departure)]
            (arrival,) = await there.receive()
            went.append(departure.local_ns - near.local.at(true))
            came.append(arrival.local_ns - far.local.at(true + 1_000_000))
            await trio.sleep(0.1)
        return went, came

    kernel = Stamping(noise_ns=500, latency_ns=0)
    first = await errors(1, kernel)
    assert await errors(1, kernel) == first
    assert await errors(2, kernel) != first
    for some in first:
        assert abs(statistics.mean(some)) < 150
        assert 400 < statistics.pstdev(some) < 600
    went, came = await errors(1, Stamping(kind=StampKind.USER, latency_ns=30_000))
    assert max(went) <= 0 <= min(came)
    assert 25_000 < statistics.mean(came) < 35_000


async def test_a_step_of_the_time_of_day_spoils_no_stamp(autojump_clock):
    near, far = hosts(SimWire())
    here, there = opened(near), opened(far)
    kinds = []
    for number in range(6):
        if number == 3:
            far.local.step_realtime(5_000_000_000)
        here.send(b"x", (GROUP, 319))
        (arrival,) = await there.receive()
        kinds.append(arrival.stamp)
        assert abs(arrival.local_ns - far.local.now_ns()) < 1000
        await trio.sleep(1)
    assert kinds == [StampKind.KERNEL] * 3 + [StampKind.USER] + [StampKind.KERNEL] * 2
    assert (there.counts.clock_steps, there.counts.receive_stamps_missing) == (1, 1)


async def test_which_socket_receives_which_packet(autojump_clock):
    near, far = hosts(SimWire())
    sender = near.stamped(0, near.interface("eth0"))
    old, new = opened(far), opened(far)
    general, other = opened(far, port=320), far.stamped(319, far.interface("eth1"))
    other.join(GROUP)
    old.join(GROUP)
    new.leave(GROUP)
    batched = far.receiver(319)
    batched.join(GROUP, far.interface("eth0"))
    sender.send(b"group", (GROUP, 319))
    sender.send(b"alone", (far.interface("eth0").address, 319))
    sender.send(bytes(3000), (GROUP, 319))
    received = {name: await everything(each, 0.1) for name, each in [("old", old), ("new", new), ("320", general)]}
    assert {name: [item.data for item in items] for name, items in received.items()} == {
        "old": [b"group"],
        "new": [b"alone"],  # unicast reaches one socket only
        "320": [],
    }
    assert [item.data for item in await everything(other, 0.1)] == [b"group"]
    assert old.counts.too_long == 1
    assert batched.receive().count == 2
    with pytest.raises(OSError, match="assign"):
        new.leave(GROUP)


async def test_batched_senders_reach_stamped_sockets(autojump_clock):
    network = SimNetwork(stamping=Stamping(latency_ns=0))
    stamped = opened(network)
    sender = network.sender(network.interface("eth0"), ttl=1, dscp=0)
    buffer = sender.buffer(3, 8, [(GROUP, 319)] * 3)
    buffer.length[:] = [8, 4, 0]
    buffer.data[:] = np.arange(8)
    sender.send(buffer, 0, 3)
    assert [item.data for item in arrivals(await everything(stamped, 0.1))] == [bytes(range(8)), bytes(range(4)), b""]


async def test_an_unread_socket_has_limited_room(autojump_clock):
    network = SimNetwork(socket_packets=100)
    stamped = opened(network)
    for number in range(150):
        stamped.send(bytes([number]), (GROUP, 319))
    assert [item.data[0] for item in arrivals(await everything(stamped))] == list(range(100))


async def test_cancelling_and_closing_a_reader(autojump_clock):
    near, _ = hosts(SimWire())
    one = opened(near)
    one.send(b"kept", (GROUP, 319))
    with trio.CancelScope() as scope:
        scope.cancel()
        await one.receive()
    assert [item.data for item in arrivals(await one.receive())] == [b"kept"]

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await one.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        one.close()
        one.close()
    with pytest.raises(OSError, match="descriptor"):
        one.send(b"x", (GROUP, 319))
    opened(near).send(b"x", (GROUP, 319))


def test_interfaces_have_all_that_real_ones_have():
    network = SimNetwork()
    eth0, other = network.interface("eth0"), network.interface("fe80::77", ipv6=True)
    assert (eth0.address, eth0.address6, len(eth0.mac)) == ("10.0.1.1", "fe80::1:1", 6)
    assert (other.address6, other.mac != eth0.mac) == ("fe80::77", True)
    assert network.interface(eth0.address6) == eth0
    loopback = network.interface("::1", ipv6=True)
    assert network.interface("127.0.0.1") == network.interface("lo") == loopback
    assert (loopback.address, loopback.address6, loopback.mac) == ("127.0.0.1", "::1", b"")
