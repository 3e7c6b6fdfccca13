"""The same packets through real sockets, batched and plain."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from phasegraph import SystemLocalClock
from phasegraph.net import Interface, PacketBatch, Receiver, SystemNetwork
from phasegraph.net.batched.packets import ipv4_number, ipv4_text
from phasegraph.net.interfaces import find_interface, interfaces

pytestmark = pytest.mark.realtime

GROUPS = ("239.69.77.1", "239.69.77.2")
BATCHED = [pytest.param(False, id="plain")]
if sys.platform == "linux":
    BATCHED.append(pytest.param(True, id="batched"))


def drain(receiver: Receiver, count: int) -> list[tuple[bytes, int, int, int]]:
    """(data, destination, arrival, length) of ``count`` packets, waiting for up to two seconds."""
    got = []
    for _ in range(200):
        batch: PacketBatch = receiver.receive()
        for row in range(batch.count):
            length = int(batch.length[row])
            data = batch.data[row, : max(length, 0)].tobytes()
            got.append((data, int(batch.destination[row]), int(batch.arrival_ns[row]), length))
        if len(got) >= count:
            break
        time.sleep(0.01)
    return got


@pytest.mark.parametrize("batched", BATCHED)
def test_multicast_over_loopback_without_routes(batched: bool) -> None:
    local = SystemLocalClock()
    network = SystemNetwork(local, batched=batched)
    loopback = network.interface("127.0.0.1")
    receiver = network.receiver(0)
    port = receiver.socket.getsockname()[1]  # type: ignore[attr-defined]
    sender = network.sender(loopback, ttl=1, dscp=34)
    try:
        for group in GROUPS:
            receiver.join(group, loopback)
        buffer = sender.buffer(4, 300, [(GROUPS[row % 2], port) for row in range(4)])
        for row in range(4):
            buffer.data[row, :] = row
            buffer.length[row] = 10 + row
        before = local.now_ns()
        assert not sender.send(buffer, 0, 3)
        assert not sender.send(buffer, 3, 1)
        got = drain(receiver, 4)
        after = local.now_ns()
        assert [data for data, *_ in got] == [bytes([row]) * (10 + row) for row in range(4)]
        assert [ipv4_text(to) for _, to, *_ in got] == [GROUPS[row % 2] for row in range(4)]
        assert all(before - 1000 <= at <= after + 1000 for _, _, at, _ in got)
        assert receiver.dropped() == 0
        receiver.leave(GROUPS[0], loopback)
        sender.send(buffer, 0, 2)
        assert [ipv4_text(to) for _, to, *_ in drain(receiver, 1)] == [GROUPS[1]]
    finally:
        receiver.close()
        sender.close()


class Stepped(SystemLocalClock):
    """A machine whose time of day somebody sets."""

    by_ns = 0

    def realtime_offset_ns(self) -> int:
        return super().realtime_offset_ns() + self.by_ns


@pytest.mark.parametrize("batched", BATCHED)
@pytest.mark.parametrize("step_ns", [500_000_000, -500_000_000, 3_600_000_000_000])
def test_a_step_of_the_time_of_day_spoils_no_arrival(batched: bool, step_ns: int) -> None:
    local = Stepped()
    network = SystemNetwork(local, batched=batched)
    receiver = network.receiver(0, address="127.0.0.1")
    port = receiver.socket.getsockname()[1]  # type: ignore[attr-defined]
    sender = network.sender(network.interface("127.0.0.1"), ttl=1, dscp=0)
    try:
        buffer = sender.buffer(1, 100, [("127.0.0.1", port)])
        buffer.length[:] = 20
        for by_ns in (0, step_ns, 0, 0):  # set between stamp and reading, and set back
            before = local.now_ns()
            sender.send(buffer, 0, 1)
            local.by_ns = by_ns
            (packet,) = drain(receiver, 1)
            assert before - 50_000 <= packet[2] <= local.now_ns() + 50_000
    finally:
        receiver.close()
        sender.close()


@pytest.mark.parametrize("batched", BATCHED)
def test_a_datagram_that_is_too_long_is_marked_and_the_next_is_whole(batched: bool) -> None:
    network = SystemNetwork(SystemLocalClock(), batched=batched)
    receiver = network.receiver(0, address="127.0.0.1", packet_bytes=100)
    port = receiver.socket.getsockname()[1]  # type: ignore[attr-defined]
    sender = network.sender(network.interface("127.0.0.1"), ttl=1, dscp=0)
    try:
        buffer = sender.buffer(2, 200, [("127.0.0.1", port)] * 2)
        buffer.length[:] = [150, 60]
        sender.send(buffer, 0, 2)
        assert [length for *_, length in drain(receiver, 2)] == [-1, 60]
    finally:
        receiver.close()
        sender.close()


@pytest.mark.parametrize("batched", BATCHED)
def test_a_row_that_cannot_be_sent_does_not_hold_up_the_others(batched: bool) -> None:
    network = SystemNetwork(SystemLocalClock(), batched=batched)
    receiver = network.receiver(0, address="127.0.0.1")
    port = receiver.socket.getsockname()[1]  # type: ignore[attr-defined]
    sender = network.sender(network.interface("127.0.0.1"), ttl=1, dscp=0)
    try:
        buffer = sender.buffer(3, 100, [("127.0.0.1", port), ("127.0.0.1", 0), ("127.0.0.1", port)])
        buffer.length[:] = 20
        assert list(sender.send(buffer, 0, 3)) == [1]
        assert len(drain(receiver, 2)) == 2
    finally:
        receiver.close()
        sender.close()


def test_interfaces_are_found_by_name_and_address() -> None:
    network = SystemNetwork(SystemLocalClock())
    by_address = network.interface("127.0.0.1")
    assert network.interface(by_address.name) == by_address
    assert network.interface("127.0.0.5").index == by_address.index
    with pytest.raises(OSError, match="there are: .*127"):
        network.interface("nonsense0")


@pytest.mark.skipif(sys.platform != "linux", reason="addresses of both families are read from Linux's tables")
def test_interfaces_have_what_ptp_identities_are_made_of() -> None:
    found = interfaces()
    assert [interface.mac for interface in found if interface.name == "lo"] == [b""]
    for interface in found:
        assert len(interface.mac) in (0, 6)
        mac = Path(f"/sys/class/net/{interface.name}/address").read_text().strip()
        assert interface.mac.hex(":") in ("", mac)
        if interface.address6:
            assert find_interface(interface.name, ipv6=True) == interface
            assert find_interface(interface.address6, ipv6=True) == interface
            assert "%" not in interface.address6


def test_an_interface_with_ipv6_alone_is_found_where_ipv6_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [
        Interface("eth0", 2, "10.0.0.1", "fe80::1"),
        Interface("eth1", 3, "", "fe80::2"),
        Interface("x", 4, "10.0.1.1"),
    ]
    monkeypatch.setattr("phasegraph.net.interfaces.interfaces", lambda: there)
    assert find_interface("eth1", ipv6=True) == there[1]
    assert find_interface("10.0.0.1", ipv6=True) == there[0]
    with pytest.raises(OSError, match=r"'eth1'; there are: eth0 \(10.0.0.1\), x \(10.0.1.1\)$"):
        find_interface("eth1")
    with pytest.raises(OSError, match=r"'x' with a link-local IPv6 address; there are: eth0 \(fe80::1\), eth1"):
        find_interface("x", ipv6=True)


def test_without_a_name_it_is_the_only_one_that_leads_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [Interface("lo", 1, "127.0.0.1", "::1"), Interface("eth0", 2, "10.0.0.1"), Interface("x", 3, "", "fe80::2")]
    monkeypatch.setattr("phasegraph.net.interfaces.interfaces", lambda: there)
    assert find_interface("") == there[1]
    assert find_interface("", ipv6=True) == there[2]
    there.append(Interface("y", 4, "10.0.1.1"))
    with pytest.raises(OSError, match=r"^name the network interface; there are: lo \(127.0.0.1\), eth0 .*, y"):
        find_interface("")


def test_addresses() -> None:
    assert ipv4_number("239.69.0.1") == 0xEF450001
    assert ipv4_text(0xEF450001) == "239.69.0.1"
    assert np.iinfo(np.int64).max > ipv4_number("255.255.255.255")
