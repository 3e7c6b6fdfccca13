"""Sessions as RAVENNA offers and finds them: with real sockets, over the loopback interface."""

from __future__ import annotations

import secrets

import msgspec
import pytest
import trio

from phasegraph import SystemLocalClock
from phasegraph.net import SystemNetwork
from phasegraph.testing import running_graph
from phasegraph_aes67.session import mdns
from phasegraph_aes67.session.rtsp import message

pytestmark = pytest.mark.realtime

pytest.importorskip("zeroconf", reason="the package zeroconf is not installed")

SYSTEM = 'schema = 1\n[clocks.house]\nkind = "system"\n'
LIMIT_S = 30
"""For what takes a second or two where the machine is not busy."""


class Stage:
    """A sender that offers a session under a name of its own, and a receiver that knows only this name."""

    def __init__(self, graphs) -> None:
        self.name = f"Test {secrets.token_hex(4)}"
        octets = secrets.token_bytes(3)
        group = f"239.{octets[0]}.{octets[1]}.{octets[2]}"
        self.sender = SYSTEM + graphs.sending(
            interface="lo", group=group, duration=None, name=self.name, ravenna=True, packet_time="4ms"
        )
        self.receiver = SYSTEM + graphs.receiving(
            interface="lo", session=self.name, group=None, end_after=None, link_offset="50ms"
        )

    @staticmethod
    def running(text: str, **how):
        local = SystemLocalClock()
        return running_graph(text, local=local, network=SystemNetwork(local), **how)


@pytest.fixture
def stage(graphs) -> Stage:
    return Stage(graphs)


def events(run, node="it"):
    return [event.name for event in run.session.services.events if event.node == node]


async def until(condition) -> None:
    with trio.fail_after(LIMIT_S):
        while not condition():
            await trio.sleep(0.05)


async def test_a_session_is_found_followed_and_gone(stage):
    async with stage.running(stage.receiver) as receiver:
        async with stage.running(stage.sender) as sender:
            await until(lambda: receiver.nodes["it"].metrics()["packets_received"] > 10)
            assert "(RAVENNA)" in receiver.nodes["it"].metrics()["session"]
            clock = sender.nodes["house"]
            identity = "00-1D-C1-FF-FE-12-34-56"
            real = clock.estimate
            clock.estimate = lambda: msgspec.structs.replace(real(), grandmaster=identity, domain=3)
            # Pushed: long before a description would be asked for again.
            await until(lambda: "session_changed" in events(receiver))
            figures = sender.nodes["out"].metrics()
            assert (figures["rtsp_clients"], figures["rtsp_refused"]) == (1, 0)
        await until(lambda: "session_gone" in events(receiver))
    assert events(receiver)[:4] == ["waiting_for_session", "session_found", "session_changed", "session_gone"]
    assert receiver.events("session_found")[0]["by"] == "RAVENNA"
    assert "session_offered" in events(sender, "out")


async def test_by_both_ways_it_is_one_session(stage):
    sender = stage.sender.replace("ravenna = true", "ravenna = true\nannounce = true")
    async with stage.running(stage.receiver) as receiver:
        async with stage.running(sender):
            await until(lambda: receiver.nodes["it"].metrics()["packets_received"] > 10)
            await trio.sleep(2)  # the other way tells of it too
        await until(lambda: "session_gone" in events(receiver))
    assert events(receiver).count("session_found") == events(receiver).count("session_gone") == 1
    assert "session_changed" not in events(receiver)


async def test_one_graph_offers_and_finds(stage, graphs):
    # One zeroconf hears what it says itself.
    both = stage.sender + stage.receiver.removeprefix(SYSTEM)
    async with stage.running(both) as run:
        await until(lambda: run.nodes["it"].metrics()["packets_received"] > 10)


async def test_two_sinks_share_a_server_and_one_goes_on_when_the_other_ends(stage, graphs):
    other = f"{stage.name} B"
    text = stage.sender + graphs.table(
        "sources.short", kind="sim-sequence", duration="6s"
    ) + graphs.table(
        "sinks.second", kind="aes67", input="short", interface="lo", group="239.9.9.9", name=other, ravenna=True
    )  # fmt: skip
    async with stage.running(text) as run:
        await until(lambda: "session_offered" in events(run, "out") and "session_offered" in events(run, "second"))
        ports = {event.fields["rtsp"] for event in run.session.services.events if event.name == "session_offered"}
        assert len(ports) == 1
        host, _, port = ports.pop().partition(":")
        await until(lambda: run.session.supervisor.state(run.session.built.nodes["second"]) == "ended")
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream:
            for name, status in ((stage.name, b"200 OK"), (other, b"404 Not Found")):
                url = f"rtsp://{host}:{port}/by-name/{name.replace(' ', '%20')}"
                await stream.send_all(message(f"DESCRIBE {url} RTSP/1.0", {"CSeq": 1}))
                with trio.fail_after(LIMIT_S):
                    assert (await stream.receive_some()).startswith(b"RTSP/1.0 " + status)


async def test_a_name_that_somebody_has(stage):
    async with stage.running(stage.sender) as first:
        await until(lambda: "session_offered" in events(first, "out"))
        async with stage.running(stage.sender) as second:
            await until(lambda: "ravenna_unavailable" in events(second, "out"))
    (event,) = second.events("ravenna_unavailable")
    assert event["reason"] == f"another device offers a session '{stage.name}'"
    assert second.metrics("out")["packets_sent"] > 0


async def test_hostile_clients_cost_nothing_but_themselves(stage):
    async with stage.running(stage.sender) as run:
        await until(lambda: "session_offered" in events(run, "out"))
        host, _, port = run.session.services.events[-1].fields["rtsp"].partition(":")
        silent = [await trio.open_tcp_stream(host, int(port)) for _ in range(70)]
        for octets in (b"\0" * 10_000, b"DESCRIBE\r\n\r\n", b"x" * 9000):
            stream = await trio.open_tcp_stream(host, int(port))
            async with stream:
                await stream.send_all(octets)
                with trio.fail_after(LIMIT_S):
                    assert (await stream.receive_some()).startswith(b"RTSP/1.0 400")
        await until(lambda: run.nodes["out"].metrics()["rtsp_refused"] == 3)
        assert run.nodes["out"].metrics()["rtsp_clients"] <= 64
        for stream in silent:
            await stream.aclose()
        await until(lambda: run.nodes["out"].metrics()["rtsp_clients"] == 0)
        assert run.session.supervisor.state(run.session.built.nodes["out"]) == "running"


async def test_without_mdns_it_is_said_once(stage, monkeypatch):
    async def missing(interface):
        raise ImportError(mdns.why_missing())

    monkeypatch.setattr(mdns, "start", missing)
    monkeypatch.setattr("phasegraph_aes67.session.session_follower.PATIENCE_NS", 300_000_000)
    async with stage.running(stage.receiver) as run:
        await until(lambda: "ravenna_unavailable" in events(run))
        state = run.nodes["it"].metrics()["session"]
        assert state.startswith(f"waiting for an announcement of {stage.name!r}, by SAP alone: ")
        await trio.sleep(1)
    assert events(run) == ["waiting_for_session", "ravenna_unavailable"]
    assert mdns.why_missing() in run.events("ravenna_unavailable")[0]["reason"]
