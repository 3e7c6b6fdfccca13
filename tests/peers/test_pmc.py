"""linuxptp's pmc reads our data sets, over the network and over a UNIX socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import ptp
from tests.support.netns import Network
from tests.support.process import Running
from tests.support.ptp4l import IDENTITY, MASTER, local, ptp4l, remote

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("linuxptp")]
DATA_SETS = tuple(f"{name}_DATA_SET" for name in ("DEFAULT", "CURRENT", "PARENT", "TIME_PROPERTIES", "PORT"))


Told = dict[str, dict[str, str]]


def told(process: Running, ask: Callable[[], list[dict[str, str]]], state: str) -> Told:
    """What ours says once it is in a state. pmc waits a tenth of a second for each answer, so it may miss some."""
    answers: Told = {}

    def complete() -> bool:
        answers.update({answer["what"]: answer for answer in ask()})
        return set(answers) == set(DATA_SETS) and answers["PORT_DATA_SET"]["portState"] == state

    process.wait_until(complete, state)
    answers.clear()
    process.wait_until(complete, state)
    return answers


@pytest.mark.parametrize("way", ["udp4", "udp6", "socket"])
def test_it_reads_our_grandmaster(hosts: Network, tmp_path: Path, way: str) -> None:
    """Every data set, and they agree with each other and with the graph."""
    options = {"profile": "st2059-2", "domain": 0, "priority1": 77, "clock_class": 248}
    options |= {"management_socket": "ours.uds"} if way == "socket" else {"transport": way}

    def ask() -> list[dict[str, str]]:
        if way == "socket":
            return local(hosts.near, tmp_path, "ours.uds", *DATA_SETS)
        return remote(hosts.far, way, *DATA_SETS)

    with ptp.clock(hosts.near, tmp_path, "ours", role="grandmaster", **options) as ours:
        sets = told(ours, ask, "MASTER")
        metrics = ptp.ended(ours, tmp_path, now=True).metrics(ptp.CLOCK)
    default, parent, properties = (sets[f"{name}_DATA_SET"] for name in ("DEFAULT", "PARENT", "TIME_PROPERTIES"))
    assert ptp.identity(default["clockIdentity"]) == ptp.identity(metrics["grandmaster"])
    assert parent["grandmasterIdentity"] == default["clockIdentity"]
    assert (default["priority1"], default["clockClass"], default["domainNumber"]) == ("77", "248", "0")
    assert (properties["ptpTimescale"], properties["currentUtcOffset"]) == ("1", "37")
    assert sets["CURRENT_DATA_SET"]["stepsRemoved"] == "0"


def test_it_reads_our_follower(hosts: Network, tmp_path: Path) -> None:
    """Who its grandmaster is, how far away, and that it follows."""
    with ptp4l(hosts.near, tmp_path, MASTER), ptp.clock(hosts.far, tmp_path, "ours") as ours:
        sets = told(ours, lambda: remote(hosts.near, "udp4", *DATA_SETS), "SLAVE")
    assert ptp.identity(sets["PARENT_DATA_SET"]["grandmasterIdentity"]) == ptp.identity(IDENTITY)
    assert sets["CURRENT_DATA_SET"]["stepsRemoved"] == "1"
    assert 0 < float(sets["CURRENT_DATA_SET"]["meanPathDelay"]) < 1e6
    assert (sets["DEFAULT_DATA_SET"]["slaveOnly"], sets["DEFAULT_DATA_SET"]["clockClass"]) == ("1", "255")
