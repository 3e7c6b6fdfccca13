"""What tshark makes of our PTP messages: every one is decoded, with no malformed field."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from tests.support import ptp
from tests.support.netns import FAR, INTERFACE, NEAR, Network
from tests.support.process import running
from tests.support.ptp4l import remote

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("linuxptp")]
SYNC, DELAY_REQ, PDELAY_REQ, PDELAY_RESP = range(4)
FOLLOW_UP, DELAY_RESP, PDELAY_RESP_FOLLOW_UP, ANNOUNCE, _, MANAGEMENT = range(8, 14)
ALWAYS = {SYNC, FOLLOW_UP, ANNOUNCE, MANAGEMENT}
END_TO_END, PEER_TO_PEER = {DELAY_REQ, DELAY_RESP}, {PDELAY_REQ, PDELAY_RESP, PDELAY_RESP_FOLLOW_UP}
FIELDS = ("ptp.v2.messagetype", "ptp.v2.versionptp", "ptp.v2.minorversionptp", "ip.dst", "_ws.malformed")


@pytest.mark.parametrize(
    ("transport", "mechanism", "unicast", "minor", "types"),
    [
        ("udp4", "e2e", "hybrid", 0, ALWAYS | END_TO_END),
        ("udp6", "e2e", "off", 1, ALWAYS | END_TO_END),
        ("udp4", "p2p", "off", 1, ALWAYS | PEER_TO_PEER),
    ],
)
def test_every_message_is_decoded(
    tshark: str,
    hosts: Network,
    tmp_path: Path,
    transport: str,
    mechanism: str,
    unicast: str,
    minor: int,
    types: set[int],
) -> None:
    """All that our grandmaster and our follower say in a few seconds, with path trace, SMPTE TLV and management."""
    both = {"transport": transport, "delay_mechanism": mechanism, "minor_version": minor, "profile": "st2059-2"}
    both["domain"] = 0  # where pmc asks
    capture = tmp_path / "ptp.pcapng"
    recording = hosts.far.command(tshark, "-q", "-i", INTERFACE, "-w", capture)
    with running(recording, tmp_path, name="tshark") as recorder:
        recorder.wait_until(lambda: "Capture started" in recorder.stderr, "capturing")
        with (
            ptp.clock(hosts.near, tmp_path, "grandmaster", role="grandmaster", path_trace=True, **both),
            ptp.clock(hosts.far, tmp_path, "follower", seconds=4, unicast=unicast, **both) as follower,
        ):
            ptp.ended(follower, tmp_path)
            remote(hosts.far, transport, "DEFAULT_DATA_SET", "CURRENT_DATA_SET", "PARENT_DATA_SET", "PORT_DATA_SET")
            remote(hosts.far, transport, "TIME_PROPERTIES_DATA_SET", "CLOCK_DESCRIPTION")
            time.sleep(0.5)  # until they are in the file
    packets = decoded(tshark, capture)
    assert {packet["_ws.malformed"] for packet in packets} == {""}
    assert {packet["ptp.v2.versionptp"] for packet in packets} == {"2"}
    assert {int(packet["ptp.v2.messagetype"], 16) for packet in packets} >= types
    assert {packet["ptp.v2.minorversionptp"] for packet in of_type(packets, SYNC)} == {str(minor)}
    if unicast == "hybrid":
        assert {packet["ip.dst"] for packet in of_type(packets, DELAY_REQ)} == {NEAR}
        assert {packet["ip.dst"] for packet in of_type(packets, DELAY_RESP)} == {FAR}


def of_type(packets: list[dict[str, str]], number: int) -> list[dict[str, str]]:
    """Messages of one type."""
    return [packet for packet in packets if int(packet["ptp.v2.messagetype"], 16) == number]


def decoded(tshark: str, capture: Path) -> list[dict[str, str]]:
    """Fields of the PTP messages in a file."""
    wanted = [word for name in FIELDS for word in ("-e", name)]
    command = [tshark, "-n", "-r", str(capture), "-Y", "ptp", "-T", "fields", "-E", "separator=;", *wanted]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.splitlines()
    return [dict(zip(FIELDS, line.split(";"), strict=True)) for line in lines]
