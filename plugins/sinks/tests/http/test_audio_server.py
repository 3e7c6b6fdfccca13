"""The server in virtual time, over streams in memory."""

import struct
from functools import partial

import numpy as np
import pytest
import trio
import trio.testing

from phasegraph_sinks.http.audio_server import MOST_CONNECTIONS, AudioServer

HEAD = b"GET /stream.wav HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def server(ctx, format_of):
    return AudioServer(ctx, format_of("L16"), most_listeners=2, hosts=frozenset())


@pytest.fixture
def connect(server, nursery):
    async def connect(request=HEAD):
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve, theirs)
        if request is not None:
            await ours.send_all(request)
        return ours

    return connect


async def everything(stream):
    parts = []
    while part := await stream.receive_some():
        parts.append(bytes(part))
    return b"".join(parts)


async def status(stream):
    return int((await everything(stream)).split(b" ")[1])


def unchunked(answer):
    head, rest = answer.split(b"\r\n\r\n", 1)
    body = b""
    while rest:
        size, rest = rest.split(b"\r\n", 1)
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return head, body


async def test_listeners_get_the_stream_from_where_they_come(server, connect, noise, format_of, autojump_clock):
    frames = noise(format_of("L16"), 9600)
    first = await connect()
    await trio.sleep(0.1)
    server.distribute(frames[:4800])
    second = await connect()
    await trio.sleep(0.1)
    server.distribute(frames[4800:])
    server.end()
    for stream, begin in ((first, 0), (second, 4800)):
        head, body = unchunked(await everything(stream))
        assert head.startswith(b"HTTP/1.1 200")
        assert b"content-type: audio/wav" in head
        assert body[44:] == np.round(frames[begin:] * 32768).astype("<i2").tobytes()
        assert struct.unpack_from("<I", body, 40) == (0xFFFF_FFFF,)
    assert server.queues == ()
    assert server.listeners_since_start == 2


async def test_a_listener_that_does_not_read_loses_frames_and_then_its_connection(
    server, noise, format_of, autojump_clock
):
    sent = []

    async def send_all(data):
        sent.append(len(data))
        if len(sent) > 2:
            await trio.sleep_forever()

    pair = trio.testing.memory_stream_pair()
    pair[1].send_all = send_all
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, pair[1])
        await pair[0].send_all(HEAD)
        began = trio.current_time()
        for _ in range(40):  # eight seconds
            await trio.sleep(0.2)
            server.distribute(noise(format_of("L16"), 9600))
        assert len(server.queues) == 1
        dropped = server.frames_dropped
        assert 240_000 <= dropped <= 320_000  # two seconds wait for it
    assert server.queues == ()
    assert trio.current_time() - began < 12
    assert server.frames_dropped >= dropped


async def test_a_listener_that_leaves_is_forgotten(server, connect, autojump_clock):
    stream = await connect()
    await trio.sleep(0.1)
    assert len(server.queues) == 1
    await stream.aclose()
    await trio.sleep(0.1)
    assert server.queues == ()


async def test_there_is_a_most_of_listeners(server, connect, autojump_clock):
    for _ in range(2):
        await connect()
    await trio.sleep(0.1)
    answer = await everything(await connect())
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"2 listeners already" in answer
    assert server.requests_refused == 1


async def test_there_is_a_most_of_connections(server, connect, autojump_clock):
    silent = [await connect(None) for _ in range(MOST_CONNECTIONS)]
    await trio.sleep(0.1)
    assert await status(await connect()) == 503
    assert {await status(stream) for stream in silent} == {408}  # five seconds later
    ours = await connect()
    await trio.sleep(0.1)
    assert len(server.queues) == 1
    await ours.aclose()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET /stream.wav HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET /stream.wav HTTP/1.1\r\nHost: a.example\r\n\r\n", 403),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"HEAD /stream.flac HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n", 405),
    ],
)
async def test_strange_requests(server, connect, request_, expected, autojump_clock):
    answer = await everything(await connect(request_))
    assert int(answer.split(b" ")[1]) == expected
    assert server.queues == ()
    if request_.startswith(b"HEAD"):
        assert answer.endswith(b"\r\n\r\n")


async def test_a_rate_that_opus_has_not_is_refused(ctx, format_of, nursery, autojump_clock):
    server = AudioServer(ctx, format_of("L16", rate=44_100), most_listeners=2, hosts=frozenset())
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(partial(server.serve, theirs))
    await ours.send_all(HEAD.replace(b"wav", b"opus"))
    answer = await everything(ours)
    assert answer.startswith(b"HTTP/1.1 406")
    assert b"44100" in answer
