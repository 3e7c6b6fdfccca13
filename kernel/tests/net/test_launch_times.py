"""Packets that leave at a time: what the system is told, through real sockets on the loopback interface."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("SO_TXTIME is Linux's", allow_module_level=True)

from phasegraph import SystemLocalClock
from phasegraph.net import SystemNetwork
from phasegraph.net.batched import linux_sockets as linux
from phasegraph.net.batched.linux_sockets import LinuxSendBuffer, LinuxSender
from phasegraph.net.batched.qdisc import Qdisc, read_qdiscs, why_not_scheduled

pytestmark = pytest.mark.realtime

MS = 1_000_000
LOCAL = SystemLocalClock()
NETWORK = SystemNetwork(LOCAL)


@pytest.fixture
def fq(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the loopback interface had the queue. Without it packets leave at once, whatever time they bear."""
    monkeypatch.setattr(linux, "read_qdiscs", lambda: [Qdisc(1, 0, 0xFFFFFFFF, "fq")])


def send(sender: LinuxSender, ahead_ns: int) -> tuple[list[int], list[bytes], LinuxSendBuffer]:
    """Send rows 1 to 3 of 4, a millisecond apart; which were refused, and what arrived."""
    receiver = NETWORK.receiver(0, address="127.0.0.1")
    try:
        port = receiver.socket.getsockname()[1]  # type: ignore[attr-defined]
        buffer = sender.buffer(4, 100, [("127.0.0.1", port)] * 4)
        buffer.data[:] = np.arange(4)[:, None]
        buffer.length[:] = 20
        buffer.departure_ns[:] = LOCAL.now_ns() + ahead_ns + np.arange(4) * MS
        refused = list(sender.send(buffer, 1, 3))
        got: list[bytes] = []
        for _ in range(200):
            batch = receiver.receive()
            got += [batch.data[row, :20].tobytes() for row in range(batch.count)]
            if len(got) >= 3:
                break
            time.sleep(0.01)
        return refused, got, buffer
    finally:
        receiver.close()


@pytest.mark.usefixtures("fq")
@pytest.mark.parametrize("ahead_ns", [-1000 * MS, 0, 20 * MS])
def test_the_system_takes_the_times(sender: LinuxSender, ahead_ns: int) -> None:
    # It refuses control messages that it does not understand, and times on a socket that was not made for them.
    assert sender.schedule() == ""
    assert sender.schedule() == ""
    before = time.monotonic_ns() - LOCAL.now_ns()
    refused, got, buffer = send(sender, ahead_ns)
    after = time.monotonic_ns() - LOCAL.now_ns()
    assert refused == []
    assert got == [bytes([row]) * 20 for row in (1, 2, 3)]
    told = buffer.control["ns"][1:].astype(np.int64) - buffer.departure_ns[1:]
    assert (told >= min(before, after) - MS).all()
    assert (told <= max(before, after) + MS).all()
    assert buffer.control["ns"][0] == 0


def test_a_time_is_refused_by_a_socket_that_was_not_made_for_it(sender: LinuxSender) -> None:
    # What the test above can fail by.
    sender._scheduled = True
    refused, got, _ = send(sender, 0)
    assert (refused, got) == ([1, 2, 3], [])


def test_without_the_queue_nothing_is_told(sender: LinuxSender) -> None:
    reason = why_not_scheduled(read_qdiscs(), 1, "lo")
    assert sender.schedule() == reason
    refused, got, buffer = send(sender, 20 * MS)
    assert refused == []
    assert len(got) == 3
    assert bool(buffer.control["ns"].any()) == (reason == "")


@pytest.mark.usefixtures("fq")
def test_there_is_more_room_for_what_is_held(sender: LinuxSender) -> None:
    before = sender.room
    sender.schedule()
    assert sender.room >= before > 10


def test_an_unknown_interface_has_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = LinuxSender(LOCAL, NETWORK.interface("127.0.0.1"), 1, 0)
    try:
        monkeypatch.setattr(sender, "_interface", type(sender._interface)("", 0, "127.0.0.9"))
        assert sender.schedule() == "it is not known which interface has 127.0.0.9: name it"
    finally:
        sender.close()


@pytest.mark.parametrize("error", [PermissionError(1, "not permitted"), TimeoutError("not permitted")])
def test_a_system_that_does_not_say(sender: LinuxSender, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse() -> list[Qdisc]:
        raise error

    monkeypatch.setattr(linux, "read_qdiscs", refuse)
    assert sender.schedule() == "the system does not hold packets: not permitted"


def test_plain_sockets_do_not_hold() -> None:
    network = SystemNetwork(LOCAL, batched=False)
    sender = network.sender(network.interface("127.0.0.1"), ttl=1, dscp=0)
    assert "only Linux" in sender.schedule()
    sender.close()
