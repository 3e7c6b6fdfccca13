"""Packets that io_uring sends at their time, through real sockets on the loopback interface."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("io_uring is Linux's", allow_module_level=True)

from phasegraph import SystemLocalClock
from phasegraph.net import Receiver, SystemNetwork
from phasegraph.net.batched import timed_ring
from phasegraph.net.batched.linux_sockets import LinuxSendBuffer, LinuxSender

pytestmark = pytest.mark.realtime

MS = 1_000_000
LOCAL = SystemLocalClock()
NETWORK = SystemNetwork(LOCAL)


@pytest.fixture
def sender(sender: LinuxSender) -> LinuxSender:
    if reason := sender.schedule(by_ring=True):
        pytest.skip(reason)
    return sender


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = NETWORK.receiver(0, address="127.0.0.1")
    yield made
    made.close()


def rows_to(sender: LinuxSender, receiver: Receiver, rows: int, streams: int = 1) -> LinuxSendBuffer:
    """Rows that are due from 20 ms on, ``streams`` of them together every millisecond."""
    port = receiver.socket.getsockname()[1]  # type: ignore[attr-defined]
    buffer = sender.buffer(rows, 100, [("127.0.0.1", port)] * rows)
    buffer.data[:, :4] = np.arange(rows, dtype="<u4").view(np.uint8).reshape(rows, 4)
    buffer.length[:] = 20
    buffer.departure_ns[:] = LOCAL.now_ns() + 20 * MS + np.arange(rows) // streams * MS
    return buffer


def arrivals(receiver: Receiver, count: int) -> list[tuple[int, int]]:
    """The row and the arrival of each packet, until ``count`` are there or no more come."""
    found: list[tuple[int, int]] = []
    for _ in range(300):
        batch = receiver.receive()
        numbers = batch.data[: batch.count, :4].copy().view("<u4")[:, 0]
        found += zip(numbers.tolist(), batch.arrival_ns[: batch.count].tolist(), strict=True)
        if len(found) >= count:
            break
        time.sleep(0.01)
    return found


def assert_all_in_order(found: list[int], rows: int, streams: int) -> None:
    """Each is there once, and those of a stream are in order. After a stall, streams may leave in another order."""
    assert sorted(found) == list(range(rows))
    for stream in range(streams):
        assert [row for row in found if row % streams == stream] == list(range(stream, rows, streams))


@pytest.mark.parametrize(("rows", "streams"), [(1, 1), (28, 1), (48, 16)])
def test_each_row_leaves_at_its_time(sender: LinuxSender, receiver: Receiver, rows: int, streams: int) -> None:
    buffer = rows_to(sender, receiver, rows, streams)
    assert sender.send(buffer, 0, rows) == ()
    found = arrivals(receiver, rows)
    assert_all_in_order([row for row, _ in found], rows, streams)
    assert all(arrival >= buffer.departure_ns[row] - MS // 2 for row, arrival in found), "none is early"


def test_a_row_whose_time_has_passed_leaves_at_once(sender: LinuxSender, receiver: Receiver) -> None:
    buffer = rows_to(sender, receiver, 3)
    buffer.departure_ns[:] -= 1000 * MS
    sender.send(buffer, 1, 2)
    assert [row for row, _ in arrivals(receiver, 2)] == [1, 2]


def test_the_queue_of_entries_wraps(sender: LinuxSender, receiver: Receiver) -> None:
    buffer = rows_to(sender, receiver, 60, 3)
    buffer.departure_ns[:] = np.repeat(LOCAL.now_ns() + np.arange(20) * MS // 10, 3)
    for _ in range(20):
        assert sender.send(buffer, 0, 60) == ()
        assert_all_in_order([row for row, _ in arrivals(receiver, 60)], 60, 3)


def test_what_the_system_refuses_is_returned_by_a_later_call(sender: LinuxSender, receiver: Receiver) -> None:
    good, bad = rows_to(sender, receiver, 2), sender.buffer(2, 100, [("255.255.255.255", 9)] * 2)
    bad.length[:] = 20
    bad.departure_ns[:] = LOCAL.now_ns() + 50 * MS + np.arange(2) * MS
    good.departure_ns[:] = LOCAL.now_ns() + 60 * MS
    assert sender.send(bad, 0, 2) == ()
    assert sender.send(good, 0, 2) == ()
    assert len(arrivals(receiver, 2)) == 2
    good.departure_ns[:] = bad.departure_ns[:] = LOCAL.now_ns() + 1000 * MS
    assert sender.send(good, 0, 1) == (), "another buffer's rows"
    assert list(sender.send(bad, 0, 1)) == [0, 1]
    assert sender.refusal_errno == errno.EACCES


def test_a_full_socket_refuses_a_row_and_does_not_send_it_later() -> None:
    full, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with full, other:
        full.setblocking(False)
        other.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                full.send(b"before")
        buffer = LinuxSendBuffer(4, 100, [("127.0.0.1", 9)] * 4)
        buffer.length[:] = 20
        buffer.headers["name"] = buffer.headers["namelen"] = 0
        try:
            ring = timed_ring.TimedRing(full.fileno())
        except OSError as error:
            pytest.skip(str(error))
        assert ring.send(buffer.timed_rows(1), 0, np.full(4, time.monotonic_ns())) == 4
        time.sleep(0.05)
        assert ring.refused() == [(buffer.tag, row, errno.EAGAIN) for row in range(4)]
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(other.recv(100))
        time.sleep(0.02)
        with suppress(BlockingIOError):
            found.append(other.recv(100))
        assert set(found) == {b"before"}
        ring.close()


def test_more_refusals_than_the_queue_of_completions_holds_are_all_returned(sender: LinuxSender) -> None:
    rows = 2600
    bad = sender.buffer(rows, 100, [("255.255.255.255", 9)] * rows)
    bad.length[:] = 20
    bad.departure_ns[:] = LOCAL.now_ns() + 5 * MS + np.arange(rows) // 100 * MS // 10
    refused = list(sender.send(bad, 0, rows))
    for _ in range(3):
        time.sleep(0.05)
        bad.departure_ns[:100] = LOCAL.now_ns() + MS
        refused += sender.send(bad, 0, 100)
    time.sleep(0.05)
    for _ in range(3):
        refused += sender.send(bad, 0, 0)
    assert sorted(refused) == sorted([*range(rows), *[*range(100)] * 3])


def test_what_the_ring_does_not_take_is_refused_with_its_reason(sender: LinuxSender, receiver: Receiver) -> None:
    buffer = rows_to(sender, receiver, 4)
    ring = sender._ring
    assert ring is not None
    descriptor, ring._fd = ring._fd, sender.socket.fileno()
    assert list(sender.send(buffer, 0, 4)) == [0, 1, 2, 3]
    ring._fd = descriptor
    assert sender.refusal_errno == errno.EOPNOTSUPP


def test_what_a_closed_socket_refused_is_returned_by_the_next(sender: LinuxSender) -> None:
    following = NETWORK.sender(NETWORK.interface("127.0.0.1"), ttl=1, dscp=0)
    try:
        following.schedule(by_ring=True)
        bad = sender.buffer(2, 100, [("255.255.255.255", 9)] * 2)
        bad.length[:] = 20
        bad.departure_ns[:] = LOCAL.now_ns() + 20 * MS
        assert sender.send(bad, 0, 2) == ()
        time.sleep(0.05)
        sender.close()
        assert list(following.send(bad, 0, 0)) == [0, 1]
        assert following.refusal_errno == errno.EACCES
    finally:
        following.close()


def test_nothing_is_sent_after_the_socket_is_closed(sender: LinuxSender, receiver: Receiver) -> None:
    buffer = rows_to(sender, receiver, 5)
    buffer.departure_ns[:] += 50 * MS
    sender.send(buffer, 0, 5)
    sender.close()
    assert arrivals(receiver, 5) == []


@pytest.mark.parametrize(
    ("code", "reason"), [(errno.EPERM, "Operation not permitted"), (errno.EINVAL, "it is older than Linux 5.18")]
)
def test_a_system_that_forbids_it_is_named(monkeypatch: pytest.MonkeyPatch, code: int, reason: str) -> None:
    def forbid(number: int, *arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(timed_ring, "_call", forbid)
    made = NETWORK.sender(NETWORK.interface("127.0.0.1"), ttl=1, dscp=0)
    try:
        assert made.schedule(by_ring=True).startswith(f"the system permits no io_uring here ({reason}): it needs Linux")
    finally:
        made.close()
