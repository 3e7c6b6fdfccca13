"""Which streams are sent together, and how they come in beside a running data plane."""

from __future__ import annotations

import errno
import sys
import threading
from functools import partial
from itertools import pairwise
from random import Random
from types import SimpleNamespace

import pytest

from phasegraph import NodeError
from phasegraph.net import Interface, SendBuffer
from phasegraph_aes67.parameters import StreamParameters
from phasegraph_aes67.send import send_sockets
from phasegraph_aes67.send.paced_stream import PacedStream
from phasegraph_aes67.send.packetiser import Packetiser
from phasegraph_aes67.send.send_sockets import GATHER_NS, QDISC_CHECK_NS, SendSockets

MS = 1_000_000
ETH0 = Interface("eth0", 2, "10.0.0.1")
ETH1 = Interface("eth1", 3, "10.0.1.1")


class Setup:
    def __init__(self, rig, make_input):
        self.rig = rig()
        self.time = self.rig.time
        self.make_input = make_input
        self.senders = []
        self.refuse = None
        self.make_sender = lambda interface: self.rig.sender
        self.events = []
        self.steps = 0
        self.following = self.time.ns
        context = SimpleNamespace(network=self, local=self.time, attach=lambda step: None, event=self.event)
        self.sockets = SendSockets(context)

    def sender(self, interface, *, ttl, dscp):
        if self.refuse is not None:
            raise self.refuse
        self.senders.append((interface, ttl, dscp))
        return self.make_sender(interface)

    def event(self, name, **fields):
        self.events.append((name, fields))

    def stream(self, number=0, *, rate=48_000, frames=48, length=None, follows=True, legs=1):
        parameters = StreamParameters(address="239.1.1.1", rate=rate, channels=1, frames_per_packet=frames)
        source = self.make_input(length, follows=follows)
        return PacedStream(Packetiser(parameters, number), source, *[("239.1.1.1", number)] * legs)

    def add(self, stream, **how):
        fields = {"clock": self.time, "lead_ns": MS, "interfaces": (ETH0,), "ttl": 32, "dscp": 34, **how}
        self.sockets.add(stream, **fields)
        return stream

    def run(self, duration_ns):
        self.following = self.time.ns
        self.run_on(duration_ns)

    def run_on(self, duration_ns):
        """As `run`, where the step is not called before it is due."""
        until = self.time.ns + duration_ns
        while self.following <= until:
            self.time.ns = self.following
            self.following = max(self.sockets.step(self.time.ns), self.time.ns + 1)
            self.steps += 1
        self.time.ns = until


@pytest.fixture
def setup(rig, make_input):
    return Setup(rig, make_input)


def test_streams_that_begin_together_are_one_group(setup):
    streams = [setup.add(setup.stream(n)) for n in range(5)]
    setup.run(GATHER_NS - MS)
    streams.append(setup.add(setup.stream(5)))
    setup.run(100 * MS)
    (group,) = {stream.group for stream in streams}
    assert group.streams == tuple(streams)
    sent = setup.rig.sender.of(5)
    assert len(sent) > 60
    assert [packet.at_ns for packet in sent] == [packet.at_ns for packet in setup.rig.sender.of(0)]
    assert len(setup.senders) == 1


def test_one_that_comes_later_has_its_own_group_in_step(setup):
    first = setup.add(setup.stream(0))
    setup.run(200 * MS)
    later = setup.add(setup.stream(1))
    setup.run(200 * MS)
    assert first.group is not later.group
    at = {packet.timestamp: packet for packet in setup.rig.sender.of(0)}
    for packet in setup.rig.sender.of(1):
        assert at[packet.timestamp].at_ns == packet.at_ns
        assert at[packet.timestamp].sequence == packet.sequence


@pytest.mark.parametrize(
    ("fields", "how"),
    [
        ({"rate": 96_000}, {}),
        ({"frames": 6}, {}),
        ({}, {"lead_ns": 2 * MS}),
        ({}, {"interfaces": (ETH1,)}),
        ({}, {"ttl": 1}),
        ({}, {"dscp": 46}),
        ({}, {"clock": SimpleNamespace()}),
    ],
)
def test_what_keeps_streams_apart(setup, fields, how):
    if "clock" in how:
        how = {"clock": SimpleNamespace(estimate=setup.time.estimate)}
    one, other = setup.add(setup.stream(0)), setup.add(setup.stream(1, **fields), **how)
    setup.run(100 * MS)
    assert one.group is not other.group
    assert one.packets_sent
    assert other.packets_sent


def test_before_and_after(setup):
    stream = setup.stream(length=480)
    assert stream.group is None
    setup.add(stream)
    assert stream.group is None
    setup.run(100 * MS)
    assert stream.done
    assert setup.sockets.step(setup.time.ns) == setup.time.ns + GATHER_NS, "it checks for more now and then"


@pytest.mark.parametrize("after_ns", [0, MS, 100 * MS])
def test_a_stream_that_is_removed(setup, after_ns):
    # Also before it has a group; the others are not disturbed.
    kept, removed = setup.add(setup.stream(0)), setup.add(setup.stream(1))
    setup.run(after_ns)
    setup.sockets.remove(removed)
    sent = removed.packets_sent
    assert len(setup.rig.sender.of(1)) == sent
    setup.run(100 * MS)
    assert kept.packets_sent >= 60
    assert removed.packets_sent == sent == len(setup.rig.sender.of(1))


def test_a_socket_that_cannot_be_had(setup):
    setup.refuse = OSError(errno.ENETDOWN, "Network is down")
    with pytest.raises(NodeError, match="cannot send through 10.0.0.1: Network is down"):
        setup.add(setup.stream())
    setup.refuse = None
    stream = setup.add(setup.stream())
    setup.run(50 * MS)
    assert stream.packets_sent


def test_streams_join_beside_a_running_data_plane(setup):
    # The control plane adds from its own thread: each stream ends in one group, exactly once.
    streams = [setup.stream(n, frames=48 + n % 3) for n in range(300)]
    errors = []

    def add_all():
        try:
            for stream in streams:
                setup.add(stream)
        except Exception as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        adding = threading.Thread(target=add_all)
        adding.start()
        while adding.is_alive():
            setup.time.ns += GATHER_NS
            setup.sockets.step(setup.time.ns)
        adding.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    setup.time.ns += GATHER_NS
    setup.sockets.step(setup.time.ns)
    grouped = [stream for group in setup.sockets._groups for stream in group.streams]
    assert sorted(map(id, grouped)) == sorted(map(id, streams))


class TestPacing:
    def test_without_the_queue_our_thread_paces_and_says_why(self, setup):
        setup.rig.sender.why_not_scheduled = "the queue of eth0 is pfifo"
        stream = setup.add(setup.stream())
        setup.run(100 * MS)
        group = stream.group
        assert (group.launch.scheduled, group.launch.reason, stream.launch_reason) == (
            False,
            "the queue of eth0 is pfifo",
            "",
        )

    def test_where_it_was_asked_for_that_is_an_error(self, setup):
        setup.rig.sender.why_not_scheduled = "the queue of eth0 is pfifo, not fq: tc qdisc replace dev eth0 root fq"
        with pytest.raises(NodeError, match="tc qdisc replace dev eth0 root fq") as caught:
            setup.add(setup.stream(), pacing="queue")
        assert caught.value.option == "pacing"

    def test_the_queue_comes_and_goes(self, setup):
        stream = setup.add(setup.stream())
        setup.run(100 * MS)
        group = stream.group
        setup.sockets.check_qdiscs()
        assert not group.launch.scheduled
        setup.rig.sender.why_not_scheduled = ""
        setup.sockets.check_qdiscs()
        assert not group.launch.scheduled, "it is not asked all the time"
        setup.time.ns += QDISC_CHECK_NS
        setup.sockets.check_qdiscs()
        assert group.launch.scheduled
        setup.rig.sender.why_not_scheduled = "the queue of eth0 is pfifo"
        setup.time.ns += QDISC_CHECK_NS
        setup.sockets.check_qdiscs()
        assert (group.launch.scheduled, group.launch.reason) == (False, "the queue of eth0 is pfifo")

    def test_what_cannot_be_early_has_its_own_group_and_socket(self, setup):
        setup.rig.sender.why_not_scheduled = ""
        early, asked = setup.add(setup.stream(0)), setup.add(setup.stream(1), pacing="thread")
        live = setup.stream(2)
        live.can_read_ahead = False
        setup.add(live)
        setup.run(100 * MS)
        groups = [stream.group for stream in (early, asked, live)]
        assert [group.launch.scheduled for group in groups] == [True, False, False]
        assert groups[1] is groups[2]
        assert len(setup.senders) == 2
        assert [bool(stream.launch_reason) for stream in (early, asked, live)] == [False, False, True]
        with pytest.raises(NodeError, match="set lead to at least 1500us"):
            setup.add(live, pacing="queue")


class Ring:
    """A sender by io_uring: packets leave at their times, and what is refused then is returned by a later call."""

    def __init__(self, time, refuse=(), *, calls_late=0):
        self.time = time
        self.why_not_scheduled = "the queue of eth0 is none, not fq"
        self.room = 1000
        self.handed = []
        self._refuse = refuse
        self.asked = []
        self.closed = False
        self._calls_late = calls_late
        self._on_their_way = []
        self._refused = []

    def buffer(self, rows, packet_bytes, destinations):
        return SendBuffer(rows, packet_bytes, destinations)

    def schedule(self, *, by_ring=False):
        self.asked.append(by_ring)
        return "" if by_ring else self.why_not_scheduled

    def send(self, buffer, first, count):
        self.handed.append((self.time.ns, count))
        rows = range(first, first + count)
        self._on_their_way += [(int(buffer.departure_ns[row]), (row, buffer.destinations[row][1])) for row in rows]
        left = [row for departure_ns, row in self._on_their_way if departure_ns < self.time.ns]
        self._on_their_way = [one for one in self._on_their_way if one[0] >= self.time.ns]
        self._refused.append([row for row, stream in left if stream in self._refuse])
        return self._refused.pop(0) if len(self._refused) > self._calls_late else []

    def close(self):
        self.closed = True


def read_slowly(time, read, *arguments):
    time.ns += 250_000
    return read(*arguments)


@pytest.fixture
def ring(setup, monkeypatch):
    """A system without the queue and with io_uring."""
    monkeypatch.setattr(send_sockets, "_has_priority", lambda: True)
    setup.rig.sender = Ring(setup.time)
    return setup.rig.sender


@pytest.mark.parametrize(("pacing", "used"), [("auto", "thread"), ("io-uring", "io-uring"), ("thread", "thread")])
def test_io_uring_paces_where_it_is_asked_for(setup, ring, pacing, used):
    stream = setup.add(setup.stream(1), pacing=pacing)
    setup.run(300 * MS)
    assert stream.group.metrics()["pacing"] == used
    assert stream.packets_sent > 200
    assert max(count for _, count in ring.handed) == (48 if used == "io-uring" else 1)
    assert (True in ring.asked) == (used == "io-uring")


def test_each_step_hands_a_batch_to_io_uring(setup, ring):
    setup.add(setup.stream(1), pacing="io-uring")
    setup.run(100 * MS)
    before, steps = len(ring.handed), setup.steps
    setup.run(480 * MS)
    assert len(ring.handed) - before == 10
    assert setup.steps - steps == 11, "and one at the beginning of the run"


@pytest.mark.parametrize("after_ms", range(200, 248, 8))
def test_a_stream_that_comes_beside_io_uring_starts_as_soon_as_without(setup, ring, after_ms):
    setup.add(setup.stream(1), pacing="io-uring")
    setup.run(after_ms * MS)
    later = setup.add(setup.stream(2))
    setup.run_on(2 * GATHER_NS + 5 * MS)
    assert later.packets_sent


@pytest.mark.parametrize("after_ms", range(200, 248, 8))
def test_what_io_uring_has_of_a_removed_stream_is_over_while_its_sink_waits(setup, ring, after_ms):
    stream = setup.add(setup.stream(1), pacing="io-uring")
    setup.run(after_ms * MS)
    setup.sockets.remove(stream)
    setup.run_on(stream.group.schedule.max_early_ns + GATHER_NS)
    assert stream.group.done
    assert max(stream.group._store._buffers[0].departure_ns) < setup.time.ns


def test_many_streams_that_were_not_ready_in_time_are_handed_over_in_batches_again(setup, ring):
    # Packets of all of them take longer to make than there is until the first is due, and than one packet time.
    for number in range(16):
        stream = setup.add(setup.stream(number), pacing="io-uring")
        stream.source.read = partial(read_slowly, setup.time, stream.source.read)
    setup.run(100 * MS)
    assert ring.handed[0][1] == 16, "one packet of each"
    setup.run(400 * MS)
    ring.handed.clear()
    setup.run(960 * MS)
    assert [count for _, count in ring.handed] == [48 * 16] * 20


def test_io_uring_that_cannot_be_had_is_an_error(setup, ring, monkeypatch):
    live = setup.stream(2)
    live.can_read_ahead = False
    with pytest.raises(NodeError, match="set lead to at least 1500us"):
        setup.add(live, pacing="io-uring")
    monkeypatch.setattr(ring, "schedule", lambda *, by_ring: "the system permits no io_uring here")
    with pytest.raises(NodeError, match=r"permits no io_uring here.*leave pacing out") as caught:
        setup.add(setup.stream(), pacing="io-uring")
    assert caught.value.option == "pacing"


def test_a_run_without_priority_says_once_what_io_uring_does_then(setup, ring, monkeypatch):
    setup.add(setup.stream(0), pacing="io-uring")
    assert setup.events == []
    monkeypatch.setattr(send_sockets, "_has_priority", lambda: False)
    for number in range(2):
        setup.add(setup.stream(number), pacing="io-uring")
    ((name, fields),) = setup.events
    assert name == "io_uring_without_priority"
    assert "has no real-time priority" in fields["reason"]


def test_the_queue_and_io_uring_have_their_own_groups_and_sockets(setup, ring):
    ring.why_not_scheduled = ""
    streams = [setup.add(setup.stream(n), pacing=pacing) for n, pacing in enumerate(("auto", "io-uring", "queue"))]
    for number in (3, 4):  # both may be early by the same time
        live = setup.stream(number)
        live.can_read_ahead = False
        streams.append(setup.add(live, pacing=("auto", "io-uring")[number % 2], lead_ns=3 * MS))
    setup.run(100 * MS)
    assert [stream.group.pacing() for stream in streams] == ["queue", "io-uring", "queue", "io-uring", "queue"]
    assert streams[0].group is streams[2].group
    assert streams[3].group is not streams[4].group
    assert len(setup.senders) == 2


@pytest.mark.parametrize("legs", [1, 2])
@pytest.mark.parametrize("how", ["ends", "is removed", "is removed first"])
def test_what_is_refused_later_is_counted_for_its_stream(setup, ring, legs, how):
    # The second leg reports it a call later.
    senders = [Ring(setup.time, {1}), Ring(setup.time, {1}, calls_late=1)]
    setup.make_sender = lambda interface: senders[interface is ETH1]
    length = 48 * 200 if how == "ends" else None
    good, bad = (setup.stream(number, length=length, legs=legs) for number in (0, 1))
    for stream in (good, bad):
        setup.add(stream, pacing="io-uring", interfaces=(ETH0, ETH1)[:legs])
    setup.run(150 * MS)
    if how != "ends":
        setup.sockets.remove(bad)
        setup.run(100 * MS if how == "is removed first" else 0)
        setup.sockets.remove(good)
    setup.run(200 * MS)
    assert good.group.done
    assert good.packets_sent >= 100
    assert good.send_errors == (0,) * legs
    if how != "is removed first":
        assert bad.send_errors[0] == good.packets_sent
    assert bad.packets_sent <= legs - 1, "the last report of the second leg is a call late"


def test_an_interface_that_changes_takes_nothing_with_it(setup, ring):
    made = {}
    setup.make_sender = lambda interface: made.setdefault(interface, Ring(setup.time))
    stream = setup.add(setup.stream(), pacing="io-uring")
    setup.run(200 * MS)
    setup.sockets._qdisc_check_ns = setup.time.ns + QDISC_CHECK_NS
    setup.sockets.change_interface(ETH0, ETH1)
    assert made[ETH1].asked[0] is True
    last_ns = max(int(departure_ns) for departure_ns, _ in made[ETH0]._on_their_way)
    while made[ETH1].handed == [] or setup.time.ns <= last_ns:
        setup.run(MS)
        assert not made[ETH0].closed
    assert stream.group.pacing() == "io-uring"
    setup.run(100 * MS)
    assert made[ETH0].closed


def test_an_interface_changes_before_the_group_is_made(setup):
    made = {ETH0: setup.rig.sender, ETH1: type(setup.rig.sender)(setup.time, "the queue of eth1 is pfifo")}
    made[ETH0].why_not_scheduled = ""
    setup.make_sender = made.__getitem__
    stream = setup.add(setup.stream())
    setup.sockets.change_interface(ETH0, ETH1)
    setup.run(100 * MS)
    assert (stream.group.pacing(), stream.group.launch.reason) == ("thread", "the queue of eth1 is pfifo")


@pytest.mark.parametrize("rate", [48_000, 44_100])
@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("steps", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_rows_on_their_way_are_not_written(setup, ring, monkeypatch, rate, follows, steps):
    on_their_way = []
    left = []
    random = Random(1)

    def send(buffer, first, count):
        on_their_way.extend((int(buffer.departure_ns[row]), buffer, row) for row in range(first, first + count))
        return ()

    monkeypatch.setattr(ring, "send", send)
    stream = setup.stream(1, rate=rate, follows=follows)
    setup.add(stream, lead_ns=MS if follows else 70 * MS, pacing="io-uring")
    following = setup.time.ns
    for _ in range(steps):
        setup.time.ns = max(setup.time.ns + 1, following)
        if random.random() < 0.02:
            setup.time.ns += random.randrange(200 * MS)
        while on_their_way and on_their_way[0][0] < setup.time.ns:
            _, buffer, row = on_their_way.pop(0)
            left.append(int.from_bytes(buffer.data[row, 2:4].tobytes(), "big"))
        following = setup.sockets.step(setup.time.ns)
    assert stream.group.pacing() == "io-uring"
    assert stream.group.resyncs == 0
    assert len(left) > steps * 5 // 2
    assert all((after - before) % 65536 == 1 for before, after in pairwise(left))


def test_what_io_uring_has_leaves_before_the_stream_is_done(setup, ring):
    stream = setup.add(setup.stream(1, length=48 * 100 + 7), pacing="io-uring")
    setup.run(100 * MS)
    while not stream.done:
        setup.run(MS)
    assert stream.packets_sent == 101
    departures = [int(ns) for ns in stream.group._store._buffers[0].departure_ns]
    assert max(departures) <= setup.time.ns
