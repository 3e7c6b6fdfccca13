"""RTSP octet by octet: what a client makes of a device, and a server of its clients."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_aes67.session.rtsp import (
    MAX_BLANK_BYTES,
    MAX_HEAD_BYTES,
    MalformedRtsp,
    RtspMessage,
    RtspReader,
    RtspRequest,
    RtspResponse,
    message,
    session_url,
)
from phasegraph_aes67.session.rtsp_client import DescribeClient
from phasegraph_aes67.session.rtsp_server import RtspServerConnection, SessionCatalogue

SDP = (
    "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=Stage\r\nt=0 0\r\nc=IN IP4 239.1.0.1/15\r\n"
    "m=audio 5004 RTP/AVP 98\r\na=rtpmap:98 L24/48000/2"
)
FIRST, SECOND = SDP.format(version=1), SDP.format(version=2)
URL = "rtsp://127.0.0.1:8554/by-name/Stage"


def answer(body: str = FIRST, *, status: str = "200 OK", sequence: int | None = 1) -> bytes:
    return message(f"RTSP/1.0 {status}", {} if sequence is None else {"CSeq": sequence}, body)


def announce(body: str, *, sequence: int = 5) -> bytes:
    return message(f"ANNOUNCE {URL} RTSP/1.0", {"CSeq": sequence}, body)


def messages(octets: bytes) -> list[RtspMessage]:
    reader, found = RtspReader(), []
    reader.receive_data(octets)
    while (came := reader.next_message()) is not None:
        found.append(came)
    return found


def answers(octets: bytes) -> list[RtspResponse]:
    found = messages(octets)
    assert all(isinstance(each, RtspResponse) for each in found)
    return found  # type: ignore[return-value]


class TestMessages:
    @given(st.lists(st.integers(0, len(answer() + announce(SECOND))), max_size=6).map(sorted))
    def test_in_any_pieces(self, cuts: list[int]) -> None:
        octets, reader, got = answer() + announce(SECOND), RtspReader(), []
        for begin, end in pairwise([0, *cuts, len(octets)]):
            reader.receive_data(octets[begin:end])
            while (came := reader.next_message()) is not None:
                got.append(came)
        response, request = got
        assert isinstance(response, RtspResponse)
        assert isinstance(request, RtspRequest)
        assert (response.status, response.reason, response.body) == (200, "OK", FIRST)
        assert (request.method, request.url, request.headers["cseq"], request.body) == ("ANNOUNCE", URL, "5", SECOND)

    def test_lines_may_end_as_they_like(self) -> None:
        (request,) = messages(b"\r\n\nOPTIONS * RTSP/1.0\nCSeq: 4\n\n")
        assert isinstance(request, RtspRequest)
        assert (request.url, request.headers) == ("*", {"cseq": "4"})

    @pytest.mark.parametrize("line", ["ANNOUNCE  RTSP/1.0", "ANNOUNCE RTSP/1.0", "ANNOUNCE   RTSP/1.0 "])
    def test_a_request_without_a_uri(self, line: str) -> None:
        (request,) = messages(f"{line}\r\nContent-Length: 3\r\n\r\nv=0".encode())
        assert isinstance(request, RtspRequest)
        assert (request.method, request.url, request.body) == ("ANNOUNCE", "", "v=0")

    @pytest.mark.parametrize("piece", [b"\r\n", b"\n", b"\r" * 500])
    def test_blank_lines_are_neither_kept_nor_endless(self, piece: bytes) -> None:
        reader = RtspReader()
        for _ in range(MAX_BLANK_BYTES // len(piece)):
            reader.receive_data(piece)
            assert reader.next_message() is None
        reader.receive_data(piece)
        reader.receive_data(piece)
        with pytest.raises(MalformedRtsp, match="blank lines"):
            reader.next_message()
        assert not reader._octets

    def test_blank_lines_between_messages_are_counted_for_each(self) -> None:
        request = b"\r\n" * (MAX_BLANK_BYTES // 2) + b"OPTIONS * RTSP/1.0\r\nCSeq: 4\r\n\r\n"
        assert len(messages(request * 5)) == 5

    def test_a_charset_of_a_description(self) -> None:
        body = "v=0\r\ns=B\xfchne\r\na=charset:ISO-8859-1\r\n".encode("latin-1")
        (response,) = messages(b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert "B\xfchne" in response.body

    def test_where_a_session_is_described(self) -> None:
        assert session_url("192.168.15.52", 8080, "Mic 8/ä") == "rtsp://192.168.15.52:8080/by-name/Mic%208/%C3%A4"
        assert session_url("fe80::1", 80, "a") == "rtsp://[fe80::1]:80/by-name/a"

    @pytest.mark.parametrize(
        ("octets", "said"),
        [
            (b"HTTP/1.1 200 OK\r\n\r\n", "this is not RTSP"),
            (b"RTSP/1.0 yes\r\n\r\n", "this is not RTSP"),
            (b"$\0\0\4abcd\r\n\r\n", "this is not RTSP"),
            (b"RTSP/1.0 200 OK\r\nContent-Length: -3\r\n\r\n", "its length is '-3'"),
            (b"RTSP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n", "longer than 64 KiB"),
            (b"x" * (MAX_HEAD_BYTES + 1), "longer than 8 KiB"),
        ],
    )
    def test_what_is_none(self, octets: bytes, said: str) -> None:
        with pytest.raises(MalformedRtsp, match=said):
            messages(octets)


class TestClient:
    def asked(self) -> DescribeClient:
        client = DescribeClient(URL)
        assert client.request() == f"DESCRIBE {URL} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode()
        assert client.waiting
        return client

    @pytest.mark.parametrize("before", [answer("v=0", sequence=7), answer("", sequence=2), announce(SECOND)])
    def test_the_answer_among_others(self, before: bytes) -> None:
        client = self.asked()
        client.receive_data(before + answer())
        assert (client.description, client.waiting) == (FIRST, False)

    def test_an_answer_without_a_number(self) -> None:
        client = self.asked()
        client.receive_data(answer(sequence=None))
        assert client.description == FIRST

    def test_a_refusal(self) -> None:
        with pytest.raises(MalformedRtsp, match="it answers 404 Not Found"):
            self.asked().receive_data(answer("", status="404 Not Found"))

    def test_what_a_device_pushes(self) -> None:
        client = self.asked()
        client.receive_data(answer())
        other = SECOND.replace("o=- 1 ", "o=- 9 ")
        (told,) = answers(client.receive_data(announce(other, sequence=8)))
        assert (told.status, told.headers["cseq"], client.description) == (200, "8", FIRST), "another session's"
        client.receive_data(announce(SECOND))
        assert client.description == SECOND
        (refused,) = answers(client.receive_data(b"SETUP * RTSP/1.0\r\nCSeq: 9\r\n\r\n"))
        assert refused.status == 501
        assert client.request().startswith(b"DESCRIBE")
        client.receive_data(answer(sequence=2))
        assert (client.description, client.waiting) == (FIRST, False)


class TestServer:
    def connection(self) -> tuple[SessionCatalogue, RtspServerConnection]:
        catalogue = SessionCatalogue()
        catalogue.put("Foyer", "v=0\r\n")
        catalogue.put("Stage", FIRST)
        return catalogue, RtspServerConnection(catalogue, "127.0.0.1", 8554)

    @pytest.mark.parametrize("url", [URL, f"{URL}/", "/by-name/Stage", "rtsp://x/by-id/2", "rtsp://x/by-name/S%74age"])
    def test_a_session_is_described(self, url: str) -> None:
        _, connection = self.connection()
        (response,) = answers(connection.receive_data(f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 3\r\n\r\n".encode()))
        assert (response.status, response.body) == (200, FIRST)
        assert response.headers == {
            "cseq": "3",
            "content-base": f"{URL}/",
            "content-type": "application/sdp",
            "content-length": str(len(FIRST)),
        }

    @pytest.mark.parametrize(
        ("request_line", "status"),
        [
            ("OPTIONS * RTSP/1.0", 200),
            (f"GET_PARAMETER {URL} RTSP/1.0", 200),
            ("DESCRIBE rtsp://x/by-name/Unknown RTSP/1.0", 404),
            ("DESCRIBE rtsp://x/by-id/9 RTSP/1.0", 404),
            ("DESCRIBE rtsp://[x/by-id/1 RTSP/1.0", 404),
            (f"PLAY {URL} RTSP/1.0", 200),
            (f"TEARDOWN {URL} RTSP/1.0", 200),
            ("SETUP rtsp://x/by-id/9 RTSP/1.0", 404),
            (f"SETUP {URL} RTSP/1.0", 461),
            (f"SETUP {URL} RTSP/1.0\r\nTransport: RTP/AVP;unicast;client_port=5000-5001", 461),
            (f"PAUSE {URL} RTSP/1.0", 405),
            (f"BREW {URL} RTSP/1.0", 501),
        ],
    )
    def test_what_else_is_asked(self, request_line: str, status: int) -> None:
        _, connection = self.connection()
        (response,) = answers(connection.receive_data(f"{request_line}\r\nCSeq: 12\r\n\r\n".encode()))
        assert (response.status, response.headers["cseq"]) == (status, "12")
        assert connection.refused == (status != 200)
        assert not connection.closing
        if status == 405:
            assert "DESCRIBE" in response.headers["allow"]

    def test_a_player_is_told_where_to_listen(self) -> None:
        _, connection = self.connection()
        wanted = "Transport: RTP/AVP;unicast;client_port=5000-5001,RTP/AVP;multicast"
        (response,) = answers(connection.receive_data(f"SETUP {URL}/ RTSP/1.0\r\nCSeq: 1\r\n{wanted}\r\n\r\n".encode()))
        assert response.status == 200
        assert response.headers["transport"] == "RTP/AVP;multicast;destination=239.1.0.1;port=5004-5005;ttl=15"
        assert response.headers["session"]

    def test_a_unicast_stream_is_not_to_be_had(self) -> None:
        catalogue, connection = self.connection()
        catalogue.put("Stage", FIRST.replace("239.1.0.1/15", "127.0.0.1"))
        octets = f"SETUP {URL} RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP;multicast\r\n\r\n".encode()
        assert answers(connection.receive_data(octets))[0].status == 461

    def test_several_at_once(self) -> None:
        _, connection = self.connection()
        requests = "".join(f"DESCRIBE /by-id/{number} RTSP/1.0\r\nCSeq: {number}\r\n\r\n" for number in (1, 2))
        assert [response.body for response in answers(connection.receive_data(requests.encode()))] == ["v=0\r\n", FIRST]

    @pytest.mark.parametrize(
        "octets",
        [b"nonsense\r\n\r\n", b"DESCRIBE /by-id/1 RTSP/1.0\r\n\r\n", b"OPTIONS * RTSP/1.0\r\nCSeq: x\ry\r\n\r\n"],
    )
    def test_nonsense_ends_the_connection(self, octets: bytes) -> None:
        _, connection = self.connection()
        (response,) = answers(connection.receive_data(octets))
        assert (response.status, response.headers) == (400, {})
        assert (connection.closing, connection.refused) == (True, 1)

    @pytest.mark.parametrize(
        ("request_line", "first", "body"),
        [
            ("GET /by-name/Stage HTTP/1.1", "HTTP/1.1 200 OK", FIRST),
            ("GET / HTTP/1.0", "HTTP/1.1 404 Not Found", ""),
            ("POST /by-name/Stage HTTP/1.1", "HTTP/1.1 405 Method Not Allowed", ""),
        ],
    )
    def test_http_is_answered(self, request_line: str, first: str, body: str) -> None:
        _, connection = self.connection()
        head, _, rest = (
            connection.receive_data(f"{request_line}\r\nHost: x\r\n\r\n".encode()).decode().partition("\r\n\r\n")
        )
        assert head.splitlines()[0] == first
        assert "Connection: close" in head
        assert (rest, connection.closing) == (body, True)

    def test_news_are_told_to_who_asked(self) -> None:
        catalogue, connection = self.connection()
        catalogue.put("Stage", "v=0\r\ns=before anybody asked\r\n")
        assert connection.announcements() == b""
        catalogue.put("Stage", FIRST)
        connection.receive_data(b"DESCRIBE /by-id/2 RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        assert connection.announcements() == b"", "it knows that"
        catalogue.put("Stage", SECOND)
        catalogue.put("Foyer", SECOND)
        (told,) = messages(connection.announcements())
        assert isinstance(told, RtspRequest)
        assert (told.method, told.url, told.body, told.headers["cseq"]) == ("ANNOUNCE", URL, SECOND, "1")
        assert connection.announcements() == b""
        assert connection.receive_data(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n") == b"", "an answer needs none"
        catalogue.withdraw("Stage")
        assert connection.announcements() == b""
        (gone,) = answers(connection.receive_data(b"DESCRIBE /by-id/2 RTSP/1.0\r\nCSeq: 2\r\n\r\n"))
        assert gone.status == 404
        catalogue.put("Stage", FIRST)
        (back,) = answers(connection.receive_data(b"DESCRIBE /by-id/2 RTSP/1.0\r\nCSeq: 3\r\n\r\n"))
        assert back.body == FIRST, "it keeps its number"

    def test_what_it_announces_its_client_follows(self) -> None:
        catalogue, connection = self.connection()
        client = DescribeClient(URL)
        client.receive_data(connection.receive_data(client.request()))
        assert client.description == FIRST
        catalogue.put("Stage", SECOND)
        assert connection.receive_data(client.receive_data(connection.announcements())) == b""
        assert client.description == SECOND
        assert connection.refused == 0


PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"DESCRIBE /by-id/1 RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\n",
            b"SETUP /by-id/1 RTSP/1.0\r\nTransport: RTP/AVP;multicast\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"ANNOUNCE / RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0",
            b"RTSP/1.0 200 OK\r\n",
            b"CSeq: 1\r\n",
            b"Content-Length: 70000\r\n",
            b"Content-Length: 5\r\n",
            b"\r\n\r\n",
            b"\n\n",
            b"\r",
        ]
    ),
)


@given(st.lists(PIECES, max_size=12))
def test_any_octets_are_understood_or_refused(pieces: list[bytes]) -> None:
    catalogue = SessionCatalogue()
    catalogue.put("a", FIRST)
    connection = RtspServerConnection(catalogue, "127.0.0.1", 8554)
    client = DescribeClient(URL)
    client.request()
    for piece in pieces:
        if not connection.closing:
            for each in messages(connection.receive_data(piece).replace(b"HTTP/1.1", b"RTSP/1.0")):
                assert isinstance(each, RtspResponse), "whatever is asked, what leaves is well-formed"
    with suppress(MalformedRtsp):
        for piece in pieces:
            assert all(isinstance(each, RtspResponse) for each in messages(client.receive_data(piece)))
