"""A sender that announces its session, and a receiver that knows only its name."""

from __future__ import annotations

import errno

import msgspec
import numpy as np
import pytest
import trio

from phasegraph.testing import SimLocalClock, SimNetwork, SimWire, run_graph, running_graph
from phasegraph_aes67 import sdp
from phasegraph_aes67.session import publication, sap
from phasegraph_aes67.session.sap_listener import SapListener

SYSTEM = 'schema = 1\n[clocks.house]\nkind = "system"\n'
SDP = (
    "v=0\r\no=- {id} {version} IN IP4 10.0.1.2\r\ns={name}\r\nc=IN IP4 {group}/15\r\nt=0 0\r\n"
    "m=audio 5004 RTP/AVP 98\r\n"
    "a=rtpmap:98 {rtpmap}\r\na=ptime:1\r\na=ts-refclk:local\r\na=mediaclk:direct=0\r\n"
)


def description(name="stage", *, id=77, version=1, group="239.69.1.1", rtpmap="L24/48000/2"):
    return SDP.format(id=id, version=version, name=name, group=group, rtpmap=rtpmap)


class Wire:
    """Hosts on one wire: a receiver that waits for a session, and those that announce and send."""

    def __init__(self, graphs):
        self.graphs = graphs
        self.wire = SimWire()
        self.announcer = self.host()
        self.sender = self.announcer.sender(self.announcer.interface("eth0"), ttl=255, dscp=0)

    def host(self):
        return SimNetwork(SimLocalClock(), self.wire)

    def waiting(self, **options):
        how = {"session": "stage", "group": None, "end_after": None, **options}
        return running_graph(SYSTEM + self.graphs.receiving(**how), network=self.host())

    async def send(self, duration="300ms", **options):
        graph = SYSTEM + self.graphs.sending(duration=duration, **options)
        return await run_graph(graph, network=self.host())

    def announce(self, text, *, deletion=False, origin="10.0.1.2"):
        packet = sap.encode(sap.Announcement(origin, sap.message_hash(text), text, deletion))
        buffer = self.sender.buffer(1, len(packet), [(sap.GROUPS[0], sap.PORT)])
        buffer.data[0], buffer.length[0] = np.frombuffer(packet, np.uint8), len(packet)
        self.sender.send(buffer, 0, 1)


@pytest.fixture
def wire(graphs):
    return Wire(graphs)


def names(run, node="it"):
    return [event["name"] for event in run.report["events"] if event["node"] == node and "session" in event["name"]]


@pytest.mark.slow
async def test_a_receiver_finds_what_a_sender_announces(wire, gaps_in, troubles, autojump_clock):
    async with wire.waiting() as run:
        await trio.sleep(1)
        assert run.nodes["it"].metrics()["session"] == "waiting for an announcement of 'stage'"
        sent = await wire.send("2s", id="out", name="stage", announce=True, port=6518, payload_type=101)
        await trio.sleep(1)
    recorded = run.nodes["recorder"].recording()
    # It listens from the first look after the announcement on, and from then on misses nothing.
    assert 96_000 - 48_000 // 2 < len(recorded) < 96_000
    assert names(run)[:2] == ["waiting_for_session", "session_found"]
    assert names(run)[-1] == "session_gone", "the sender took its announcement back"
    (found,) = run.events("session_found")
    assert found["announced_by"] == "10.0.1.3"
    assert found["stream"] == sent.metrics("out")["stream"]
    assert troubles(run.metrics("it")) == {}


async def test_a_session_whose_name_was_mistyped_is_told_with_the_name_that_may_be_meant(wire, autojump_clock):
    async with wire.waiting(session="stge") as run:
        for version in (1, 2):
            wire.announce(description(version=version))
            await trio.sleep(0.5)
        assert (
            run.nodes["it"]
            .metrics()["trouble"]
            .startswith("waiting for an announcement of 'stge'; did you mean 'stage'?")
        )
    assert names(run) == ["waiting_for_session", "session_misnamed"]
    assert run.events("session_misnamed")[0]["reason"] == "did you mean 'stage'?"


@pytest.mark.slow
async def test_a_changed_session_is_followed_while_running(wire, sent, troubles, autojump_clock):
    async with wire.waiting() as run:
        wire.announce(description())
        await trio.sleep(0.5)
        await wire.send("300ms")
        wire.announce(description(version=2, group="239.69.1.9"))
        await trio.sleep(0.5)
        await wire.send("300ms")
        await wire.send("300ms", group="239.69.1.9")
        await trio.sleep(0.5)
        assert run.nodes["it"].metrics()["session"] == "'stage', version 2, announced by 10.0.1.2"
    recorded = run.nodes["recorder"].recording()
    sounding = recorded[recorded.any(axis=1)]
    assert sounding.tobytes() == np.concatenate([sent(14_400), sent(14_400)]).tobytes()
    assert names(run) == ["waiting_for_session", "session_found", "session_changed"]
    it = run.metrics("it")
    assert it["packets_received"] == 600, "of before and after"
    assert "239.69.1.9:5004" in it["stream"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(description(version=4), ["session_changed"], id="the same stream"),
        pytest.param(description(version=4, rtpmap="L16/44100/2"), ["session_unusable"], id="another format"),
        pytest.param("v=0\r\no=- 77 5 IN IP4 10.0.1.2\r\ns=stage\r\n", ["session_unusable"], id="no stream"),
        pytest.param(description("foyer", version=4), ["session_gone"], id="renamed"),
        pytest.param(description(id=78, version=9, group="239.9.9.9"), [], id="another one of that name"),
    ],
)
async def test_what_else_is_announced(wire, autojump_clock, text, told):
    async with wire.waiting() as run:
        wire.announce(description(version=3))
        await trio.sleep(1)
        for _ in range(3):
            wire.announce(text)
            await trio.sleep(1)
        await wire.send()
        await trio.sleep(0.5)
        assert run.nodes["it"].metrics()["packets_received"] == 300
    assert names(run) == ["waiting_for_session", "session_found", *told]


@pytest.mark.slow
async def test_an_older_version_is_followed_once_it_is_announced_again(wire, autojump_clock):
    # A packet that went astray, doubled by both groups; then a device that restarted its count.
    true, old = description(version=3), description(version=1, group="239.69.1.9")
    async with wire.waiting() as run:
        for text in (true, old, old, true):
            wire.announce(text)
            await trio.sleep(0.4)
        await wire.send()
        await trio.sleep(0.5)
        assert run.nodes["it"].metrics()["packets_received"] == 300
        wire.announce(old)
        await trio.sleep(2)
        wire.announce(old)
        await trio.sleep(1)
        assert run.nodes["it"].metrics()["session"] == "'stage', version 1, announced by 10.0.1.2"
        await wire.send(group="239.69.1.9")
        await trio.sleep(0.5)
        assert run.nodes["it"].metrics()["packets_received"] == 600
    assert names(run) == ["waiting_for_session", "session_found", "session_changed"]


HOSTILE = {
    "a source that is no address": "a=ssrc-group:DUP 1 2\r\na=source-filter: incl IN IP4 * 10.77.0.3 someone\r\n",
    "no source is an address": "a=source-filter: incl IN IP4 * someone 999.1.1.1\r\n",
    "a group as the source": "a=source-filter: incl IN IP4 * 239.1.1.1\r\n",
    "escapes": "i=\x1b[2J\x9b31m\r\na=ts-refclk:\x1b]0;x\x07\r\n",
    "numbers without end": f"a=mediaclk:direct={'9' * 4000}\r\na=ptime:1e400\r\na=framecount:{'9' * 4000}\r\n",
    "a leg at an impossible address": "a=mid:1\r\nm=audio 5004 RTP/AVP 98\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n",
}


@pytest.mark.parametrize("lines", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("before", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_no_description_ends_a_run(wire, autojump_clock, lines, before):
    async with wire.waiting() as run:
        if before:
            wire.announce(description())
            await trio.sleep(0.5)
        wire.announce(description(version=2) + lines)
        await trio.sleep(0.5)
        wire.announce(description(version=3))
        await trio.sleep(0.5)
        await wire.send()
        await trio.sleep(0.5)
    assert run.metrics("it")["packets_received"] == 300
    assert not run.events("node_failed")


async def test_whatever_taking_a_description_raises_is_its_own_trouble(wire, autojump_clock, monkeypatch):
    async with wire.waiting() as run:
        source, fails = run.nodes["it"], [True]
        real = source._subscribe

        def subscribe():
            if fails.pop() if fails else False:
                raise ZeroDivisionError
            real()

        monkeypatch.setattr(source, "_subscribe", subscribe)
        wire.announce(description())
        await trio.sleep(2)
        await wire.send()
        await trio.sleep(0.5)
    assert names(run) == ["waiting_for_session", "session_found", "session_unusable"]
    assert run.events("session_unusable")[0]["reason"] == "ZeroDivisionError"
    assert run.metrics("it")["packets_received"] == 300


async def test_a_session_is_not_modified_by_another_host(wire, autojump_clock):
    async with wire.waiting() as run:
        wire.announce(description(version=5))
        await trio.sleep(0.5)
        for version in (6, 7, 8):
            wire.announce(description(version=version, group="239.66.6.6"), origin="10.0.9.9")
            await trio.sleep(0.5)
        await wire.send()
        await trio.sleep(0.5)
        assert run.nodes["it"].metrics()["session"] == "'stage', version 5, announced by 10.0.1.2"
    assert names(run) == ["waiting_for_session", "session_found", "session_disputed"]
    (event,) = run.events("session_disputed")
    assert (event["disputed_by"], event["version"]) == ("10.0.9.9", 6)
    assert run.metrics("it")["packets_received"] == 300


@pytest.mark.slow
async def test_strangers_cause_few_events(wire, autojump_clock):
    async with wire.waiting() as run:
        for n in range(300):
            wire.announce(description(id=1000 + n, rtpmap="L16/44100/2"))
            await trio.sleep(0.1)
        wire.announce(description())
        await trio.sleep(1)
        assert "version 1" in run.nodes["it"].metrics()["session"]
    unusable = run.events("session_unusable")
    assert len(unusable) < 12
    everything = [event for event in run.report["events"] if event["node"] == "it"]
    assert len(unusable) + sum(event.get("suppressed", 0) for event in everything) == 300


@pytest.mark.slow
async def test_a_session_that_comes_and_goes_fills_no_log(wire, autojump_clock):
    async with wire.waiting() as run:
        for _ in range(200):
            wire.announce(description())
            await trio.sleep(0.3)
            wire.announce(description(), deletion=True)
            await trio.sleep(0.3)
    told = names(run)
    assert 20 <= told.count("session_found") <= 34
    assert 20 <= told.count("session_gone") <= 34


async def test_a_session_of_another_format_says_what_to_change(wire, autojump_clock):
    async with wire.waiting() as run:
        wire.announce(description(rtpmap="L16/44100/2"))
        await trio.sleep(1)
        assert "is announced and not usable: it is L16 44.1 kHz" in run.nodes["it"].metrics()["trouble"]
    (event,) = run.events("session_unusable")
    assert event["reason"] == "it is L16 44.1 kHz 2 ch, and the graph expects L24 48 kHz 2 ch"


async def test_a_session_that_cannot_be_received_yet(wire, autojump_clock):
    # As a unicast address that this machine does not have, or an interface that is down: said once, and tried again.
    async with wire.waiting() as run:
        network = run.session.services.network
        real = network.receiver

        def refuse(port, **how):
            raise OSError(errno.ENETDOWN, "Network is down")

        network.receiver = refuse
        wire.announce(description())
        await trio.sleep(3)
        network.receiver = real
        await trio.sleep(0.5)
        await wire.send()
        await trio.sleep(0.5)
    assert names(run) == ["waiting_for_session", "session_found", "session_unusable"]
    assert run.events("session_unusable")[0]["reason"] == "cannot listen on port 5004: Network is down"
    assert run.metrics("it")["packets_received"] == 300


@pytest.mark.slow
async def test_a_redundant_session_is_received_by_both_legs_or_not_yet(wire, autojump_clock):
    async with wire.waiting() as run:
        network = run.session.services.network
        real, refused = network.receiver, []

        def only_the_first(port, **how):
            if port == 5006 and len(refused) < 3:
                refused.append(port)
                raise OSError(errno.ENETDOWN, "Network is down")
            return real(port, **how)

        network.receiver = only_the_first
        graph = SYSTEM + wire.graphs.sending(duration="4s", name="stage", announce=True, packet_time="4ms")
        graph += 'leg-b = {interface = "eth0", group = "239.70.1.1", port = 5006}\n'
        await run_graph(graph, network=wire.host())
        await trio.sleep(0.5)
    it = run.metrics("it")
    assert len(refused) == 3
    assert it["leg_a_packets_received"] == it["leg_b_packets_received"] > 625
    assert it["packets_lost"] == 0


async def test_a_deleted_session_is_still_heard_and_found_again(wire, autojump_clock):
    async with wire.waiting() as run:
        wire.announce(description())
        await trio.sleep(0.5)
        wire.announce(description(), deletion=True, origin="10.0.9.9")
        await trio.sleep(0.5)
        assert names_so_far(run) == ["waiting_for_session", "session_found"], "only its announcer ends it"
        wire.announce(description(), deletion=True)
        await trio.sleep(0.5)
        await wire.send()
        wire.announce(description(version=2, group="239.69.1.9"))
        await trio.sleep(0.5)
        await wire.send(group="239.69.1.9")
        await trio.sleep(0.5)
    assert names(run) == ["waiting_for_session", "session_found", "session_gone", "session_found"]
    assert run.metrics("it")["packets_received"] == 600


def names_so_far(run):
    return [event.name for event in run.session.services.events if event.node == "it"]


@pytest.mark.parametrize("seconds", [35, 90])
@pytest.mark.slow
async def test_the_announcements_of_a_sender(wire, tmp_path, autojump_clock, seconds):
    # The first is followed by another every 30 s.
    listener = wire.host()
    browser = SapListener(listener, listener.local, listener.interface("eth0"))
    heard = []

    async def listen():
        while True:
            heard.extend((trio.current_time(), change.kind, change.session.sdp) for change in browser.poll())
            await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        sending = wire.graphs.sending(duration=f"{seconds}s", announce=True, sdp_out="a.sdp", packet_time="4ms")
        await run_graph(SYSTEM + sending, folder=tmp_path, network=wire.host())
        text = (tmp_path / "a.sdp").read_bytes().decode()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [(kind, told) for _, kind, told in heard] == [("added", text), ("deleted", text)]
    assert list(browser.table) == []
    assert browser.refused == {}
    assert sdp.parse(text).name == "out"


@pytest.mark.slow
async def test_a_change_of_grandmaster_reaches_the_file_and_the_network(wire, tmp_path, autojump_clock):
    async with wire.waiting() as receiver:
        graph = SYSTEM + wire.graphs.sending(
            duration="20s", name="stage", announce=True, sdp_out="a.sdp", packet_time="4ms"
        )
        async with running_graph(graph, folder=tmp_path, network=wire.host()) as sender:
            await trio.sleep(2)
            before = (tmp_path / "a.sdp").read_text()
            clock = sender.nodes["house"]
            identity = "00-1D-C1-FF-FE-12-34-56"
            real = clock.estimate
            clock.estimate = lambda: msgspec.structs.replace(real(), grandmaster=identity, domain=3)
            await trio.sleep(1)
            after = (tmp_path / "a.sdp").read_text()
    assert "a=ts-refclk:local\n" in before
    assert f"a=ts-refclk:ptp=IEEE1588-2008:{identity}:3\n" in after
    assert names(receiver)[:3] == ["waiting_for_session", "session_found", "session_changed"]
    assert receiver.events("session_changed")[0]["version"] > receiver.events("session_found")[0]["version"]


async def test_announcements_are_heard_again_when_the_interface_is_back(wire, autojump_clock):
    receiver = wire.host()
    graph = SYSTEM + wire.graphs.receiving(session="stage", group=None, end_after=None)
    async with running_graph(graph, network=receiver) as run:
        await trio.sleep(1)
        receiver.unplug("eth0")
        await trio.sleep(5)
        receiver.plug("eth0", new_index=True)
        await trio.sleep(5)
        wire.announce(description())
        await trio.sleep(1)
    assert "session_found" in names(run)


@pytest.mark.slow
async def test_a_description_file_is_replaced_whole_and_its_loss_ends_nothing(
    wire, tmp_path, autojump_clock, monkeypatch
):
    graph = SYSTEM + wire.graphs.sending(duration="9s", sdp_out="a.sdp", packet_time="4ms")
    (tmp_path / "a.sdp").write_text("x" * 10_000)
    async with running_graph(graph, folder=tmp_path, network=wire.host()) as run:
        await trio.sleep(1)
        first = (tmp_path / "a.sdp").read_text()
        assert first.startswith("v=0")
        real = publication._replace_file

        def full(path, text):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(publication, "_replace_file", full)
        clock = run.nodes["house"]
        estimate = clock.estimate
        clock.estimate = lambda: msgspec.structs.replace(estimate(), grandmaster="00-1D-C1-FF-FE-12-34-56", domain=3)
        await trio.sleep(3)
        assert (tmp_path / "a.sdp").read_text() == first
        monkeypatch.setattr(publication, "_replace_file", real)
        await trio.sleep(2)
        assert "00-1D-C1-FF-FE-12-34-56:3" in (tmp_path / "a.sdp").read_text()
        await trio.sleep(4)
    (event,) = run.events("sdp_not_written")
    assert "No space left on device" in event["reason"]
    assert run.metrics("out")["packets_sent"] == 2250
    assert [path.name for path in tmp_path.iterdir() if "sdp" in path.name] == ["a.sdp"]
