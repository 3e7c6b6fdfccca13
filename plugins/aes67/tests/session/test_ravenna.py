"""RAVENNA's way to a session description, with a device of our own on the loopback."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import trio
from click.testing import CliRunner

from phasegraph.net import Interface
from phasegraph_aes67.session import mdns
from phasegraph_aes67.session.discover import discover_command
from phasegraph_aes67.session.mdns import SERVICE, SESSIONS
from phasegraph_aes67.session.ravenna import browse_ravenna, describe, look_up
from phasegraph_aes67.session.ravenna_session import RavennaSession
from phasegraph_aes67.session.rtsp import MalformedRtsp
from phasegraph_aes67.session.session_lookup import SessionOffer

pytestmark = pytest.mark.realtime

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=Stage\r\nc=IN IP4 239.1.0.1/15\r\nt=0 0\r\n"
    "m=audio 5004 RTP/AVP 98\r\na=rtpmap:98 L24/48000/2\r\na=ptime:1"
)


def answer(body: str = SDP, *, status: str = "200 OK", sequence: int | None = 1) -> bytes:
    cseq = "" if sequence is None else f"CSeq: {sequence}\r\n"
    head = f"RTSP/1.0 {status}\r\n{cseq}Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


@contextmanager
def device(reply: Callable[[str], bytes]) -> Iterator[int]:
    """A device that answers each request on a connection of its own; its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(reply(connection.recv(4096).decode()))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


async def test_a_device_describes_its_session() -> None:
    asked: list[str] = []

    def reply(request: str) -> bytes:
        asked.append(request.splitlines()[0])
        return answer("v=0", sequence=99) + answer()

    with device(reply) as port:
        assert await describe("127.0.0.1", port, "Stage") == SDP
    assert asked == [f"DESCRIBE rtsp://127.0.0.1:{port}/by-name/Stage RTSP/1.0"]


@pytest.mark.parametrize(
    ("octets", "said"),
    [(answer("", status="404 Not Found"), "it answers 404 Not Found"), (b"", "closed the connection")],
)
async def test_a_device_that_does_not(octets: bytes, said: str) -> None:
    with device(lambda request: octets) as port, pytest.raises(MalformedRtsp, match=said):
        await describe("127.0.0.1", port, "Stage")


def test_the_command_finds_a_device() -> None:
    zeroconf = pytest.importorskip("zeroconf", reason="the package zeroconf is not installed")
    name = f"Stage {secrets.token_hex(4)}"
    with device(lambda request: answer()) as port:
        responder = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
        info = zeroconf.ServiceInfo(
            SESSIONS,
            f"{name}.{SERVICE}",
            addresses=[socket.inet_aton("127.0.0.1")],
            port=port,
            server=f"{name.replace(' ', '-')}.local.",
        )
        try:
            responder.register_service(info, cooperating_responders=True)
            result = CliRunner().invoke(discover_command, ["--interface", "lo", "--for", "6s", "--format", "json"])
        finally:
            responder.close()
    assert result.exit_code == 0, result.output
    (session,) = [each for each in json.loads(result.output) if each["by"] == "mdns" and each["name"] == name]
    assert (session["origin"], session["sdp"], session["ok"]) == ("127.0.0.1", SDP, True)
    assert session["streams"][0]["group"] == "239.1.0.1"


@pytest.mark.parametrize("name", ["x" * 80, "", "a\0b"])
async def test_a_name_that_cannot_be_looked_up(name: str) -> None:
    pytest.importorskip("zeroconf", reason="the package zeroconf is not installed")
    zeroconf = await mdns.start(Interface("lo", 1, "127.0.0.1"))
    with zeroconf:
        found = await look_up(mdns.MdnsBrowser(zeroconf), name)
    assert found.problem.startswith("its name cannot be looked up")


class Names:
    """What mDNS knows of one device, as a test says."""

    zeroconf = None

    def __init__(self, *names: str) -> None:
        self.names = dict.fromkeys(names, 0)
        self.changed = trio.Event()

    def become(self, *names: str) -> None:
        self.names = dict.fromkeys(names, max(self.names.values(), default=0) + 1)
        changed, self.changed = self.changed, trio.Event()
        changed.set()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Descriptions are asked for again soon, of a device at this port."""

    def of(port: int) -> None:
        async def resolve(zeroconf: object, name: str) -> tuple[tuple[str, ...], int]:
            return ("127.0.0.1",), port

        monkeypatch.setattr(mdns, "resolve", resolve)

    monkeypatch.setattr("phasegraph_aes67.session.ravenna_session.REFRESH_S", 0.05)
    monkeypatch.setattr("phasegraph_aes67.session.ravenna_session.RETRY_S", (0.05,))
    return of


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.01)


async def test_a_session_as_it_changes_fails_and_goes(at_once: Callable[[int], None]) -> None:
    # The device closes every connection after its answer, as some do.
    replies = [answer(), answer("", status="500 Busy"), answer(SDP.replace("o=- 1 1", "o=- 1 2"))]
    replies.append(replies[-1])
    asked: list[str] = []

    def reply(request: str) -> bytes:
        asked.append(request)
        return replies[min(len(asked), len(replies)) - 1]

    session, names = RavennaSession(" Stage  A "), Names("Foyer", "Stage A")
    with device(reply) as port:
        at_once(port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run, names)
            await until(lambda: session.offer)
            first = session.offer
            assert first == SessionOffer("RAVENNA", "Stage A", "- 1 IN IP4 127.0.0.1", SDP, "127.0.0.1")
            await until(lambda: session.problem)
            assert (session.problem, session.offer) == ("it answers 500 Busy", first), "what was known is still so"
            await until(lambda: session.offer != first)
            assert session.offer.version == 2
            assert session.problem == ""
            count, changes = len(asked), session.changes
            await until(lambda: len(asked) > count + 1)
            assert session.changes == changes, "asked again, and nothing new"
            names.become("Foyer")
            await until(lambda: session.offer is None)
            count = len(asked)
            await trio.sleep(0.2)
            assert len(asked) <= count + 1
            names.become("Stage A")
            await until(lambda: session.offer)
            nursery.cancel_scope.cancel()
    assert all("/by-name/Stage%20A" in request for request in asked)


async def test_what_mdns_tells_is_looked_at_at_once(
    at_once: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phasegraph_aes67.session.ravenna_session.REFRESH_S", 3600)
    texts = [SDP, SDP.replace("o=- 1 1", "o=- 1 2")]
    session, names = RavennaSession("Stage"), Names("Stage")
    with device(lambda request: answer(texts.pop(0))) as port:
        at_once(port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run, names)
            await until(lambda: session.offer)
            names.become("Stage")
            await until(lambda: session.offer.version == 2)
            nursery.cancel_scope.cancel()


async def test_a_device_that_moves_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    zeroconf = pytest.importorskip("zeroconf", reason="the package zeroconf is not installed")
    name = f"Stage {secrets.token_hex(4)}"
    second = SDP.replace("o=- 1 1", "o=- 1 2")

    def at(port: int) -> object:
        of = {"addresses": [socket.inet_aton("127.0.0.1")], "server": f"{name.replace(' ', '-')}.local."}
        return zeroconf.ServiceInfo(SESSIONS, f"{name}.{SERVICE}", port=port, **of)

    with (
        device(lambda request: answer()) as here,
        device(lambda request: answer(second)) as there,
        zeroconf.Zeroconf(interfaces=["127.0.0.1"]) as responder,
        await mdns.start(Interface("lo", 1, "127.0.0.1")) as listener,
    ):
        session = RavennaSession(name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run, mdns.MdnsBrowser(listener))
            await trio.to_thread.run_sync(responder.register_service, at(here))
            await until(lambda: session.offer)
            assert session.offer.sdp == SDP
            await trio.sleep(1.2)  # records that come again within a second are not news (RFC 6762, 10.2)
            await trio.to_thread.run_sync(responder.update_service, at(there))
            await until(lambda: session.offer.sdp == second)  # a description is asked for again after a minute only
            await trio.to_thread.run_sync(responder.unregister_service, at(there))
            await until(lambda: session.offer is None)
            nursery.cancel_scope.cancel()


async def test_a_flood_of_names_is_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    zeroconf = pytest.importorskip("zeroconf", reason="the package zeroconf is not installed")
    monkeypatch.setattr(zeroconf, "ServiceBrowser", lambda *arguments, **named: None)
    monkeypatch.setattr("phasegraph_aes67.session.mdns_records.watch_records", lambda zeroconf, report: None)
    browser = mdns.MdnsBrowser(None)  # type: ignore[arg-type]
    added, removed = zeroconf.ServiceStateChange.Added, zeroconf.ServiceStateChange.Removed
    most = [0]

    def flood() -> None:
        # A device that comes and goes, and names beyond counting.
        for n in range(20_000):
            for state in (added, removed):
                browser._report_name(None, SESSIONS, f"Stage.{SERVICE}", state)  # type: ignore[arg-type]
            browser._report_name(None, SESSIONS, f"{n}.{SERVICE}", added)  # type: ignore[arg-type]
            browser._report_record(f"{n}.{SERVICE}", "SRV", n)
            most[0] = max(most[0], len(browser._reported_names) + len(browser._reported_records))

    await trio.to_thread.run_sync(flood)
    await trio.sleep(0.05)
    assert most[0] <= 4 * mdns.MAX_NAMES
    assert len(browser.names) <= mdns.MAX_NAMES
    assert len(browser._records) <= 4 * mdns.MAX_NAMES


async def test_a_name_that_comes_and_goes_is_looked_up_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names, looked_up, waiting = Names("Stage"), [], [0]

    async def start(interface: object) -> object:
        return SimpleNamespace(close=lambda: None)

    async def slowly(browser: object, name: str) -> object:
        looked_up.append(name)
        waiting[0] += 1
        assert waiting[0] == 1
        await trio.sleep(0.2)
        waiting[0] -= 1
        return name

    monkeypatch.setattr(mdns, "start", start)
    monkeypatch.setattr(mdns, "MdnsBrowser", lambda zeroconf: names)
    monkeypatch.setattr("phasegraph_aes67.session.ravenna.look_up", slowly)
    monkeypatch.setattr("phasegraph_aes67.session.ravenna._REST_S", 0.001)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(browse_ravenna, Interface("lo", 1, "127.0.0.1"), lambda found: None)
        await until(lambda: looked_up)
        for _ in range(20):
            names.become()
            await trio.sleep(0.005)
            names.become("Stage")
            await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    assert len(looked_up) <= 3
