"""RAVENNA's way to a session description: RTSP octet by octet, and a device of our own on the loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_aes67.discover import discover_command
from phasegraph_aes67.ravenna import SERVICE, SESSIONS, describe, find
from phasegraph_aes67.rtsp import MAX_HEAD_BYTES, MalformedRtsp, ResponseReader, describe_request, session_url

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=Stage\r\nc=IN IP4 239.1.0.1/15\r\nt=0 0\r\n"
    "m=audio 5004 RTP/AVP 98\r\na=rtpmap:98 L24/48000/2\r\na=ptime:1"
)


def answer(body: str = SDP, *, status: str = "200 OK", sequence: int | None = 1) -> bytes:
    cseq = "" if sequence is None else f"CSeq: {sequence}\r\n"
    head = f"RTSP/1.0 {status}\r\n{cseq}Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def test_a_request() -> None:
    url = session_url("192.168.15.52", 8080, "Mic 8/ä")
    assert url == "rtsp://192.168.15.52:8080/by-name/Mic%208/%C3%A4"
    assert session_url("fe80::1", 80, "a") == "rtsp://[fe80::1]:80/by-name/a"
    assert describe_request(url, 3) == (
        f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 3\r\nAccept: application/sdp\r\n\r\n".encode()
    )


@given(st.lists(st.integers(0, len(answer())), max_size=5).map(sorted))
def test_an_answer_in_any_pieces(cuts: list[int]) -> None:
    octets, reader = answer(), ResponseReader(1)
    edges = [0, *cuts, len(octets)]
    got = [reader.feed(octets[begin:end]) for begin, end in pairwise(edges)]
    (response,) = [each for each in got if each is not None]
    assert (response.status, response.reason, response.body) == (200, "OK", SDP)


@pytest.mark.parametrize("before", [answer("v=0", sequence=7), answer("", status="200 OK", sequence=2)])
def test_two_answers_back_to_back(before: bytes) -> None:
    response = ResponseReader(1).feed(before + answer())
    assert response is not None
    assert response.body == SDP


def test_an_answer_without_a_number() -> None:
    assert ResponseReader(1).feed(answer(sequence=None)) is not None


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "this is no RTSP"),
        (b"RTSP/1.0 yes\r\n\r\n", "this is no RTSP"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: -3\r\n\r\n", "its length is '-3'"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n", "longer than 64 KiB"),
        (b"x" * (MAX_HEAD_BYTES + 1), "longer than 8 KiB"),
    ],
)
def test_no_answer(octets: bytes, said: str) -> None:
    with pytest.raises(MalformedRtsp, match=said):
        ResponseReader(1).feed(octets)


@given(st.binary(max_size=300))
def test_any_octets_are_an_answer_or_refused(octets: bytes) -> None:
    with suppress(MalformedRtsp):
        ResponseReader(1).feed(octets)


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
    zeroconf = pytest.importorskip("zeroconf", reason="the package zeroconf is not installed")
    with zeroconf.Zeroconf(interfaces=["127.0.0.1"]) as mdns:
        found = await find(mdns, f"{name}.{SERVICE}")
    assert found.problem.startswith("its name cannot be looked up")
