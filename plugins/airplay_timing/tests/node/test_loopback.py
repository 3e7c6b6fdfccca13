"""Full exchanges over this machine's loopback, with real sockets and real time."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
import trio

from phasegraph import ClockState, SystemLocalClock
from phasegraph.net import SystemNetwork
from phasegraph.testing import run_graph, running_graph

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(sys.platform != "linux", reason="the loopback is found by name on Linux only"),
]


def real() -> dict[str, Any]:
    local = SystemLocalClock()
    return {"local": local, "network": SystemNetwork(local)}


def graph(ports: list[int], mode: str, role: str = "follow") -> str:
    theirs, ours = ports
    tables = [(f'"{role}"', ours, theirs, "it"), ('"lead"', theirs, ours, "other")]
    text = "schema = 1\n"
    for which, port, peer, name in tables:
        own = f"event-port = {port}\ngeneral-port = {port + 1}" if mode == "ptp" else f"timing-port = {port}"
        text += f'[clocks.{name}]\nkind = "airplay"\ninterface = "127.0.0.1"\nmode = "{mode}"\nrole = {which}\n'
        text += f'peers = ["127.0.0.1:{peer}"]\n{own}\n'
    return text


@pytest.mark.parametrize("mode", ["ptp", "compact", "ntp"])
async def test_a_leader_and_a_follower(mode: str, free_ports: Callable[[int], list[int]]) -> None:
    async with running_graph(graph(free_ports(2), mode), **real()) as run:
        with trio.fail_after(30):
            while run.nodes["it"].estimate().state is not ClockState.LOCKED:
                await trio.sleep(0.05)
        for _ in range(5):
            await trio.sleep(0.05)
            estimate = run.nodes["it"].estimate()
            now = run.local.now_ns()
            assert abs(estimate.reference_at(now) - now) <= estimate.bound_ns  # the leader tells local time
    mine, theirs = run.metrics("it"), run.metrics("other")
    assert (mine["leading"], theirs["leading"]) == (0, 1)
    assert mine["exchanges"] >= 4
    assert mine["send_errors"] == theirs["send_errors"] == 0


async def test_auto_follows_a_leader_with_a_better_priority(free_ports: Callable[[int], list[int]]) -> None:
    async with running_graph(graph(free_ports(2), "ptp", "auto"), **real()) as run:
        with trio.fail_after(30):
            while run.nodes["it"].estimate().state is not ClockState.LOCKED:
                await trio.sleep(0.05)
        assert run.nodes["it"].estimate().grandmaster == run.nodes["other"].estimate().grandmaster


async def test_a_free_port_is_taken_and_told() -> None:
    text = 'schema = 1\n[clocks.it]\nkind = "airplay"\ninterface = "127.0.0.1"\nmode = "ntp"\nrole = "lead"\n'
    run = await run_graph(text, for_s=0.3, **real())
    assert run.metrics("it")["timing_port"] > 1023
    assert [event["port"] for event in run.events("timing_port")] == [run.metrics("it")["timing_port"]]


async def test_a_port_that_somebody_has() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 0))
        port = other.getsockname()[1]
        text = f'schema = 1\n[clocks.it]\nkind = "airplay"\ninterface = "127.0.0.1"\nevent-port = {port}\n'
        run = await run_graph(text, for_s=2, **real())
    reason = run.events("failed")[0]["reason"]
    assert f"UDP port {port}" in reason
    assert "event-port and general-port" in reason
