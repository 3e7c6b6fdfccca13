"""What clients may cost an RTSP server: in virtual time, over streams in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from phasegraph_aes67.session.rtsp_listener import RtspServer
from phasegraph_aes67.session.rtsp_stream import BURST_S, LEAST_COST, OCTETS_PER_S, ReadBudget, RtspStream

REQUEST = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"


def server() -> RtspServer:
    sock = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 8554))
    listener: Any = SimpleNamespace(socket=sock)
    return RtspServer(listener)


async def flood(rtsp: RtspServer, octets: bytes) -> int:
    """Send these octets; returns how many answers came."""
    client, peer = trio.testing.memory_stream_pair()
    received = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rtsp.serve_client, peer)
        await client.send_all(octets)
        assert client.send_stream is not None
        await client.send_stream.aclose()
        async for some in client:
            received += some
    return received.count(b"RTSP/1.0 200")


@pytest.mark.slow
async def test_a_flood_of_requests_is_answered_at_a_bounded_rate(autojump_clock: object) -> None:
    count = 10_000
    began = trio.current_time()
    assert await flood(server(), REQUEST * count) == count
    seconds = trio.current_time() - began
    assert seconds == pytest.approx(len(REQUEST) * count / OCTETS_PER_S - BURST_S, rel=0.1)


@pytest.mark.slow
async def test_a_flood_of_clients_shares_one_budget(autojump_clock: object) -> None:
    rtsp, clients, count = server(), 20, 1000
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(flood, rtsp, REQUEST * count)
    seconds = trio.current_time() - began
    assert seconds == pytest.approx(clients * len(REQUEST) * count / OCTETS_PER_S - BURST_S, rel=0.2)
    assert rtsp.clients == 0


async def test_blank_lines_end_the_connection(autojump_clock: object) -> None:
    rtsp = server()
    began = trio.current_time()
    assert await flood(rtsp, b"\r\n" * 1_000_000) == 0
    assert (rtsp.refused, rtsp.clients) == (1, 0)
    assert trio.current_time() - began < 1.0


async def test_small_pieces_have_a_least_cost(autojump_clock: object) -> None:
    budget, began = ReadBudget(), trio.current_time()
    for _ in range(1000):
        await budget.spend(1)
    assert trio.current_time() - began == pytest.approx(1000 * LEAST_COST / OCTETS_PER_S - BURST_S)
    await trio.sleep(100)
    began = trio.current_time()
    await budget.spend(OCTETS_PER_S)
    assert trio.current_time() == began
    await budget.spend(OCTETS_PER_S)
    assert trio.current_time() - began == pytest.approx(1.0), "a pause does not save up more than the burst"


async def test_a_client_that_does_not_read_is_left(autojump_clock: object) -> None:
    client, peer = trio.testing.lockstep_stream_pair()
    stream = RtspStream(peer, ReadBudget())
    with pytest.raises(OSError, match="does not read"):
        await stream.send_all(b"x")
    await client.aclose()
