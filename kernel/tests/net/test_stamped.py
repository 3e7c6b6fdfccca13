"""Stamped sockets of this machine, over its loopback."""

from __future__ import annotations

import errno
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
import trio.testing

from phasegraph import StampKind, SystemLocalClock
from phasegraph.net import Arrival, Departure, Interface, PortUnavailable, StampedSocket, SystemNetwork
from phasegraph.net.ports import port_unavailable
from phasegraph.net.stamped.plain_stamper import PlainStamper
from phasegraph.net.stamped.system_stamped_socket import SystemStampedSocket
from phasegraph.net.stamped.udp_socket import UdpSocket

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(sys.platform != "linux", reason="the loopback is found by name on Linux only"),
]
GROUP = "224.0.1.129"
LOCAL = SystemLocalClock()
NETWORK = SystemNetwork(LOCAL)
FAMILIES = pytest.mark.parametrize("ipv6", [pytest.param(False, id="ipv4"), pytest.param(True, id="ipv6")])


def loopback(ipv6: bool = False) -> Interface:
    try:
        return NETWORK.interface("lo", ipv6=ipv6)
    except OSError as error:
        pytest.skip(str(error))


@asynccontextmanager
async def sockets(*opened: StampedSocket) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for one in opened:
            one.close()


async def take(stamped: StampedSocket, count: int) -> list[Arrival | Departure]:
    got: list[Arrival | Departure] = []
    with trio.fail_after(20):
        while len(got) < count:
            got += await stamped.receive()
    return got


async def wait_for_stamps(stamped: StampedSocket, to: tuple[str, int]) -> None:
    # The system begins to stamp arrivals a moment after the first socket has asked for it.
    for _ in range(200):
        stamped.send(b"?", to)
        (arrival,) = await take(stamped, 1)
        if arrival.stamp is StampKind.KERNEL:
            return
        await trio.sleep(0.005)
    pytest.fail("no kernel stamp came")


def departures(items: Sequence[Arrival | Departure]) -> list[Departure]:
    return [item for item in items if isinstance(item, Departure)]


def arrivals(items: Sequence[Arrival | Departure]) -> list[Arrival]:
    return [item for item in items if isinstance(item, Arrival)]


@FAMILIES
async def test_the_kernel_stamps_both_ways(ipv6: bool) -> None:
    interface = loopback(ipv6)
    one = NETWORK.stamped(0, interface, ipv6=ipv6, dscp=46)
    address = interface.address6 if ipv6 else interface.address
    async with sockets(one):
        assert (one.stamps, list(one.notes)) == (StampKind.KERNEL, [])
        await wait_for_stamps(one, (address, one.port))
        before = LOCAL.now_ns()
        one.send(b"hello", (address, one.port), 7)
        departure, arrival = await take(one, 2)
        after = LOCAL.now_ns()
        assert isinstance(departure, Departure)
        assert isinstance(arrival, Arrival)
        assert (departure.token, departure.stamp, arrival.stamp) == (7, StampKind.KERNEL, StampKind.KERNEL)
        assert (arrival.data, arrival.source, arrival.destination) == (b"hello", (address, one.port), address)
        assert before - 100_000 <= departure.local_ns <= arrival.local_ns + 20_000 <= after + 100_000


async def test_a_thousand_sends_each_get_their_own_stamp() -> None:
    one = NETWORK.stamped(0, loopback())
    reads = []
    async with sockets(one):
        got: list[Arrival | Departure] = []
        for token in range(1000):
            before = LOCAL.now_ns()
            one.send(b"%d" % token, ("127.0.0.1", one.port), token if token % 4 else None)
            reads.append((before, LOCAL.now_ns()))
            if token % 100 == 99:
                got += await take(one, 175)
        assert [int(arrival.data) for arrival in arrivals(got)] == list(range(1000))
        went = departures(got)
        assert [departure.token for departure in went] == [token for token in range(1000) if token % 4]
        assert {departure.stamp for departure in went} == {StampKind.KERNEL}
        for departure in went:  # a number that is off by one would lie in another packet's bracket
            before, after = reads[departure.token]
            assert before - 50_000 <= departure.local_ns <= after + 50_000
        assert one.counts.transmit_stamps_missing == 0


async def test_a_send_that_fails_does_not_shift_the_stamps() -> None:
    one = NETWORK.stamped(0, loopback())
    async with sockets(one):
        for token in range(4):
            with pytest.raises(OSError, match="too long"):
                one.send(bytes(70_000), ("127.0.0.1", one.port), 99)
            before = LOCAL.now_ns()
            one.send(b"x", ("127.0.0.1", one.port), token)
            (departure,) = departures(await take(one, 2))
            assert (departure.token, departure.stamp) == (token, StampKind.KERNEL)
            assert departure.local_ns >= before - 20_000


async def test_two_sockets_on_a_port_both_hear_a_group() -> None:
    one = NETWORK.stamped(0, loopback())
    two = NETWORK.stamped(one.port, loopback())
    other = NETWORK.stamped(one.port, loopback())
    async with sockets(one, two, other):
        for listener in (one, two):
            listener.join(GROUP)
            listener.join(GROUP)  # tells switches again
        other.join("224.0.0.107")
        one.send(b"sync", (GROUP, one.port))
        for listener in (one, two):
            (arrival,) = await take(listener, 1)
            assert (arrival.data, arrival.destination) == (b"sync", GROUP)
        two.leave(GROUP)
        one.send(b"again", (GROUP, one.port))
        one.send(b"peer", ("224.0.0.107", one.port))
        assert (await take(one, 1))[0].data == b"again"
        assert (await take(other, 1))[0].data == b"peer"
        with trio.move_on_after(0.05):
            pytest.fail(f"heard {await two.receive()}")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry per time that somebody began to wait for a socket."""
    begun: list[object] = []
    real = trio.lowlevel.wait_readable

    async def counted(one: object) -> None:
        begun.append(one)
        await real(one)  # type: ignore[arg-type]

    monkeypatch.setattr(trio.lowlevel, "wait_readable", counted)
    return begun


async def test_an_idle_socket_wakes_no_task(waits: list[object]) -> None:
    one = NETWORK.stamped(0, loopback())

    async def read() -> None:
        while True:
            got.extend(await one.receive())

    got: list[Arrival | Departure] = []
    async with sockets(one), trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for token in range(20):
            one.send(b"x", ("127.0.0.1", one.port), token)
            await trio.sleep(0.002)
        while len(got) < 40:
            await trio.sleep(0.01)
        del waits[:]
        await trio.sleep(0.2)  # an error queue that is not empty would wake it thousands of times
        assert len(waits) <= 1
        nursery.cancel_scope.cancel()


class Silent(PlainStamper):
    """A driver without transmit stamps."""

    stamps = StampKind.KERNEL  # type: ignore[assignment]

    def send(self, data: bytes, address: object) -> int:  # type: ignore[override]
        super().send(data, address)  # type: ignore[arg-type]
        return 1


async def test_a_missing_transmit_stamp_is_replaced_even_for_one_who_waits_already() -> None:
    udp = UdpSocket(0, loopback(), ipv6=False, ttl=1, dscp=0)
    one = SystemStampedSocket(udp, LOCAL, Silent(udp, LOCAL))
    async with sockets(one), trio.open_nursery() as nursery:
        got: list[Arrival | Departure] = []

        async def read() -> None:
            got.extend(await take(one, 1))

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        before = LOCAL.now_ns()
        one.send(b"x", ("127.0.0.1", 9), 5)
        after = LOCAL.now_ns()
        with trio.fail_after(20):
            while not got:
                await trio.sleep(0.01)
        (departure,) = departures(got)
        assert (departure.token, departure.stamp) == (5, StampKind.USER)
        assert before <= departure.local_ns <= after
        assert one.counts.transmit_stamps_missing == 1


async def test_a_multicast_s_own_copy_tells_when_it_went_if_the_driver_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("phasegraph.net.stamped.linux_stamper._TX_SOFTWARE", 0)
    one = NETWORK.stamped(0, loopback())
    async with sockets(one):
        one.join(GROUP)
        await wait_for_stamps(one, (GROUP, one.port))
        one.send(b"sync", (GROUP, one.port), 1)
        arrival, departure = await take(one, 2)
        assert departure == Departure(1, arrival.local_ns, StampKind.USER)
        assert one.counts.transmit_stamps_missing == 1


async def test_user_stamps_work_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phasegraph.net.stamped.linux_stamper._SO_TIMESTAMPING", 12345)
    one = NETWORK.stamped(0, loopback(), hardware=True)
    async with sockets(one):
        assert one.stamps is StampKind.USER
        assert [note.partition(":")[0] for note in one.notes] == [
            "lo does not stamp packets itself",
            "the system does not stamp packets",
        ]
        before = LOCAL.now_ns()
        one.send(b"x", ("127.0.0.1", one.port), 3)
        departure, arrival = await take(one, 2)
        assert isinstance(departure, Departure)
        assert {departure.stamp, arrival.stamp} == {StampKind.USER}
        assert before <= departure.local_ns <= arrival.local_ns <= LOCAL.now_ns()
        assert (one.counts.transmit_stamps_missing, one.counts.receive_stamps_missing) == (0, 0)


class Stepped(SystemLocalClock):
    """A machine whose time of day somebody sets."""

    by_ns = 0

    def realtime_offset_ns(self) -> int:
        return super().realtime_offset_ns() + self.by_ns


async def test_a_step_of_the_time_of_day_spoils_no_stamp() -> None:
    local = Stepped()
    one = SystemNetwork(local).stamped(0, loopback())
    async with sockets(one):
        to = ("127.0.0.1", one.port)
        await wait_for_stamps(one, to)
        missing = one.counts.receive_stamps_missing
        before = local.now_ns()
        one.send(b"x", to, 1)
        local.by_ns = 3_000_000_000
        departure, arrival = await take(one, 2)
        assert {departure.stamp, arrival.stamp} == {StampKind.USER}
        assert before <= departure.local_ns <= arrival.local_ns <= local.now_ns()
        counts = one.counts
        assert (counts.clock_steps, counts.transmit_stamps_missing) == (1, 1)
        assert counts.receive_stamps_missing == missing + 1
        local.by_ns = -60_000_000_000  # stamps would lie in the future, or be a minute old
        one.send(b"x", to, 2)
        assert {item.stamp for item in await take(one, 2)} == {StampKind.USER}
        one.send(b"x", to, 3)
        assert {item.stamp for item in await take(one, 2)} == {StampKind.USER}
        local.by_ns = 0
        one.send(b"x", to, 4)
        await take(one, 2)
        one.send(b"x", to, 5)
        assert {item.stamp for item in await take(one, 2)} == {StampKind.KERNEL}


async def test_a_long_datagram_is_counted_and_the_next_is_whole() -> None:
    one = NETWORK.stamped(0, loopback())
    async with sockets(one):
        one.send(bytes(3000), ("127.0.0.1", one.port))
        one.send(b"short", ("127.0.0.1", one.port))
        assert (await take(one, 1))[0].data == b"short"
        assert one.counts.too_long == 1


@pytest.mark.skipif(sys.platform != "linux", reason="what others make of the size that is asked for differs")
def test_a_socket_keeps_more_than_by_default_until_it_is_read() -> None:
    udp = UdpSocket(0, loopback(), ipv6=False, ttl=1, dscp=0)
    with udp.socket, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        size, usual = (each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for each in (udp.socket, plain))
    assert size > usual


async def test_what_came_by_another_interface_is_counted() -> None:
    # As on a system that does not let sockets be bound to a device.
    udp = UdpSocket(0, loopback(), ipv6=False, ttl=1, dscp=0)
    udp.interface = Interface("eth9", udp.interface.index + 40, "10.9.9.9")
    one = SystemStampedSocket(udp, LOCAL, PlainStamper(udp, LOCAL))
    async with sockets(one):
        one.send(b"x", ("127.0.0.1", one.port))
        with trio.move_on_after(0.05):
            pytest.fail(f"heard {await one.receive()}")
        assert one.counts.wrong_interface == 1


async def test_cancelling_and_closing_a_reader() -> None:
    one = NETWORK.stamped(0, loopback())
    with trio.move_on_after(0.01) as scope:
        await one.receive()
    assert scope.cancelled_caught
    one.send(b"kept", ("127.0.0.1", one.port))
    with trio.CancelScope() as scope:
        scope.cancel()
        await one.receive()
    assert (await take(one, 1))[0].data == b"kept"
    closed = trio.Event()

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await one.receive()
        closed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        one.close()
        one.close()
        await closed.wait()
    with pytest.raises(trio.ClosedResourceError):
        await one.receive()


HOLDER = """
import socket, sys
holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(sys.argv[1]))
holder.bind(("", 0))
print(holder.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def held(shared: bool) -> Iterator[tuple[int, str]]:
    """A port that another process holds, and what that process is called."""
    command = [sys.executable, "-c", HOLDER, str(int(shared))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        try:
            yield port, f"python.* \\(process {process.pid}\\)"
        finally:
            process.stdin.close()


def test_a_port_that_is_held_is_said_by_whom() -> None:
    with held(shared=False) as (port, holder), pytest.raises(PortUnavailable) as raised:
        NETWORK.stamped(port, loopback())
    assert re.fullmatch(f"UDP port {port} is held by {holder}", str(raised.value))
    assert (raised.value.errno, raised.value.remedy) == (errno.EADDRINUSE, "stop the program that holds it")


def test_a_port_that_is_shared_is_noted() -> None:
    with held(shared=True) as (port, holder):
        one = NETWORK.stamped(port, loopback())
        one.close()
    (note,) = one.notes
    assert re.match(f"UDP port {port} is shared with {holder}: unicast", note)


def test_a_port_that_is_forbidden_names_the_capability() -> None:
    error = port_unavailable(PermissionError(errno.EACCES, "Permission denied"), 319)
    assert isinstance(error, PortUnavailable)
    assert str(error) == "opening UDP port 319 needs a privilege"
    assert "CAP_NET_BIND_SERVICE" in error.remedy
    assert "ip_unprivileged_port_start=319" in error.remedy
    other = OSError(errno.EADDRNOTAVAIL, "no")
    assert port_unavailable(other, 319) is other


def test_an_interface_without_the_family_is_refused() -> None:
    with pytest.raises(OSError, match="does not have a link-local IPv6 address"):
        NETWORK.stamped(0, Interface("eth9", 9, "10.9.9.9"), ipv6=True)


UNICAST_HOLDER = """
import socket, sys
holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
holder.bind((sys.argv[1], 0))
print(holder.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say who holds a port")
@pytest.mark.parametrize(("bound", "refused"), [("127.0.0.1", True), ("127.0.0.2", False), ("", False)])
def test_a_unicast_address_that_another_program_receives_is_refused(bound: str, refused: bool) -> None:
    # Both may bind it with SO_REUSEADDR, and then one of them receives nothing, without an error.
    command = [sys.executable, "-c", UNICAST_HOLDER, bound]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        try:
            if refused:
                with pytest.raises(PortUnavailable, match=f"UDP port {port} is held by python.*process {process.pid}"):
                    NETWORK.receiver(port, address="127.0.0.1")
            else:
                NETWORK.receiver(port, address="127.0.0.1").close()
            NETWORK.receiver(port).close()
        finally:
            process.stdin.close()
