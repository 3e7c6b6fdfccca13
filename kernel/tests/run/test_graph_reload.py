"""A graph file that is read again: at SIGHUP and when it is saved; and whether a terminal was closed."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph import SystemLocalClock
from phasegraph._graph_file import load_graph
from phasegraph._plugins.loader import load
from phasegraph._run import controlling_terminal, graph_reload
from phasegraph._run.controlling_terminal import ControllingTerminal
from phasegraph._run.logging import make_log
from phasegraph._run.session import Session

GRAPH = """
schema = 1
[clocks.house]
kind = "system"
"""
MORE = GRAPH + '[clocks.spare]\nkind = "system"\n'


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Session]:
    path.write_text(GRAPH)
    registry = load()
    session = Session(load_graph(path, registry), registry, log=make_log(level="error"), local=SystemLocalClock())
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            await session.supervisor.started.wait()
            yield session
            session.supervisor.stop("time")


def events(session: Session) -> list[Any]:
    return [(event.name, event.fields) for event in session.services.events if event.node == "graph"]


async def test_the_run_changes_to_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "graph.toml"
    async with running(path) as session:
        path.write_text(MORE)
        assert await session.reload.reload()
        assert set(session.built.nodes) == {"house", "spare"}
        assert events(session)[-1] == ("graph_reloaded", {"text": "1 node changed"})
        assert await session.reload.reload()
        assert events(session)[-1] == ("graph_reloaded", {"text": "nothing has changed"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"schema = ", "Invalid"),
        (b"schema = 1\n[clocks.house]\nkind = 'sistem'\n", "sistem"),
        (b"\xff\xfe", "cannot read"),
        (None, "cannot read"),
    ],
)
async def test_a_file_that_is_wrong_changes_nothing_and_says_why(
    tmp_path: Path, text: bytes | None, reason: str
) -> None:
    path = tmp_path / "graph.toml"
    async with running(path) as session:
        path.unlink() if text is None else path.write_bytes(text)
        assert not await session.reload.reload()
        assert set(session.built.nodes) == {"house"}
        name, fields = events(session)[-1]
        assert name == "graph_refused"
        assert reason in fields["reason"]


async def test_a_saved_file_is_read_once_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_reload, "WATCH_S", 0.05)
    path = tmp_path / "graph.toml"
    async with running(path) as session, trio.open_nursery() as nursery:
        nursery.start_soon(session.reload.watch)
        await trio.sleep(0.2)
        assert events(session) == []
        path.with_suffix(".new").write_text(MORE)
        path.with_suffix(".new").replace(path)
        while not any(name == "graph_reloaded" for name, _ in events(session)):
            await trio.sleep(0.02)
        assert set(session.built.nodes) == {"house", "spare"}
        nursery.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
def test_a_terminal_is_closed_when_its_other_end_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr(controlling_terminal, "STANDARD_STREAMS", (file.fileno(),))
        assert not ControllingTerminal().is_closed()
        master, slave = os.openpty()
        try:
            monkeypatch.setattr(controlling_terminal, "STANDARD_STREAMS", (file.fileno(), slave))
            terminal = ControllingTerminal()
            assert not terminal.is_closed()
            os.close(master)
            assert terminal.is_closed()
        finally:
            os.close(slave)
