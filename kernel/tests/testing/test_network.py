"""The simulated wire applies its impairment and faults exactly, and counts them."""

import itertools

import numpy as np
import pytest
import trio

from phasegraph.net import Network, PacketBatch, Receiver, ipv4_number
from phasegraph.testing import Every, Faults, Impairment, SimLocalClock, SimNetwork, SimWire

GROUP = "239.69.1.1"


class Flow:
    """Numbered packets to one group, one a millisecond."""

    def __init__(self, network: Network, groups: tuple[str, ...] = (GROUP,), interface: str = "eth0") -> None:
        self.sender = network.sender(network.interface(interface), ttl=1, dscp=0)
        self.buffer = self.sender.buffer(len(groups), 8, [(group, 5004) for group in groups])
        self.buffer.length[:] = 8
        self.number = 0

    async def send(self, count: int) -> None:
        for _ in range(count):
            self.buffer.data.view(np.int64)[:, 0] = self.number
            assert not self.sender.send(self.buffer, 0, self.buffer.rows)
            self.number += 1
            await trio.sleep(0.001)


def listen(network: Network, *groups: str, interface: str = "eth0") -> Receiver:
    receiver = network.receiver(5004)
    for group in groups:
        receiver.join(group, network.interface(interface))
    return receiver


def numbers(batch: PacketBatch) -> list[int]:
    assert (batch.length[: batch.count] == 8).all()
    return batch.data[: batch.count, :8].copy().view(np.int64)[:, 0].tolist()


async def test_arrives_after_the_delay_in_local_time(autojump_clock):
    local = SimLocalClock(ppm=50)
    network = SimNetwork(local, impairment=Impairment(delay_ns=700_000))
    receiver, flow = listen(network, GROUP), Flow(network)
    await trio.sleep(100)
    sent = local.now_ns()
    await flow.send(1)
    batch = receiver.receive()
    assert numbers(batch) == [0]
    assert batch.arrival_ns[0] - sent == 700_035
    assert batch.destination[0] == ipv4_number(GROUP)
    assert batch.source[0] == ipv4_number("10.0.1.1")
    assert batch.interface[0] == network.interface("eth0").index
    assert receiver.receive().count == 0


async def test_nothing_before_it_has_arrived(autojump_clock):
    network = SimNetwork(impairment=Impairment(delay_ns=2_500_000))
    receiver, flow = listen(network, GROUP), Flow(network)
    await flow.send(5)
    assert numbers(receiver.receive()) == [0, 1, 2]
    await trio.sleep(0.01)
    assert numbers(receiver.receive()) == [3, 4]


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (Faults(drop={0, 3}), [1, 2, 4, 5, 6, 7]),
        (Faults(drop=Every(3, 1)), [0, 2, 3, 5, 6]),
        (Faults(duplicate={2, 7}), [0, 1, 2, 2, 3, 4, 5, 6, 7, 7]),
        (Faults(swap={0, 4}), [1, 0, 2, 3, 5, 4, 6, 7]),
        (Faults(swap={2}, drop={3}), [0, 1, 4, 2, 5, 6, 7]),
        (Faults(swap=Every(2)), [1, 0, 3, 2, 5, 4, 7, 6]),
    ],
)
async def test_a_script_applies_exactly(autojump_clock, faults, expected):
    network = SimNetwork(faults=faults)
    receiver, flow = listen(network, GROUP), Flow(network)
    await flow.send(8)
    assert numbers(receiver.receive()) == expected
    truth = network.truth
    assert truth.carried == 8
    assert truth.delivered == len(expected)
    assert truth.carried - truth.dropped + truth.duplicated == truth.delivered


async def test_a_swapped_packet_that_nothing_follows_never_arrives(autojump_clock):
    network = SimNetwork(faults=Faults(swap={7}))
    receiver, flow = listen(network, GROUP), Flow(network)
    await flow.send(8)
    assert numbers(receiver.receive()) == [0, 1, 2, 3, 4, 5, 6]
    assert (network.truth.swapped, network.truth.delivered) == (0, 7)


@pytest.mark.slow
async def test_chance_comes_from_the_seed(autojump_clock):
    how = Impairment(jitter_ns=3_000_000, jitter="exponential", loss=0.05, duplicate=0.02, swap=0.03)

    async def arrivals(seed: int) -> tuple[list[int], list[int]]:
        network = SimNetwork(impairment=how, seed=seed)
        receiver, flow = listen(network, GROUP), Flow(network)
        await flow.send(1200)
        await trio.sleep(1)
        got: list[int] = []
        stamps: list[int] = []
        while (batch := receiver.receive()).count:
            got += numbers(batch)
            stamps += (batch.arrival_ns[: batch.count] - batch.arrival_ns[0]).tolist()
        truth = network.truth
        assert len(set(got)) >= 1200 - truth.dropped - 1
        assert len(got) == truth.delivered
        assert sum(1 for a, b in itertools.pairwise(got) if b < a) == truth.swapped
        for count, share in ((truth.dropped, 0.05), (truth.duplicated, 0.02), (truth.swapped, 0.03)):
            assert abs(count / 1200 - share) < 0.015
        return got, stamps

    first = await arrivals(1)
    assert await arrivals(1) == first
    assert await arrivals(2) != first


@pytest.mark.slow
async def test_losses_come_in_bursts(autojump_clock):
    network = SimNetwork(impairment=Impairment(loss=0.1, loss_burst=5.0))
    receiver, flow = listen(network, GROUP), Flow(network)
    got: list[int] = []
    for _ in range(4):
        await flow.send(1000)
        while (batch := receiver.receive()).count:
            got += numbers(batch)
    gaps = [b - a - 1 for a, b in itertools.pairwise(got) if b - a > 1]
    assert abs(sum(gaps) / 4000 - 0.1) < 0.03
    assert 3.5 < sum(gaps) / len(gaps) < 6.5


async def test_packets_arrive_in_bursts(autojump_clock):
    network = SimNetwork(impairment=Impairment(burst_ns=10_000_000))
    receiver, flow = listen(network, GROUP), Flow(network)
    await flow.send(45)
    batch = receiver.receive()
    assert batch.count == 40
    assert set(np.diff(batch.arrival_ns[:40]).tolist()) == {0, 10_000_000}


async def test_receives_only_joined_groups(autojump_clock):
    network = SimNetwork()
    flow = Flow(network, ("239.69.1.1", "239.69.1.2", "239.69.1.3"))
    two, one = listen(network, "239.69.1.1", "239.69.1.3"), listen(network, "239.69.1.2")
    await flow.send(2)
    assert two.receive().destination[:4].tolist() == [ipv4_number(a) for a in ("239.69.1.1", "239.69.1.3") * 2]
    assert one.receive().count == 2
    one.leave("239.69.1.2", network.interface("eth0"))
    await flow.send(1)
    assert one.receive().count == 0
    assert two.receive().count == 2


async def test_source_specific_join(autojump_clock):
    wire = SimWire()
    a, b = SimNetwork(wire=wire), SimNetwork(wire=wire)
    receiver = a.receiver(5004)
    receiver.join(GROUP, a.interface("eth0"), b.interface("eth0").address)
    await Flow(a).send(3)
    await Flow(b).send(2)
    assert receiver.receive().count == 2


async def test_two_hosts_have_their_own_clocks_and_links(autojump_clock):
    wire = SimWire()
    near, far = SimNetwork(SimLocalClock(ppm=-20), wire), SimNetwork(SimLocalClock(ppm=30, epoch_ns=7), wire)
    wire.link(near, far).impairment = Impairment(delay_ns=5_000_000, loss=1.0)
    here, there, flow = listen(near, GROUP), listen(far, GROUP), Flow(near)
    await flow.send(3)
    wire.link(near, far).impairment = Impairment(delay_ns=5_000_000)
    await flow.send(1)
    await trio.sleep(0.1)
    assert numbers(here.receive()) == [0, 1, 2, 3]
    batch = there.receive()
    assert numbers(batch) == [3]
    assert batch.arrival_ns[0] == far.local.at(8_000_000)
    assert (wire.link(near, far).truth.dropped, wire.link(near, near).truth.dropped) == (3, 0)


async def test_separate_networks_hear_only_themselves(autojump_clock):
    network = SimNetwork(separate=("leg-b",))
    on_a, on_b = listen(network, GROUP, interface="leg-a"), listen(network, GROUP, interface="leg-b")
    await Flow(network, interface="leg-a").send(2)
    await Flow(network, interface="leg-b").send(3)
    assert on_a.receive().count == 2
    assert on_b.receive().count == 3


async def test_loopback_and_unicast(autojump_clock):
    wire = SimWire()
    a, b = SimNetwork(wire=wire), SimNetwork(wire=wire)
    bound, newest = a.receiver(5004, address="127.0.0.1"), a.receiver(5004)
    other = listen(b, GROUP, interface="lo")
    other.join(GROUP, b.interface("eth0"))
    await Flow(a, ("127.0.0.1", GROUP), interface="lo").send(2)
    assert bound.receive().count == 2
    assert newest.receive().count == 0
    assert other.receive().count == 0
    await Flow(b, (a.interface("eth0").address,)).send(1)
    assert newest.receive().count == 1


async def test_a_full_socket_and_a_refusing_one(autojump_clock):
    network = SimNetwork(socket_packets=100)
    receiver, flow = listen(network, GROUP), Flow(network)
    await flow.send(300)
    assert numbers(receiver.receive()) == list(range(100))
    assert receiver.dropped() == 200
    flow.sender.refuse = 1
    assert list(flow.sender.send(flow.buffer, 0, 1)) == [0]
    flow.sender.close()
    assert list(flow.sender.send(flow.buffer, 0, 1)) == [0]
    receiver.close()
    with pytest.raises(OSError, match="descriptor"):
        receiver.receive()


async def test_long_datagrams_lose_their_tail(autojump_clock):
    network = SimNetwork()
    receiver = network.receiver(5004, packet_bytes=6)
    receiver.join(GROUP, network.interface("eth0"))
    await Flow(network).send(1)
    assert receiver.receive().length[0] == -1


async def test_many_rows_of_one_flow_keep_their_order(autojump_clock):
    network = SimNetwork(faults=Faults(drop={1}, swap={4}))
    receiver = listen(network, GROUP, "239.69.1.2")
    sender = network.sender(network.interface("eth0"), ttl=1, dscp=0)
    rows = [(GROUP, 5004)] * 3 + [("239.69.1.2", 5004)] * 6
    buffer = sender.buffer(9, 8, rows)
    buffer.length[:] = 8
    buffer.data.view(np.int64)[:, 0] = [0, 1, 2, 10, 11, 12, 13, 14, 15]
    sender.send(buffer, 0, 9)
    await trio.sleep(0.001)
    got = numbers(receiver.receive())
    assert [n for n in got if n < 10] == [0, 2]
    assert [n for n in got if n >= 10] == [10, 12, 13, 15, 14]
