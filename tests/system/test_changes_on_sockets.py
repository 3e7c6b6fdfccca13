"""Changes of a run that sends and receives through real sockets: what they do not touch loses nothing."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph import SystemLocalClock
from phasegraph._core.graph_change import GraphEdit
from phasegraph.net import SystemNetwork
from phasegraph.testing import running_graph

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts open files by /proc")
STREAMS = 4
PORT = 15604


def stream(number: int) -> dict[str, Any]:
    return {"kind": "aes67", "interface": "127.0.0.1", "group": f"239.69.78.{number + 1}", "port": PORT}


def graph() -> str:
    lines = ["schema = 1", '[clocks.house]\nkind = "system"', '[sources.tone]\nkind = "tone"']
    for number in range(STREAMS + 1):
        place = f'interface = "127.0.0.1"\ngroup = "239.69.78.{number + 1}"\nport = {PORT}'
        lines.append(f'[sinks.out{number}]\nkind = "aes67"\ninput = "tone"\n{place}')
        if number < STREAMS:
            lines.append(f'[sources.s{number}]\nkind = "aes67"\nlink-offset = "80ms"\n{place}')
            lines.append(f'[sinks.k{number}]\nkind = "null"\ninput = "s{number}"')
    return "\n".join(lines)


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_untouched_streams_lose_nothing_and_nothing_is_left_behind() -> None:
    local = SystemLocalClock()
    add: dict[str, Any] = {
        "source.x": {**stream(STREAMS), "link-offset": "80ms"},
        "sink.kx": {"kind": "null", "input": "x"},
        "sink.relay": {**stream(40), "input": "x"},
    }
    remove = dict.fromkeys(add)
    async with running_graph(graph(), local=local, network=SystemNetwork(local)) as run:
        changes = run.session.changes
        await trio.sleep(1)
        for edit in (add, remove):  # sockets that are kept for later are open now
            await changes.apply(GraphEdit(set=edit))
        await trio.sleep(3)
        files, threads = open_files(), threading.active_count()
        for _ in range(4):
            await changes.apply(GraphEdit(set=add))
            done = await changes.apply(GraphEdit(set={"sink.kx.input": "s0", "source.x.link-offset": "100ms"}))
            assert done.applied["kx"].frame > 0
            await changes.apply(GraphEdit(set=remove))
        await trio.sleep(3)
        assert open_files() <= files
        assert threading.active_count() <= threads + 1, "a worker thread of trio may wait for its next call"
    if any(run.metrics(f"out{number}")["sender_resyncs"] for number in range(STREAMS)):
        pytest.skip("the machine stood still, and the senders began again")
    for number in range(STREAMS):
        received = run.metrics(f"s{number}")
        assert received["packets_received"] > 3000
        assert received["packets_lost"] == 0
