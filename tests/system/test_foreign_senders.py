"""A foreign host attacks a received stream with up to 90 000 packets: no frame of it is recorded, and none is lost.

Three hosts: the sender, the receiver, which records, and the stranger. `source` is not set, so the receiver has to find
out by itself whose stream it is.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support import material, netns, strangers
from tests.support.kernel import KERNEL, outcome
from tests.support.machine import watched_machine
from tests.support.netns import INTERFACE, Host
from tests.support.process import running

RATE = 48_000
GROUP, PORT = "239.69.7.1", 5004
ADDRESSES = {"sender": "10.77.0.2", "receiver": "10.77.0.3", "stranger": strangers.INTERFACE_ADDRESS}
ATTACKS = [("rtp", 3_000), ("rtp", 90_000), ("pace", 3_000), ("echo", 3_000), ("flood", 90_000), ("junk", 90_000)]
LINK_OFFSET_S = 0.05
SENDER = f"""
schema = 1
[clocks.house]
kind = "system"
[sources.music]
kind = "file"
path = "music.wav"
loop = true
[sinks.air]
kind = "aes67"
input = "music"
clock = "house"
interface = "{INTERFACE}"
group = "{GROUP}"
port = {PORT}
"""
RECEIVER = f"""
schema = 1
[clocks.house]
kind = "system"
[sources.stage]
kind = "aes67"
clock = "house"
interface = "{INTERFACE}"
group = "{GROUP}"
port = {PORT}
link-offset = "{LINK_OFFSET_S * 1000:g}ms"
conceal = false
[sinks.recorder]
kind = "file"
input = "stage"
path = "recorded.wav"
"""


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    """Three hosts on one bridge."""
    if reason := netns.unavailable():
        pytest.skip(reason)
    with netns.star(ADDRESSES) as (_, made):
        yield made


@pytest.mark.realtime
@pytest.mark.parametrize(("attack", "packets"), ATTACKS)
def test_no_frame_of_a_foreign_sender_is_recorded(
    attack: str, packets: int, hosts: dict[str, Host], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = material.noise_without_silence(10 * RATE)
    material.write(tmp_path / "music.wav", sent)
    (tmp_path / "sender.toml").write_text(SENDER)
    (tmp_path / "receiver.toml").write_text(RECEIVER)
    with ExitStack() as stack:
        runs = {}
        for name in ("sender", "receiver"):
            command = [*KERNEL, "run", f"{name}.toml", "--report", f"{name}.json"]
            runs[name] = stack.enter_context(running(hosts[name].command(*command), tmp_path, name=name))
        receiver = runs["receiver"]
        receiver.wait_until((tmp_path / "recorded.wav").exists, "recording")
        time.sleep(0.5)
        with watched_machine() as machine:
            program = [sys.executable, strangers.__file__, attack, GROUP, PORT, packets, 7]
            subprocess.run(hosts["stranger"].command(*program), check=True, timeout=60, capture_output=True)
            time.sleep(0.5)
        receiver.signal(signal.SIGTERM)
        result = outcome(receiver.wait(20.0), receiver, tmp_path / "receiver.json")
    got = material.compare(sent, material.read(tmp_path / "recorded.wav"))
    stage = result.metrics("stage")
    counted = {
        name: value for name, value in stage.items() if name.startswith(("packets", "frames", "sender", "socket"))
    }
    told = f"{attack} {packets}: {got}\n{counted}"
    with capsys.disabled():
        print(f"\n{told}")
    assert got.wrong == 0, told
    assert len(got.places) == 1, told
    assert stage["packets_foreign"] + stage["packets_malformed"] > packets / 2, told
    # A burst may be faster than this machine empties a socket: what the system dropped is counted as that.
    assert got.silent == 48 * stage["packets_lost"], told
    assert stage["packets_lost"] <= stage["socket_dropped"] or machine.lost_s > LINK_OFFSET_S / 2, told
