"""RAVENNA's way to a session description, with a device of our own on the loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from phasegraph.net import Interface
from phasegraph_aes67 import mdns
from phasegraph_aes67.discover import discover_command
from phasegraph_aes67.mdns import SERVICE, SESSIONS
from phasegraph_aes67.ravenna import describe, find
from phasegraph_aes67.rtsp import MalformedRtsp

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
    with device(lambda request: answer()) as port:
        responder = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
        info = zeroconf.ServiceInfo(
            SESSIONS, f"Stage.{SERVICE}", addresses=[socket.inet_aton("127.0.0.1")], port=port, server="stage.local."
        )
        try:
            responder.register_service(info, cooperating_responders=True)
            result = CliRunner().invoke(discover_command, ["--interface", "lo", "--for", "3s", "--format", "json"])
        finally:
            responder.close()
    assert result.exit_code == 0, result.output
    (session,) = [each for each in json.loads(result.output) if each["by"] == "mdns" and each["name"] == "Stage"]
    assert (session["origin"], session["sdp"], session["ok"]) == ("127.0.0.1", SDP, True)
    assert session["streams"][0]["group"] == "239.1.0.1"


@pytest.mark.parametrize("name", ["x" * 80, "", "a\0b"])
async def test_a_name_that_nobody_can_look_up(name: str) -> None:
    pytest.importorskip("zeroconf", reason="the package zeroconf is not installed")
    zeroconf = await mdns.start(Interface("lo", 1, "127.0.0.1"))
    with zeroconf:
        found = await find(mdns.Sightings(zeroconf), name)
    assert found.problem.startswith("its name cannot be looked up")
