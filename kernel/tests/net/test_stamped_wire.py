"""Stamped sockets at the two ends of a virtual cable, in a network namespace that this process enters."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from phasegraph import StampKind, SystemLocalClock
from phasegraph.net import Arrival, Departure, StampedSocket, SystemNetwork

pytestmark = pytest.mark.realtime

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
IGMP, ICMPV6 = 2, 58
NETWORK = SystemNetwork(SystemLocalClock())
FAMILIES = pytest.mark.parametrize("ipv6", [pytest.param(False, id="ipv4"), pytest.param(True, id="ipv6")])
GROUP = {False: "224.0.1.129", True: "ff02::6b"}
SETTINGS = {
    "ipv4/accept_local": 1,  # both ends are this machine's own addresses
    "ipv4/rp_filter": 0,
    "ipv6/addr_gen_mode": 1,
    "ipv4/igmpv3_unsolicited_report_interval": 10,
    "ipv6/mldv2_unsolicited_report_interval": 10,
}


def ip(lines: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)


@pytest.fixture
def cable() -> Iterator[None]:
    """Interfaces ``left`` (10.77.0.1, fe80::1) and ``right`` (10.77.0.2, fe80::2)."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("making interfaces needs Linux, root and the ip command")
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET) != 0:
        pytest.skip(f"no network namespace can be made here: {os.strerror(ctypes.get_errno())}")
    try:
        ip("link add left address 02:00:00:00:00:01 type veth peer name right address 02:00:00:00:00:02\n")
        for number, name in enumerate(("left", "right"), 1):
            for setting, value in SETTINGS.items():
                family, _, rest = setting.partition("/")
                Path(f"/proc/sys/net/{family}/conf/{name}/{rest}").write_text(str(value))
            ip(f"addr add 10.77.0.{number}/24 dev {name}\nlink set {name} up\n")
            ip(f"addr add fe80::{number}/64 dev {name} nodad\n")
        yield
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)


async def take(stamped: StampedSocket, count: int) -> list[Arrival | Departure]:
    got: list[Arrival | Departure] = []
    with trio.fail_after(20):
        while len(got) < count:
            got += await stamped.receive()
    return got


@FAMILIES
async def test_each_interface_has_sockets_of_its_own(cable: None, ipv6: bool) -> None:
    left, right = (NETWORK.interface(name, ipv6=ipv6) for name in ("left", "right"))
    assert (left.address6, left.mac) == ("fe80::1", bytes.fromhex("020000000001"))
    near, far = (NETWORK.stamped(319, interface, ipv6=ipv6, ttl=1, dscp=46) for interface in (left, right))
    try:
        assert not near.notes
        far.join(GROUP[ipv6])
        for _ in range(100):  # arrivals are stamped a moment after the first socket has asked for it
            near.send(b"sync", (GROUP[ipv6], 319), 1)
            (departure,), (arrival,) = await take(near, 1), await take(far, 1)
            if arrival.stamp is StampKind.KERNEL:
                break
            await trio.sleep(0.005)
        assert isinstance(arrival, Arrival)
        assert (departure.stamp, arrival.stamp) == (StampKind.KERNEL, StampKind.KERNEL)
        assert 0 <= arrival.local_ns - departure.local_ns + 20_000 < 1_000_000_000
        assert arrival.destination == GROUP[ipv6]
        assert arrival.source == (left.address6 if ipv6 else left.address, 319)
        far.send(b"answer", arrival.source, 2)
        assert [type(item) for item in await take(far, 1)] == [Departure]
        if ipv6:  # link-local, so over the cable although both ends are here
            answer = (await take(near, 1))[0]
            assert isinstance(answer, Arrival)
            assert (answer.data, answer.source, answer.destination) == (b"answer", ("fe80::2", 319), "fe80::1")
    finally:
        near.close()
        far.close()


@FAMILIES
async def test_to_join_again_tells_the_switch_again(cable: None, ipv6: bool) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as switch:
        switch.bind(("right", ETH_P_ALL))
        switch.settimeout(0.2)  # reports are repeated within 10 ms
        one = NETWORK.stamped(319, NETWORK.interface("left", ipv6=ipv6), ipv6=ipv6)

        def reports() -> int:
            # Membership reports that name the group.
            count = 0
            wanted = socket.inet_pton(socket.AF_INET6 if ipv6 else socket.AF_INET, GROUP[ipv6])
            protocol = (6, 0) if ipv6 else (9, IGMP)
            try:
                while True:
                    packet = switch.recv(2000)
                    count += packet[protocol[0]] == protocol[1] and wanted in packet[20:]
            except TimeoutError:
                return count

        try:
            one.join(GROUP[ipv6])
            assert reports() > 0
            while reports():
                pass
            one.join(GROUP[ipv6])
            assert reports() > 0
        finally:
            one.close()
