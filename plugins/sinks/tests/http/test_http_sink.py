"""Whom an ``http`` sink lets listen: an address that others reach needs a password."""

import pytest
import trio

from phasegraph_sinks.http import http_sink
from phasegraph_sinks.http.audio_server import WRONG_PASSWORD_S, AudioServer
from phasegraph_sinks.http.options import HttpConfig

PASSWORD = "twelve and more"


@pytest.fixture
def sink(options, tmp_path):
    def make(password=None, **fields):
        if password is not None:
            (tmp_path / "listen.password").write_text(password, encoding="utf-8")
            fields["password-file"] = str(tmp_path / "listen.password")
        return http_sink.make(options(HttpConfig, input="take", **fields), None, None)

    return make


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_this_computer_needs_no_password(sink, address):
    sink(address=address)
    sink(PASSWORD, address=address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.5", "studio.example"])
def test_an_address_that_others_reach_needs_one(sink, refused, address):
    refused(lambda: sink(address=address), "without a password", "password-file", option="address")
    sink(f"{PASSWORD}\nnot this line", address=address)


@pytest.mark.parametrize("password", ["", "short", "           \nlong enough but not here"])
def test_a_password_has_twelve_characters(sink, refused, password):
    refused(lambda: sink(password), "fewer than 12 characters", option="password-file")


async def test_a_wrong_password_takes_its_time(ctx, format_of, autojump_clock):
    server = AudioServer(ctx, format_of("L16"), most_listeners=1, hosts=frozenset(), password=PASSWORD)
    took = []
    for authorization in ("", "Authorization: Basic d3Jvbmc6d3Jvbmc=\r\n"):
        ours, theirs = trio.testing.memory_stream_pair()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve, theirs)
            await ours.send_all(f"GET /stream.wav HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n".encode())
            answer = b""
            while more := await ours.receive_some():
                answer += bytes(more)
        assert answer.startswith(b"HTTP/1.1 401")
        took.append(trio.current_time() - began)
    assert took == [0, WRONG_PASSWORD_S]
    assert server.queues == ()
