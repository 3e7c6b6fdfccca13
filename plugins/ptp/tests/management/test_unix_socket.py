"""Management over a UNIX socket: who is answered, and what becomes of the file."""

from __future__ import annotations

import socket
import stat
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from phasegraph import NodeError
from phasegraph.ieee1588 import (
    Action,
    Management,
    ManagementId,
    ManagementTlv,
    PortIdentity,
    Signaling,
    Tlv,
    TlvType,
    decode,
    encode,
)
from phasegraph_ptp.protocol.management_data import ManagementView
from phasegraph_ptp.protocol.management_responder import answer
from phasegraph_ptp.unix_management import serve_management

ASKING = PortIdentity(0, 7)
QUESTION = Management(
    source=ASKING, sequence=1, domain=3, action=Action.GET, tlvs=(ManagementTlv(ManagementId.DOMAIN).to_tlv(),)
)


def serving(path: Path, view: ManagementView, dropped: Counter[str]) -> partial[object]:
    def answers(request: Management) -> list[Management]:
        reply = answer(request, view)
        return [] if reply is None else [reply]

    return partial(serve_management, path, answers, dropped)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ptp.sock"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.bind(str(tmp_path / "client"))
        client.setblocking(False)
        yield client


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.trio
async def test_answers_and_cleans_up(path: Path, view: ManagementView, client: socket.socket) -> None:
    dropped: Counter[str] = Counter()
    async with trio.open_nursery() as nursery:
        await nursery.start(serving(path, view, dropped))
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        for _ in range(40):
            client.sendto(encode(QUESTION), str(path))
            await settle()
            reply = decode(client.recv(2048))
            assert isinstance(reply, Management)
            assert reply.tlvs == (ManagementTlv(ManagementId.DOMAIN, b"\x03\x00").to_tlv(),)
        nursery.cancel_scope.cancel()
    assert not path.exists()
    assert not dropped


@pytest.mark.trio
async def test_what_gets_no_answer_is_counted(path: Path, view: ManagementView, client: socket.socket) -> None:
    dropped: Counter[str] = Counter()
    odd = Management(source=ASKING, sequence=1, domain=3, action=0, tlvs=(Tlv(TlvType.MANAGEMENT),))
    elsewhere = Management(source=ASKING, sequence=1, domain=9, action=0, tlvs=QUESTION.tlvs)
    async with trio.open_nursery() as nursery:
        await nursery.start(serving(path, view, dropped))
        for datagram in (
            b"",
            b"nonsense",
            encode(odd),
            encode(elsewhere),
            encode(Signaling(source=ASKING, sequence=1)),
        ):
            client.sendto(datagram, str(path))
            await settle()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
            nameless.sendto(encode(QUESTION), str(path))
        await settle()
        nursery.cancel_scope.cancel()
    assert dropped == {"truncated": 2, "tlv": 1, "not_for_us": 2, "no_return_address": 1}
    with pytest.raises(BlockingIOError):
        client.recv(1)


@pytest.mark.trio
async def test_a_client_that_does_not_read_delays_no_other(
    path: Path, tmp_path: Path, view: ManagementView, client: socket.socket
) -> None:
    dropped: Counter[str] = Counter()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        async with trio.open_nursery() as nursery:
            await nursery.start(serving(path, view, dropped))
            while not dropped["not_delivered"]:
                deaf.sendto(encode(QUESTION), str(path))
                await settle()
            client.sendto(encode(QUESTION), str(path))
            await settle()
            assert decode(client.recv(2048))
            nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_the_socket_of_a_dead_process_is_replaced(path: Path, view: ManagementView) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    async with trio.open_nursery() as nursery:
        await nursery.start(serving(path, view, Counter()))
        nursery.cancel_scope.cancel()
    assert not path.exists()


@pytest.mark.trio
async def test_a_file_that_was_replaced_is_left(path: Path, view: ManagementView) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serving(path, view, Counter()))
        path.unlink()
        path.write_text("somebody else's")
        nursery.cancel_scope.cancel()
    assert path.read_text() == "somebody else's"


@pytest.mark.trio
async def test_what_is_in_the_way_is_left(path: Path, tmp_path: Path, view: ManagementView) -> None:
    async def refused(where: Path) -> str:
        with pytest.raises(NodeError) as caught:
            await serve_management(where, lambda request: (), Counter())
        return str(caught.value)

    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        place = tmp_path / f"live-{int(kind)}"
        with socket.socket(socket.AF_UNIX, kind) as live:
            live.bind(str(place))
            if kind is socket.SOCK_STREAM:
                live.listen()
            await refused(place)
            assert place.exists()
    path.write_text("a file")
    assert "no socket" in await refused(path)
    assert path.read_text() == "a file"
    assert "make its folder" in await refused(tmp_path / "none" / "ptp.sock")
    assert "too long" in await refused(tmp_path / ("x" * 120))
