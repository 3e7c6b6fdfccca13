"""The clock ``airplay`` in a graph, in virtual time: every mode, both roles, and what goes wrong."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from phasegraph import ClockState, GraphError
from phasegraph.net import PortUnavailable
from phasegraph.testing import Impairment, SimLocalClock, SimNetwork, SimWire, run_graph, running_graph
from phasegraph_airplay_timing.options import AirplayConfig, clocks_without_unicast

MS = 1_000_000


def graph(options: str) -> str:
    return f'schema = 1\n[clocks.it]\nkind = "airplay"\ninterface = "eth0"\n{options}'


def pair(mode: str, impairment: Impairment, hosts: tuple[SimNetwork, SimNetwork] | None = None) -> Any:
    """(leader's graph and host, follower's graph and host)."""
    if hosts is None:
        wire = SimWire(impairment=impairment, seed=3)
        hosts = SimNetwork(SimLocalClock(ppm=20), wire), SimNetwork(SimLocalClock(ppm=-15, epoch_ns=5 * 10**15), wire)
    port = "" if mode == "ptp" else ":7001"
    own = "" if mode == "ptp" else "timing-port = 7001"
    leader, follower = (host.interface("eth0").address for host in hosts)
    return (
        graph(f'mode = "{mode}"\nrole = "lead"\npeers = ["{follower}{port}"]\n{own}'),
        hosts[0],
        graph(f'mode = "{mode}"\npeers = ["{leader}{port}"]\n{own}'),
        hosts[1],
    )


async def watched(mode: str, impairment: Impairment, seconds: float, after_s: float) -> tuple[list[int], Any, Any]:
    """Errors of the follower from a time on, all within its bound; both runs."""
    leads, leader, follows, follower = pair(mode, impairment)
    errors = []
    async with running_graph(leads, network=leader) as first, running_graph(follows, network=follower) as second:
        for _ in range(round(seconds * 10)):
            await trio.sleep(0.1)
            estimate = second.nodes["it"].estimate()
            if estimate.state is ClockState.LOCKED:
                error = abs(estimate.reference_at(follower.local.now_ns()) - leader.local.now_ns())
                assert error <= estimate.bound_ns
                if trio.current_time() > after_s:
                    errors.append(error)
        assert second.nodes["it"].estimate().grandmaster in (
            first.nodes["it"].estimate().grandmaster,
            f"{leader.interface('eth0').address}:7001",
        )
    return errors, first, second


@pytest.mark.parametrize(
    ("mode", "most_ns"),
    [("ptp", 2_000), *(pytest.param(*it, marks=pytest.mark.slow) for it in (("compact", 20_000), ("ntp", 2_000)))],
)
async def test_a_quiet_network(mode: str, most_ns: int, autojump_clock: object) -> None:
    errors, leads, follows = await watched(mode, Impairment(), 15, 5)
    assert len(errors) > 90
    assert max(errors) < most_ns
    mine, theirs = follows.metrics("it"), leads.metrics("it")
    assert (mine["leading"], theirs["leading"], mine["one_way"]) == (0, 1, 0)
    assert (mine["peers_ready"], theirs["peers_ready"]) == (1, 1)
    assert mine["exchanges"] > 8
    assert ("timing_port" in mine) == (mode != "ptp")
    assert [event["peer"] for event in leads.events("peer_ready")]
    assert [event["leader"] for event in follows.events("ready")]


@pytest.mark.parametrize(("mode", "seconds"), [("ptp", 25), ("ptp", 60), ("compact", 60), ("ntp", 180)])
@pytest.mark.slow
async def test_wifi(mode: str, seconds: int, autojump_clock: object) -> None:
    wifi = Impairment(delay_ns=MS, jitter_ns=3 * MS, jitter="exponential", loss=0.1, duplicate=0.02, swap=0.02)
    errors, _, _ = await watched(mode, wifi, seconds, 2)
    assert max(errors) < MS


@pytest.mark.slow
async def test_ipv6(autojump_clock: object) -> None:
    wire = SimWire(seed=3)
    hosts = [SimNetwork(SimLocalClock(ppm=ppm), wire) for ppm in (20, -15)]
    leader, follower = (host.interface("eth0").address6 for host in hosts)
    leads, follows = graph(f'role = "lead"\npeers = ["{follower}"]'), graph(f'peers = ["{leader}"]')
    async with running_graph(leads, network=hosts[0]), running_graph(follows, network=hosts[1]) as run:
        await trio.sleep(5)
        estimate = run.nodes["it"].estimate()
        assert estimate.state is ClockState.LOCKED
        assert abs(estimate.reference_at(hosts[1].local.now_ns()) - hosts[0].local.now_ns()) < 10_000


@pytest.mark.slow
async def test_peers_may_be_named_later(autojump_clock: object) -> None:
    leads, leader, follows, follower = pair("ptp", Impairment())
    leads = "\n".join(line for line in leads.splitlines() if not line.startswith("peers"))
    async with running_graph(leads, network=leader) as first, running_graph(follows, network=follower) as second:
        await trio.sleep(5)
        assert second.nodes["it"].estimate().state is ClockState.UNLOCKED
        first.nodes["it"].set_peers([follower.interface("eth0").address])
        await trio.sleep(5)
        assert second.nodes["it"].estimate().state is ClockState.LOCKED


@pytest.mark.slow
async def test_peers_of_the_other_family_may_be_named_later(autojump_clock: object) -> None:
    leads, leader, follows, follower = pair("ptp", Impairment())
    async with running_graph(leads, network=leader) as first, running_graph(follows, network=follower) as second:
        await trio.sleep(5)
        first.nodes["it"].set_peers([follower.interface("eth0").address6])
        second.nodes["it"].set_peers([leader.interface("eth0").address6])
        await trio.sleep(5)
        assert second.nodes["it"].estimate().state is ClockState.LOCKED
    assert (first.metrics("it")["send_errors"], second.metrics("it")["send_errors"]) == (0, 0)


@pytest.mark.slow
async def test_a_leader_that_ends_leaves_holdover(autojump_clock: object) -> None:
    leads, leader, follows, follower = pair("ptp", Impairment())
    async with running_graph(follows, network=follower) as second:
        async with running_graph(leads, network=leader):
            await trio.sleep(10)
        await trio.sleep(5)
        first = second.nodes["it"].estimate()
        await trio.sleep(10)
        last = second.nodes["it"].estimate()
        assert (first.state, last.state) == (ClockState.HOLDOVER, ClockState.HOLDOVER)
        assert last.bound_ns > first.bound_ns
        error = last.reference_at(follower.local.now_ns()) - leader.local.now_ns()
        assert abs(error) < min(last.bound_ns, 50_000)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('peers = ["10.0.0.1.2"]', "expected an address such as"),
        ('peers = ["10.0.0.1:0"]', "no port that has a next one"),
        ("event-port = 320", "need two ports"),
        ('mode = "ntp"', "no peer to send to"),
        ('mode = "ntp"\npeers = ["10.0.0.1"]', "needs the port"),
        ('mode = "ntp"\npeers = ["10.0.0.1:6002", "10.0.0.2:6002"]', "asks one server"),
        ('mode = "compact"\nrole = "lead"\npeers = ["10.0.0.1"]', "needs the port"),
        ('mode = "compact"\nrole = "auto"', "no announcements"),
    ],
)
async def test_options_that_make_no_sense(options: str, said: str, autojump_clock: object) -> None:
    with pytest.raises(GraphError, match=said):
        await run_graph(graph(options), for_s=1)


class Other(msgspec.Struct):
    """Options of another plugin's clock."""

    interface: str
    event_port: int = 319


class Node(msgspec.Struct):
    id: str
    config: object


@pytest.mark.parametrize(
    ("configs", "found"),
    [
        ([{}, {}], ["0 1"]),
        ([{}, {}, {}], ["0 1", "1 2"]),
        ([{}, {"interface": "eth1"}], []),
        ([{}, {"event_port": 10319, "general_port": 10320}], []),
        ([{}, {"event_port": 320, "general_port": 321}], ["0 1"]),
        ([{}, {"mode": "ntp"}], []),
        ([{}, Other("eth0")], ["0 1"]),
        ([Other("eth0"), {}], []),
        ([{}, Other("eth1")], []),
    ],
)
def test_of_clocks_with_the_same_ports_the_last_one_hears(configs: list[Any], found: list[str]) -> None:
    made = [AirplayConfig(**{"interface": "eth0"} | each) if isinstance(each, dict) else each for each in configs]
    nodes = [Node(str(number), config) for number, config in enumerate(made)]
    assert [f"{node.id} {other}" for node, other in clocks_without_unicast(nodes)] == found


async def test_a_graph_with_two_clocks_of_the_same_ports(autojump_clock: object) -> None:
    second = '[clocks.second]\nkind = "airplay"\ninterface = "eth0"\n'
    with pytest.raises(GraphError, match="clocks.it.event-port: clock 'second' has the same UDP ports"):
        await run_graph(graph("") + second, for_s=1)


@pytest.mark.slow
async def test_a_clock_without_a_leader_says_what_is_missing(autojump_clock: object) -> None:
    leads, leader, follows, follower = pair("ptp", Impairment())
    theirs = leader.interface("eth0").address
    async with running_graph(follows, network=follower) as run, running_graph(graph(""), network=SimNetwork()) as alone:
        await trio.sleep(2)
        assert "trouble" not in run.nodes["it"].metrics(), "it is too early to say"
        await trio.sleep(3)
        assert run.nodes["it"].metrics()["trouble"] == (
            f"nothing comes from {theirs} (peers) on eth0: does it play, is this its address, does a firewall let UDP "
            "ports 319 and 320 in?"
        )
        assert alone.nodes["it"].metrics()["trouble"] == (
            "no AirPlay device sends to UDP ports 319 and 320 on eth0: does one play, does a firewall let it in?"
        )
        async with running_graph(leads, network=leader):
            await trio.sleep(5)
            assert "trouble" not in run.nodes["it"].metrics()
        await trio.sleep(10)
        assert (
            run.nodes["it"].metrics()["trouble"]
            == "the leader of the group is silent on eth0: is it on, is its network there?"
        )
    reasons = [event["reason"] for event in run.events("no_leader")]
    assert [reason.partition(" ")[0] for reason in reasons] == ["nothing", "the"], "each once"


async def test_a_port_that_is_taken_says_by_whom_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    network = SimNetwork()

    def taken(port: int, *arguments: object, **options: object) -> None:
        raise PortUnavailable(errno.EADDRINUSE, f"UDP port {port} is held by nqptp (process 812)", "stop it")

    monkeypatch.setattr(network, "stamped", taken)
    run = await run_graph(graph(""), for_s=2, network=network)
    (failed,) = run.events("failed")
    assert "UDP port 319 is held by nqptp (process 812)" in failed["reason"]
    assert "stop it; or choose other ports with event-port and general-port" in failed["reason"]


async def test_what_the_system_refuses_is_told_once(monkeypatch: pytest.MonkeyPatch, autojump_clock: object) -> None:
    network = SimNetwork()
    open_socket = network.stamped

    def stamped(*arguments: Any, **options: Any) -> Any:
        socket = open_socket(*arguments, **options)
        socket.notes = ["no stamps"]
        return socket

    monkeypatch.setattr(network, "stamped", stamped)
    run = await run_graph(graph(""), for_s=2, network=network)
    assert [event["note"] for event in run.events("socket")] == ["no stamps"]


async def test_an_interface_that_is_not_there(monkeypatch: pytest.MonkeyPatch, autojump_clock: object) -> None:
    network = SimNetwork()

    def missing(*arguments: object, **options: object) -> None:
        raise OSError("no network interface 'eth0'; there are: lo (127.0.0.1)")

    monkeypatch.setattr(network, "interface", missing)
    run = await run_graph(graph(""), for_s=2, network=network)
    assert "no network interface 'eth0'" in run.events("failed")[0]["reason"]


@pytest.mark.slow
async def test_a_sink_on_the_groups_timeline(tmp_path: Path, autojump_clock: object) -> None:
    # What the clock is for: any sink may use it.
    leads, leader, follows, follower = pair("ptp", Impairment())
    follows += """
[sources.program]
kind = "sim-source"
clock = "it"
duration = "3s"
[sinks.end]
kind = "sim-recorder"
input = "program"
"""
    async with running_graph(leads, network=leader):
        run = await run_graph(follows, network=follower, for_s=8)
    assert run.metrics("end")["frames_in"] > 0
