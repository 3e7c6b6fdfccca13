"""linuxptp's pmc reads our data sets, over the network and over a UNIX socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import ptp
from tests.support.netns import Network
from tests.support.ptp4l import IDENTITY, MASTER, local, ptp4l, remote

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("linuxptp")]
DATA_SETS = tuple(f"{name}_DATA_SET" for name in ("DEFAULT", "CURRENT", "PARENT", "TIME_PROPERTIES", "PORT"))


@pytest.mark.parametrize("way", ["udp4", "udp6", "socket"])
def test_it_reads_our_grandmaster(hosts: Network, tmp_path: Path, way: str) -> None:
    """Every data set, and they agree with each other and with the graph."""
    options = {"profile": "st2059-2", "domain": 0, "priority1": 77, "clock_class": 248}
    options |= {"management_socket": "ours.uds"} if way == "socket" else {"transport": way}
    with ptp.clock(hosts.near, tmp_path, "ours", role="grandmaster", **options) as ours:

        def ask() -> dict[str, dict[str, str]]:
            answers = (
                local(hosts.near, tmp_path, "ours.uds", *DATA_SETS)
                if way == "socket"
                else remote(hosts.far, way, *DATA_SETS)
            )
            return {answer["what"]: answer for answer in answers}

        ours.wait_until(lambda: ask().get("PORT_DATA_SET", {}).get("portState") == "MASTER", "a grandmaster")
        told = ask()
        metrics = ptp.ended(ours, tmp_path, now=True).metrics(ptp.CLOCK)
    assert set(told) == set(DATA_SETS)
    default, parent, properties = (told[f"{name}_DATA_SET"] for name in ("DEFAULT", "PARENT", "TIME_PROPERTIES"))
    assert ptp.identity(default["clockIdentity"]) == ptp.identity(metrics["grandmaster"])
    assert parent["grandmasterIdentity"] == default["clockIdentity"]
    assert (default["priority1"], default["clockClass"], default["domainNumber"]) == ("77", "248", "0")
    assert (properties["ptpTimescale"], properties["currentUtcOffset"]) == ("1", "37")
    assert told["CURRENT_DATA_SET"]["stepsRemoved"] == "0"


def test_it_reads_our_follower(hosts: Network, tmp_path: Path) -> None:
    """Who its grandmaster is, how far away, and that it follows."""
    with ptp4l(hosts.near, tmp_path, MASTER), ptp.clock(hosts.far, tmp_path, "ours") as ours:

        def ask() -> dict[str, dict[str, str]]:
            answers = remote(hosts.near, "udp4", *DATA_SETS)
            return {answer["what"]: answer for answer in answers}

        ours.wait_until(lambda: ask().get("PORT_DATA_SET", {}).get("portState") == "SLAVE", "a slave")
        told = ask()
    assert ptp.identity(told["PARENT_DATA_SET"]["grandmasterIdentity"]) == ptp.identity(IDENTITY)
    assert told["CURRENT_DATA_SET"]["stepsRemoved"] == "1"
    assert 0 < float(told["CURRENT_DATA_SET"]["meanPathDelay"]) < 1e6
    assert (told["DEFAULT_DATA_SET"]["slaveOnly"], told["DEFAULT_DATA_SET"]["clockClass"]) == ("1", "255")
