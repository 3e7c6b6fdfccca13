"""tshark reads what the flight recorder of a run writes: RTP with its stamps, its lengths, and our comments."""

from __future__ import annotations

import json
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.addresses import free_port
from tests.support.kernel import KERNEL, kernel_running

pytestmark = [pytest.mark.peers, pytest.mark.realtime]
GRAPH = """schema = 1
[recorder]
last = "10s"
[clocks.house]
kind = "system"
[sources.tone]
kind = "tone"
channels = 2
[sinks.out]
kind = "aes67"
clock = "house"
interface = "lo"
group = "239.69.83.1"
port = {port}
input = "tone"
sdp-out = "out.sdp"
[sources.it]
kind = "aes67"
clock = "house"
interface = "lo"
sdp = "out.sdp"
link-offset = "50ms"
[sinks.nowhere]
kind = "null"
input = "it"
"""


def test_tshark_reads_a_capture(tshark: str, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "loop.toml").write_text(GRAPH.format(port=port))
    command = ["run", "loop.toml", "--for", "30s", "--control", "./loop.sock"]
    with kernel_running(command, tmp_path) as run:
        run.wait_until((tmp_path / "loop.sock").exists, "its control socket")
        run.wait_until(lambda: _received(tmp_path) > 2000, "two seconds of packets")
        words = [*KERNEL, "capture", "./loop.sock", "--reason", "a click was heard"]
        told = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20).stdout
    file = Path(told.strip())
    assert file.parent == tmp_path / "captures"
    fields = (
        "frame.time_epoch",
        "ip.src",
        "ip.dst",
        "udp.dstport",
        "rtp.seq",
        "rtp.timestamp",
        "frame.len",
        "ip.checksum.status",
    )
    decode = ("-d", f"udp.port=={port},rtp", "-o", "ip.check_checksum:TRUE")
    read = [tshark, "-r", file, *decode, "-T", "fields", *(word for field in fields for word in ("-e", field))]
    lines = subprocess.run(read, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    assert len(rows) > 1900
    assert {(row[2], row[3], row[6], row[7]) for row in rows} == {("239.69.83.1", str(port), str(28 + 12 + 288), "1")}
    numbers = [int(row[4]) for row in rows]
    assert all((one + 1) % 65_536 == next for one, next in pairwise(numbers))
    frames = (int(rows[-1][5]) - int(rows[0][5])) % 2**32
    assert float(rows[-1][0]) - float(rows[0][0]) == pytest.approx(frames / 48_000, abs=0.05)
    assert len(rows[0][0].split(".")[1]) == 9, "stamps in ns"
    comments = [tshark, "-r", file, "-T", "fields", "-e", "frame.comment"]
    assert "clock house: locked" in subprocess.run(comments, capture_output=True, text=True, check=True).stdout


def _received(folder: Path) -> int:
    words = [*KERNEL, "status", "./loop.sock", "--format", "json"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=20)
    return json.loads(done.stdout)["nodes"]["it"]["metrics"]["packets_received"] if done.returncode == 0 else 0
