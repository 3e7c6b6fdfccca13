"""What tshark makes of a capture of the flight recorder: packets, stamps to the nanosecond, and our comments."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from phasegraph.testing import SimNetwork, running_graph

pytestmark = pytest.mark.peers
GRAPH = """
schema = 1
[recorder]
last = "5s"
[clocks.house]
kind = "system"
[sources.tone]
kind = "tone"
[sinks.net]
kind = "aes67"
input = "tone"
interface = "eth0"
group = "239.69.1.1"
[sources.stage]
kind = "aes67"
interface = "eth0"
group = "239.69.1.1"
[sinks.out]
kind = "null"
input = "stage"
"""
FIELDS = ("frame.time_epoch", "ip.dst", "udp.dstport", "rtp.seq", "rtp.timestamp", "_ws.malformed", "frame.comment")


async def test_a_capture_opens(tshark: str, tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with running_graph(GRAPH, network=SimNetwork(), folder=tmp_path) as run:
        await trio.sleep(2)
        assert run.session.recorder is not None
        file = await run.session.recorder.capture("a click")
    wanted = [word for name in FIELDS for word in ("-e", name)]
    command = [tshark, "-n", "-r", str(file), "-d", "udp.port==5004,rtp", "-T", "fields", "-E", "separator=|", *wanted]
    read = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    packets = [dict(zip(FIELDS, line.split("|"), strict=True)) for line in read.stdout.splitlines()]
    assert len(packets) > 1500
    assert {(each["ip.dst"], each["udp.dstport"], each["_ws.malformed"]) for each in packets} == {
        ("239.69.1.1", "5004", "")
    }
    numbers = [int(each["rtp.seq"]) for each in packets]
    assert {(after - before) % 65536 for before, after in pairwise(numbers)} == {1}
    times = [each["frame.time_epoch"] for each in packets]
    assert times == sorted(times, key=float)
    assert all(len(time.partition(".")[2]) == 9 for time in times)
    assert any("house" in each["frame.comment"] for each in packets)
