"""Anything at all arrives, and the graph goes on: counted, never raised."""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

import numpy as np
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from phasegraph.testing import SimNetwork, SimWire, running_graph, sim_registry

CALM = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
GROUP = ("239.69.1.1", 5004)
NEAR_HEADERS = st.builds(
    lambda first, kind, sequence, timestamp, ssrc, rest: (
        struct.pack("!BBHII", first, kind, sequence, timestamp, ssrc) + rest
    ),
    st.sampled_from([0x80, 0x80, 0x80, 0x90, 0xA0, 0x8F, 0xB1, 0x40, 0xC0]),
    st.sampled_from([98, 98, 98, 226, 97, 0, 72, 200]),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([0, 1, 0xFFFFFFFF]),
    st.binary(max_size=40) | st.sampled_from([bytes(288), bytes(6), bytes(1440)]),
)
DATAGRAMS = st.lists(st.binary(max_size=80) | NEAR_HEADERS | st.just(bytes(1501)), min_size=1, max_size=30)


async def throw(wire: SimWire, datagrams: list[bytes], every_s: float) -> None:
    host = SimNetwork(wire=wire)
    sender = host.sender(host.interface("eth0"), ttl=1, dscp=0)
    buffer = sender.buffer(1, 2000, [GROUP])
    for datagram in datagrams:
        buffer.data[0, : len(datagram)] = np.frombuffer(datagram, np.uint8)
        buffer.length[0] = len(datagram)
        sender.send(buffer, 0, 1)
        await trio.sleep(every_s)


def hears(metrics: dict[str, Any]) -> int:
    heard: int = sum(metrics[f"packets_{name}"] for name in ("received", "malformed", "foreign"))
    return heard


async def listen(graph: str, registry: Any, datagrams: list[bytes]) -> dict[str, Any]:
    network = SimNetwork()
    async with running_graph(graph, network=network, registry=registry) as run:
        await throw(network.wire, datagrams, 0.0003)
        await trio.sleep(0.1)
    assert run.report["nodes"]["it"]["state"] == "running"
    assert run.report["nodes"]["recorder"]["state"] == "ended"
    assert run.report["ended"] == "time"
    metrics = run.metrics("it")
    assert hears(metrics) == len(datagrams)
    assert all(value >= 0 for name, value in metrics.items() if name.startswith(("packets", "frames")))
    return metrics


@pytest.mark.slow
def test_any_datagrams_to_a_stream(graphs: Any) -> None:
    graph = graphs.head + graphs.receiving(end_after=None)
    registry = sim_registry(["kernel", "aes67"])

    @settings(CALM, max_examples=40)
    @given(DATAGRAMS)
    def check(datagrams: list[bytes]) -> None:
        trio.run(partial(listen, graph, registry, datagrams), clock=MockClock(autojump_threshold=0))

    check()


def test_any_datagrams_to_a_stream_of_relative_time(graphs: Any) -> None:
    graph = graphs.head + graphs.receiving(end_after=None, media_clock="relative", link_offset="0ms")
    registry = sim_registry(["kernel", "aes67"])

    @settings(CALM, max_examples=20)
    @given(DATAGRAMS)
    def check(datagrams: list[bytes]) -> None:
        trio.run(partial(listen, graph, registry, datagrams), clock=MockClock(autojump_threshold=0))

    check()


async def beside(graph: str, registry: Any, datagrams: list[bytes], gaps_in: Any) -> None:
    network = SimNetwork()
    async with running_graph(graph, network=network, registry=registry) as run:
        await trio.sleep(0.12)
        await throw(network.wire, datagrams, 0.0013)
        await trio.sleep(0.3)
    assert run.metrics("out")["packets_sent"] == 200
    metrics = run.metrics("it")
    assert hears(metrics) == 200 + len(datagrams)
    assert metrics["packets_received"] == 200
    assert metrics["packets_lost"] == metrics["frames_concealed"] == 0
    recorded = run.nodes["recorder"].recording()
    assert len(recorded) == 9600
    assert gaps_in(recorded) == []


@pytest.mark.slow
def test_any_datagrams_beside_a_stream_do_not_disturb_it(graphs: Any, gaps_in: Any) -> None:
    # Unless they claim to be its sender, and nothing tells them from it.
    graph = graphs.head + graphs.sending(duration="200ms") + graphs.receiving()
    registry = sim_registry(["kernel", "aes67"])

    @settings(CALM, max_examples=8)
    @given(DATAGRAMS)
    def check(datagrams: list[bytes]) -> None:
        trio.run(partial(beside, graph, registry, datagrams, gaps_in), clock=MockClock(autojump_threshold=0))

    check()
