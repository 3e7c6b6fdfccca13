"""A PTP clock on interfaces that are taken away and come back as others, on hosts of our own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support import ptp
from tests.support.netns import Network
from tests.support.process import Running

pytestmark = pytest.mark.peers


def locks(process: Running) -> int:
    """How often it has said that it is locked."""
    return len(re.findall(r"\] locked\b", process.stderr))


def test_interfaces_that_come_back_are_used_again(hosts: Network, tmp_path: Path) -> None:
    with (
        ptp.clock(hosts.near, tmp_path, "gm", role="grandmaster") as grandmaster,
        ptp.clock(hosts.far, tmp_path, "ours") as ours,
    ):
        ours.wait_until(lambda: locks(ours) == 1, "locked")
        hosts.unplug()
        ours.wait_until(lambda: "FAULTY" in ours.stderr, "faulty")
        grandmaster.wait_until(lambda: "FAULTY" in grandmaster.stderr, "faulty")
        hosts.plug()
        ours.wait_until(lambda: locks(ours) == 2, "locked again")
        metrics = ptp.ended(ours, tmp_path, now=True).metrics(ptp.CLOCK)
        ptp.ended(grandmaster, tmp_path, now=True)
    assert metrics["port_state"] == "slave"
    assert metrics["stamps_kernel"] > 0
