"""What a sender says of its clock, as PTP grandmasters come and go: a whole network in virtual time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from phasegraph.testing import GraphRun, Impairment, SimLocalClock, SimNetwork, SimWire, running_graph

GRANDMASTER = """
schema = 1
[clocks.truth]
kind = "sim-clock"
[clocks.gm]
kind = "ptp"
role = "grandmaster"
interface = "eth0"
profile = "st2059-2"
domain = 3
reference = "truth"
"""
SENDER = """
schema = 1
[clocks.house]
kind = "ptp"
interface = "eth0"
profile = "st2059-2"
domain = 3
[sources.tone]
kind = "tone"
[sinks.network]
kind = "aes67"
input = "tone"
interface = "eth0"
group = "239.69.1.1"
packet-time = "4ms"
name = "Stage"
announce = true
sdp-out = "stage.sdp"
"""
RECEIVER = """
schema = 1
[clocks.house]
kind = "ptp"
interface = "eth0"
profile = "st2059-2"
domain = 3
[sources.stage]
kind = "aes67"
interface = "eth0"
session = "Stage"
link-offset = "20ms"
[sinks.out]
kind = "aes67"
input = "stage"
interface = "eth0"
group = "239.69.1.2"
packet-time = "4ms"
"""


def said(path: Path) -> tuple[str, int]:
    """Reference clock and version of a description."""
    text = path.read_text()
    (clock,) = re.findall(r"^a=ts-refclk:(.*)$", text, re.MULTILINE)
    (version,) = re.findall(r"^o=- \d+ (\d+) ", text, re.MULTILINE)
    return clock, int(version)


def of(grandmaster: GraphRun) -> str:
    return f"ptp=IEEE1588-2008:{grandmaster.nodes['gm'].estimate().grandmaster}:3"


@pytest.mark.slow
async def test_another_grandmaster_takes_over(tmp_path: Path, autojump_clock: object) -> None:
    wire = SimWire(impairment=Impairment(delay_ns=20_000))

    def host(ppm: int) -> SimNetwork:
        return SimNetwork(SimLocalClock(ppm=ppm), wire)

    sdp = tmp_path / "stage.sdp"
    async with (
        running_graph(SENDER, folder=tmp_path, network=host(20)),
        running_graph(RECEIVER, network=host(-20)) as receiver,
    ):
        local, first = said(sdp)
        assert local == "local"
        async with running_graph(GRANDMASTER, network=host(5)) as gm:
            await trio.sleep(7)
            assert said(sdp)[0] == of(gm)
            second = said(sdp)[1]
            received = receiver.nodes["stage"].metrics()["packets_received"]
            assert received > 3 * 250
        async with running_graph(GRANDMASTER, network=host(-5)) as gm:
            await trio.sleep(11)
            assert said(sdp)[0] == of(gm)
            assert said(sdp)[1] > second > first
            assert receiver.nodes["stage"].metrics()["packets_received"] - received > 7 * 250
    events = [event for event in receiver.report["events"] if event["name"] in ("session_found", "session_changed")]
    assert [event["version"] for event in events][-2:] == [second, said(sdp)[1]]
    assert events[0]["name"] == "session_found"
