"""Finding ptp4l's socket, and asking it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph import NodeError
from phasegraph_ptp.ptp4l import client
from phasegraph_ptp.ptp4l.client import Ptp4lClient, SilentError, find_sockets


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    places = [tmp_path / name for name in ("new", "old", "new-ro", "old-ro")]
    monkeypatch.setattr(client, "PLACES", tuple(map(str, places)))
    return places


def test_the_usual_places(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NodeError, match="no socket of ptp4l at .*/new or .*/old or .*/new-ro or .*/old-ro") as caught:
        find_sockets("")
    assert "ptp4l -i eth0 -S -s" in str(caught.value)
    for place in places[1:]:
        place.touch()
    assert find_sockets("") == places[1:]
    monkeypatch.setattr(os, "access", lambda path, mode: str(path).endswith("-ro"))
    assert find_sockets("") == places[2:]
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(NodeError, match="may not write to the socket .*/old of ptp4l .*uds_ro_file_mode"):
        find_sockets("")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "ptp4l"))
        server.setblocking(False)
        yield server


async def asked(ptp4l: Ptp4lClient) -> str:
    with pytest.raises(SilentError) as caught:
        await ptp4l.query()
    return str(caught.value)


@pytest.mark.trio
async def test_every_way_is_tried_in_turn(ptp4l: Any, autojump_clock: object) -> None:
    asking = Ptp4lClient(str(ptp4l.path), domain=0, major_sdo=0)
    await asking.connect()
    ptp4l.answering = False
    for _ in range(4):
        assert await asked(asking) == "no answer"
    ptp4l.answering = True
    await asking.query()
    assert [path.name for path in ptp4l.path.parent.iterdir()] == ["ptp4l"]  # by the address without a file
    ptp4l.answering = False
    await asked(asking)
    ptp4l.answering = True
    await asking.query()
    (ours,) = (path for path in ptp4l.path.parent.iterdir() if path != ptp4l.path)
    assert ours.stat().st_mode & 0o777 == 0o666
    asking.close()
    assert not ours.exists()


@pytest.mark.trio
@pytest.mark.parametrize(("answer", "said"), [(b"nonsense", "truncated: 8 octets"), (b"", "truncated: 0 octets")])
async def test_nonsense(
    server: socket.socket, tmp_path: Path, answer: bytes, said: str, autojump_clock: object
) -> None:
    async def answering() -> None:
        while True:
            await trio.lowlevel.wait_readable(server)
            _, sender = server.recvfrom(100)
            with suppress(OSError):  # the client has given up
                server.sendto(answer, sender)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answering)
        with pytest.raises(NodeError, match=said):
            await Ptp4lClient(str(tmp_path / "ptp4l"), domain=0, major_sdo=0).connect()
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_no_other_process_can_answer(ptp4l: Any, tmp_path: Path, autojump_clock: object) -> None:
    asking = Ptp4lClient(str(ptp4l.path), domain=0, major_sdo=0)
    await asking.connect()
    assert asking._link is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger, pytest.raises(PermissionError):
        stranger.sendto(b"nonsense", asking._link._socket.getsockname())
    asking.close()
