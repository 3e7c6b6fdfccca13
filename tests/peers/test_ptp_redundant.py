"""One PTP clock on both wires of a redundant pair, on hosts of our own: either wire is cut and comes back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support import ptp
from tests.support.kernel import KERNEL
from tests.support.netns import INTERFACE, Network
from tests.support.process import Running, running
from tests.support.truth import Truth

pytestmark = pytest.mark.peers
SECOND = "eth1"
GRANDMASTERS = """\
schema = 1
[clocks.a]
kind = "ptp"
role = "grandmaster"
interface = "eth0"
[clocks.b]
kind = "ptp"
role = "grandmaster"
interface = "eth1"
"""


def plug_second(hosts: Network) -> None:
    hosts.near.ip(f"link add {SECOND} type veth peer name {SECOND} netns {hosts.far.pid}", f"link set {SECOND} up")
    hosts.far.ip(f"link set {SECOND} up")
    for host, address in ((hosts.near, "10.78.0.1"), (hosts.far, "10.78.0.2")):
        host.ip(f"addr add {address}/24 dev {SECOND}")


def count(process: Running, event: str, leg: str = "") -> int:
    """How often it has said that it, or a path of it, is in a state."""
    lines = [line for line in process.stderr.splitlines() if re.search(rf"\] {event}\b", line)]
    return sum(f"leg={leg}" in line if leg else "leg=" not in line for line in lines)


def test_either_wire_may_be_cut(hosts: Network, tmp_path: Path) -> None:
    plug_second(hosts)
    (tmp_path / "gm.toml").write_text(GRANDMASTERS)
    masters = hosts.near.command(*KERNEL, "run", "gm.toml", "--for", "60s")
    truth = Truth()
    with (
        running(masters, tmp_path, name="gm") as grandmasters,
        ptp.clock(hosts.far, tmp_path, "ours", interface=[INTERFACE, SECOND]) as ours,
    ):
        for leg in "ab":
            ours.wait_until(lambda leg=leg: count(ours, "locked", leg) == 1, "both paths are locked")  # type: ignore[misc]
        for leg, interface in zip("ab", (INTERFACE, SECOND), strict=True):
            hosts.near.ip(f"link set {interface} down")
            ours.wait_until(lambda leg=leg: count(ours, "holdover", leg) == 1, "it is seen")  # type: ignore[misc]
            truth.sample()
            hosts.near.ip(f"link set {interface} up")
            ours.wait_until(lambda leg=leg: count(ours, "locked", leg) == 2, "it is back")  # type: ignore[misc]
            truth.sample()
        outcome = ptp.ended(ours, tmp_path, now=True)
        truth.sample()
        grandmasters.signal(15)
        grandmasters.wait(20.0)
    metrics = outcome.metrics(ptp.CLOCK)
    assert metrics["paths_used"] == 2
    assert metrics["leg_a_stamps_kernel"] > 0
    assert metrics["leg_b_stamps_kernel"] > 0
    assert (count(ours, "holdover"), count(ours, "unlocked")) == (0, 0), "the clock itself never lost its lock"
    said = [each for each in ptp.estimates(tmp_path / "ours.jsonl") if each.state == "locked"]
    assert len(said) > 3
    for estimate, error_ns in zip(said, ptp.errors(said, truth, "ptp"), strict=True):
        assert estimate.bound_ns is not None
        assert abs(error_ns) <= estimate.bound_ns + 20_000  # what was read of the true time is right to some 10 us
