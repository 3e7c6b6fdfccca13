"""ptp4l of linuxptp is our grandmaster, and follows us, on hosts whose clocks are one: the true offset is zero."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support import netns, ptp, relay
from tests.support.kernel import hiccup
from tests.support.netns import Host, Network
from tests.support.process import running
from tests.support.ptp4l import IDENTITY, MASTER, ORDINARY, SLAVE, local, offsets, ptp4l, remote
from tests.support.relay import Impairment
from tests.support.truth import Truth

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("linuxptp")]
CAP_SYS_TIME = 25
LOCKED_S = 3.0
"""How long a locked clock is watched."""
TYPICAL_NS, WORST_NS = 50_000, 2_000_000
"""How far off a clock may be, on a machine that has more to do."""
RELAYED_NS = 100_000
"""The same through a relay in user space, which a busy machine wakes late."""
FAST = {"profile": "st2059-2", "domain": 0}
"""Four Announces a second."""
ASYMMETRIC = Impairment(delay_ns=1_500_000), Impairment(delay_ns=500_000)
Options = dict[str, object]
# Ours, and theirs.
WIRES: dict[str, tuple[Options, Options]] = {
    "udp4 e2e": ({}, {}),
    "udp4 p2p": ({"delay_mechanism": "p2p"}, {"delay_mechanism": "P2P"}),
    "udp6 e2e": ({"transport": "udp6"}, {"network_transport": "UDPv6"}),
    "udp6 p2p": (
        {"transport": "udp6", "delay_mechanism": "p2p"},
        {"network_transport": "UDPv6", "delay_mechanism": "P2P"},
    ),
}
FOLLOWING = {
    **WIRES,
    "hybrid": ({"unicast": "hybrid"}, {"hybrid_e2e": 1}),
    "negotiated": (
        {"unicast": "negotiated", "unicast_servers": [netns.NEAR]},
        {"unicast_listen": 1, "inhibit_multicast_service": 1},
    ),
    "median": ({"estimator": "median"}, {}),
    "linear regression": ({"estimator": "linear-regression"}, {}),
}
SERVING = {**WIRES, "hybrid": ({}, {"hybrid_e2e": 1}), "negotiated": ({}, {"servers": [netns.NEAR]})}


def off(errors: list[int], typical_ns: int = TYPICAL_NS) -> str:
    """What is wrong with errors; empty if nothing is."""
    if not errors:
        return f"not locked after {ptp.LOCK_S:g} s"
    typical, worst = statistics.median(map(abs, errors)), max(map(abs, errors))
    return "" if typical < typical_ns and worst < WORST_NS else f"errors in ns: {errors}"


def followed(host: Host, folder: Path, **options: object) -> tuple[dict[str, Any], list[int]]:
    """Run our follower: its figures, and the errors of its time since it locked, none of them beyond its bound."""
    truth = Truth()
    with ptp.clock(host, folder, "ours", **options) as ours:
        ptp.watch_lock(ours, truth, LOCKED_S)
        metrics = ptp.ended(ours, folder, now=True).metrics(ptp.CLOCK)
        truth.sample()
    locked = [each for each in ptp.estimates(folder / "ours.jsonl") if each.state == "locked"]
    errors = ptp.errors(locked, truth, metrics["timescale"])
    beyond = [(error, each) for error, each in zip(errors, locked, strict=True) if abs(error) > each.bound_ns]
    assert not beyond, "the truth is beyond the bound"
    return metrics, errors


@contextmanager
def relayed(folder: Path, there: Impairment, back: Impairment) -> Iterator[Network]:
    """Two hosts and a relay between them; ``there`` is towards the far one."""
    if reason := netns.unavailable():
        pytest.skip(reason)
    with netns.network("relay") as network:
        assert network.middle is not None
        words = relay.command(netns.TO_NEAR, netns.TO_FAR, there, back, seed=1)
        with running(network.middle.command(*words), folder, name="relay"):
            yield network


def twice(attempt: Callable[[], str]) -> None:
    """An attempt says what is wrong. A busy machine may keep a program waiting for long, but hardly twice."""
    wrong = attempt()
    if wrong:
        hiccup(wrong)
        wrong = attempt()
    assert not wrong, wrong


def test_it_follows_itself(hosts: Network, tmp_path: Path) -> None:
    """The test bench: both ends are ptp4l, and neither can change the clock of this machine."""
    with ptp4l(hosts.near, tmp_path, MASTER), ptp4l(hosts.far, tmp_path, SLAVE) as slave:
        assert not off(offsets(slave))
    rights = dict(line.split(":", 1) for line in hosts.far.run("cat", "/proc/self/status").splitlines())
    assert not int(rights["CapEff"], 16) & 1 << CAP_SYS_TIME


def test_a_longer_way_there_puts_it_off_by_half_of_that(tmp_path: Path) -> None:
    """The test bench once more: neither end can see an asymmetry, and the relay makes the one that it was asked for."""

    def attempt() -> str:
        with (
            relayed(tmp_path, *ASYMMETRIC) as network,
            ptp4l(network.near, tmp_path, MASTER),
            ptp4l(network.far, tmp_path, SLAVE) as slave,
        ):
            typical = statistics.median(offsets(slave))
        return "" if abs(typical - 500_000) < RELAYED_NS else f"off by {typical} ns"

    twice(attempt)


@pytest.mark.parametrize(("ours", "theirs"), FOLLOWING.values(), ids=FOLLOWING)
def test_we_follow_it(hosts: Network, tmp_path: Path, ours: Options, theirs: Options) -> None:
    """We lock onto the grandmaster that it is, and tell its time within our bound."""

    def attempt() -> str:
        metrics, errors = followed(hosts.far, tmp_path, **ours)
        assert ptp.identity(metrics["grandmaster"]) == ptp.identity(IDENTITY)
        assert metrics["timescale"] == "arb"  # it has CLOCK_REALTIME, which is not the PTP timescale, and says so
        assert 0 < metrics["path_delay_ns"] < WORST_NS
        return off(errors)

    with ptp4l(hosts.near, tmp_path, MASTER, **theirs):
        twice(attempt)


@pytest.mark.parametrize(("ours", "theirs"), SERVING.values(), ids=SERVING)
def test_it_follows_us(hosts: Network, tmp_path: Path, ours: Options, theirs: Options) -> None:
    """It selects us, measures the delay to us, and finds no offset between our time and its clock."""

    def attempt() -> str:
        serving = ptp.clock(hosts.near, tmp_path, "ours", role="grandmaster", **FAST, **ours)
        with serving as grandmaster, ptp4l(hosts.far, tmp_path, SLAVE, **theirs) as slave:
            wrong = off(offsets(slave))
            parent, port = local(hosts.far, tmp_path, f"{SLAVE}.uds", "PARENT_DATA_SET", "PORT_DATA_SET")
            metrics = ptp.ended(grandmaster, tmp_path, now=True).metrics(ptp.CLOCK)
        assert ptp.identity(parent["grandmasterIdentity"]) == ptp.identity(metrics["grandmaster"])
        assert metrics.get("received_signaling", 0) >= ("servers" in theirs)  # it has asked for unicast
        assert port["portState"] in ("UNCALIBRATED", "SLAVE")  # it stays at the first as long as it adjusts no clock
        return wrong

    twice(attempt)


@pytest.mark.parametrize(("priority1", "grandmaster"), [(100, "ours"), (200, "theirs")])
def test_the_better_of_two_ordinary_clocks_is_the_grandmaster(
    hosts: Network, tmp_path: Path, priority1: int, grandmaster: str
) -> None:
    """Both agree on who that is."""

    def agreed() -> bool:
        names = ("DEFAULT_DATA_SET", "PARENT_DATA_SET")
        told = {
            "ours": remote(hosts.far, "udp4", *names),
            "theirs": local(hosts.far, tmp_path, f"{ORDINARY}.uds", *names),
        }
        if [len(answers) for answers in told.values()] != [2, 2]:
            return False
        parents = {parent["grandmasterIdentity"] for _, parent in told.values()}
        return parents == {told[grandmaster][0]["clockIdentity"]}

    ours = ptp.clock(hosts.near, tmp_path, "ours", role="ordinary", priority1=priority1, **FAST)
    with ours, ptp4l(hosts.far, tmp_path, ORDINARY) as peer:
        peer.wait_until(agreed, "agreed")


@pytest.mark.parametrize("grandmaster", ["ours", "theirs"])
def test_grandmaster_and_follower_share_a_host(hosts: Network, tmp_path: Path, grandmaster: str) -> None:
    """On the loopback interface, with both on ports 319 and 320."""

    def attempt() -> str:
        metrics, errors = followed(hosts.near, tmp_path, interface="lo")
        assert metrics["grandmaster"]
        return off(errors)

    serving = (
        ptp.clock(hosts.near, tmp_path, "grandmaster", role="grandmaster", interface="lo", **FAST)
        if grandmaster == "ours"
        else ptp4l(hosts.near, tmp_path, MASTER, interface="lo")
    )
    with serving:
        twice(attempt)


@pytest.mark.parametrize(("asymmetry", "off_by_ns"), [("0s", -500_000), ("500us", 0)])
def test_an_asymmetry_is_within_the_bound_and_corrected_where_it_is_known(
    tmp_path: Path, asymmetry: str, off_by_ns: int
) -> None:
    """Half a millisecond that neither end can see."""

    def attempt() -> str:
        _, errors = followed(network.far, tmp_path, asymmetry=asymmetry, lock_within="150us")
        return off([error - off_by_ns for error in errors], typical_ns=RELAYED_NS)

    with relayed(tmp_path, *ASYMMETRIC) as network, ptp4l(network.near, tmp_path, MASTER):
        twice(attempt)


def test_a_path_that_jitters(tmp_path: Path) -> None:
    """A millisecond each way, give or take 200 us: the estimate is better than a single measurement could be."""
    way = Impairment(delay_ns=1_000_000, jitter="gaussian", jitter_ns=200_000)

    def attempt() -> str:
        _, errors = followed(network.far, tmp_path, lock_within="500us", unlock_beyond="5ms")
        return off(errors, typical_ns=RELAYED_NS)

    with relayed(tmp_path, way, way) as network, ptp4l(network.near, tmp_path, MASTER):
        twice(attempt)
