"""An interface by which a sink sends goes away and comes back: it goes on by itself, where it belongs in time."""

from __future__ import annotations

import errno

import msgspec
import numpy as np
import pytest
import trio

from phasegraph.net import InterfaceWithoutAddress
from phasegraph.testing import SimLocalClock, SimNetwork, SimWire, make_session, running_graph
from phasegraph_aes67.session.sap_listener import SapListener

FRAMES = 48


def told(run, id):
    return [
        {name: event[name] for name in ("name", "interface", "leg") if name in event}
        for event in run.report["events"]
        if event["node"] == id and event["name"].startswith("interface_")
    ]


LOST, FOUND = ({"name": name, "interface": "eth0"} for name in ("interface_lost", "interface_found"))


@pytest.mark.parametrize("new_index", [True, False])
@pytest.mark.slow
async def test_a_sink_goes_on_when_its_interface_is_back(graphs, sent, autojump_clock, new_index):
    wire = SimWire()
    ours, theirs = SimNetwork(SimLocalClock(), wire), SimNetwork(SimLocalClock(), wire)
    receiving = graphs.head + graphs.receiving(end_after="30s")
    async with (
        running_graph(receiving, network=theirs) as heard,
        running_graph(graphs.head + graphs.sending(duration="5s"), network=ours) as run,
    ):
        await trio.sleep(1)
        ours.unplug("eth0")
        await trio.sleep(1.2)
        ours.plug("eth0", new_index=new_index)
        await trio.sleep(4)
    assert told(run, "out") == [LOST, FOUND]
    recorded = heard.nodes["recorder"].recording()
    silent = np.flatnonzero((recorded != sent(len(recorded))).any(axis=1))
    assert not recorded[silent].any()
    not_sent = run.metrics("out")["send_errors"] * FRAMES
    assert (np.diff(silent[:not_sent]) == 1).all(), "one gap, and what follows is where it belongs"
    assert 1.1 * 48_000 <= not_sent <= 2 * 48_000, "found within a second"
    assert len(silent) - not_sent == (0 if new_index else 4 * FRAMES), "the old socket goes on until there is another"
    assert run.metrics("out")["sender_resyncs"] == 0


async def test_one_that_was_away_too_briefly_to_be_missed(graphs, autojump_clock):
    network = SimNetwork()
    async with running_graph(graphs.head + graphs.sending(duration="4s", packet_time="4ms"), network=network) as run:
        await trio.sleep(1.1)
        network.unplug("eth0")
        network.plug("eth0", new_index=True)
        await trio.sleep(4)
    assert told(run, "out") == [LOST, FOUND]
    assert 0 < run.metrics("out")["send_errors"] <= 126


@pytest.mark.slow
async def test_all_sinks_of_an_interface_and_one_leg_of_two(graphs, autojump_clock):
    network = SimNetwork()
    graph = graphs.head + graphs.sending(duration="6s", id="one", packet_time="4ms")
    graph += 'leg-b = {interface = "eth1", group = "239.69.1.1"}\n' + graphs.table(
        "sinks.two",
        kind="aes67",
        input="program",
        interface="eth0",
        group="239.69.1.2",
        announce=True,
        packet_time="4ms",
    )
    async with running_graph(graph, network=network) as run:
        await trio.sleep(2)
        network.unplug("eth0")
        await trio.sleep(1)
        network.plug("eth0", new_index=True)
        await trio.sleep(4)
    assert told(run, "one") == [{**LOST, "leg": "a"}, {**FOUND, "leg": "a"}]
    assert told(run, "two") == [LOST, FOUND]
    one, two = run.metrics("one"), run.metrics("two")
    assert 250 <= one["leg_a_send_errors"] <= 376
    assert one["leg_b_send_errors"] == 0
    assert one["packets_sent"] == two["packets_sent"] + two["send_errors"] == 1500


async def test_its_announcement_goes_on_too(graphs, autojump_clock):
    wire = SimWire()
    ours, theirs = SimNetwork(SimLocalClock(), wire), SimNetwork(SimLocalClock(), wire)
    browser = SapListener(theirs, theirs.local, theirs.interface("eth0"))
    async with running_graph(
        graphs.head + graphs.sending(duration="9s", announce=True, packet_time="4ms"), network=ours
    ):
        await trio.sleep(1)
        assert [change.kind for change in browser.poll()] == ["added"]
        ours.unplug("eth0")
        await trio.sleep(3)
        ours.plug("eth0", new_index=True)
        back_ns = theirs.local.now_ns()
        await trio.sleep(1)
        assert browser.poll() == [], "it is the same session, in the same version"
        (session,) = browser.table
        assert session.last_ns >= back_ns, "and is told of at once"


@pytest.mark.parametrize("role", ["sending", pytest.param("receiving", marks=pytest.mark.slow)])
async def test_an_interface_without_an_address_is_waited_for(graphs, sent, autojump_clock, role):
    wire = SimWire()
    ours, theirs = SimNetwork(SimLocalClock(), wire), SimNetwork(SimLocalClock(), wire)
    late = ours if role == "sending" else theirs
    find, has_address = late.interface, [False]

    def interface(name, *, ipv6=False):
        if not has_address[0]:
            raise InterfaceWithoutAddress(f"network interface {name} has no IPv4 address")
        return find(name, ipv6=ipv6)

    late.interface = interface
    receiving = graphs.head + graphs.receiving(end_after="30s", packet_time="4ms")
    async with (
        running_graph(receiving, network=theirs) as heard,
        running_graph(graphs.head + graphs.sending(duration="5s", packet_time="4ms"), network=ours) as run,
    ):
        node, id = (run, "out") if role == "sending" else (heard, "it")
        await trio.sleep(1.5)
        assert node.nodes[id].metrics()["trouble"] == "waiting for the network interface eth0 to get an IPv4 address"
        has_address[0] = True
        await trio.sleep(4)
        assert "trouble" not in node.nodes[id].metrics()
    names = [event["name"] for event in node.report["events"] if event["node"] == id and "interface" in str(event)]
    assert names[:2] == ["waiting_for_address", "interface_found"]
    recorded = heard.nodes["recorder"].recording()
    assert recorded[recorded.any(axis=1)].shape[0] > 2 * 48_000


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENETUNREACH, "Network is unreachable (ENETUNREACH); add a route: ip route add 224.0.0.0/4 dev eth0"),
        (errno.EMSGSIZE, "Message too long (EMSGSIZE); shorten packet-time"),
        (errno.ENOBUFS, "No buffer space available (ENOBUFS); the send buffer is full"),
        (errno.EPERM, "Operation not permitted (EPERM); a firewall rule"),
        (0, "no reason is given"),
    ],
)
async def test_why_packets_are_refused(graphs, autojump_clock, code, words):
    network = SimNetwork()
    async with running_graph(graphs.head + graphs.sending(duration="9s", packet_time="4ms"), network=network) as run:
        await trio.sleep(2)
        ((egress,),) = run.nodes["out"]._sockets._egresses.values()
        sender, send = egress._sender, egress._sender.send

        def refuse(buffer, first, count):
            sender.refusal_errno = code
            return range(first, first + count)

        sender.send = refuse
        await trio.sleep(3)
        assert run.nodes["out"].metrics()["trouble"].startswith("the system refuses packets to 239.69.1.1: " + words)
        sender.send = send
        await trio.sleep(2)
        assert "trouble" not in run.nodes["out"].metrics()
        sender.send = refuse
        await trio.sleep(1)
        sender.send = send
    (event,) = run.events("sending_refused")
    assert words.startswith(event["reason"])


async def test_an_interface_that_is_switched_off_is_why_packets_are_refused(graphs, autojump_clock):
    # The system says "Network is unreachable" of it as of a missing route.
    network = SimNetwork()
    network.obstacles = lambda interface: ["eth0 is switched off (ip link set eth0 up)"]
    async with running_graph(graphs.head + graphs.sending(duration="9s", packet_time="4ms"), network=network) as run:
        await trio.sleep(2)
        ((egress,),) = run.nodes["out"]._sockets._egresses.values()

        def refuse(buffer, first, count):
            egress._sender.refusal_errno = errno.ENETUNREACH
            return range(first, first + count)

        egress._sender.send = refuse
        await trio.sleep(3)
        trouble = run.nodes["out"].metrics()["trouble"]
    assert trouble.endswith("Network is unreachable (ENETUNREACH); eth0 is switched off (ip link set eth0 up)")


async def test_packets_longer_than_the_mtu(graphs, autojump_clock):
    network = SimNetwork()
    find = network.interface
    network.interface = lambda name, *, ipv6=False: msgspec.structs.replace(find(name, ipv6=ipv6), mtu=327)
    async with running_graph(graphs.head + graphs.sending(duration="2s"), network=network) as run:
        await trio.sleep(1)
        trouble = run.nodes["out"].metrics()["trouble"]
        assert trouble.startswith("packets of 328 bytes are longer than the MTU of eth0 (327) and leave as fragments")
    (event,) = run.events("packets_fragmented")
    assert (event["mtu"], event["packet_bytes"]) == (327, 328)
    network.interface = lambda name, *, ipv6=False: msgspec.structs.replace(find(name, ipv6=ipv6), mtu=328)
    async with running_graph(graphs.head + graphs.sending(duration="2s"), network=network) as run:
        await trio.sleep(1)
    assert run.events("packets_fragmented") == []


def test_check_notes_an_mtu_that_is_too_small(graphs, tmp_path, monkeypatch):
    monkeypatch.setattr("phasegraph_aes67.sink.interface_mtu", {"eth0": 327, "eth1": 1500}.get)
    session = make_session(graphs.head + graphs.sending(duration="2s"), folder=tmp_path)
    ((path, note),) = session.built.notes
    assert path == "sinks.out"
    assert note.startswith("packets of 328 bytes are longer than the MTU of eth0 (327)")
    assert make_session(graphs.head + graphs.sending(interface="eth1"), folder=tmp_path).built.notes == []


def test_check_notes_what_is_odd_in_a_description(graphs, tmp_path):
    (tmp_path / "odd.sdp").write_text(
        "v=0\nc=IN IP4 239.69.1.1/32\nm=audio 5004 RTP/AVP 98\na=rtpmap:98 L24/48000/2\na=ptime:1\na=inactive\n"
        "a=ts-refclk:local\na=mediaclk:direct=0\n"
    )
    session = make_session(graphs.head + graphs.receiving(sdp="odd.sdp"), folder=tmp_path)
    ((path, note),) = session.built.notes
    assert path == "sources.it"
    assert note.endswith("odd.sdp: a=inactive: the sender states that it sends nothing at present")
