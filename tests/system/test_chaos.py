"""Chaos: one run that relays, records, plays and follows PTP, while its network, peers, disk and sound server fail.

A seed determines the order of the faults.

Afterwards every recorded frame is a frame that was sent, at its place; silence is what the report counts, to the frame;
memory has not grown, and the run ends by SIGTERM with its report. `PHASEGRAPH_CHAOS_S` and `PHASEGRAPH_CHAOS_SEED` set
the length (75 s) and the seed (1).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ctypes.util import find_library
from pathlib import Path
from random import Random

import numpy as np
import pytest
from tests.support import material, netns, strangers
from tests.support.kernel import KERNEL, outcome
from tests.support.machine import watched_machine
from tests.support.netns import INTERFACE, Host
from tests.support.process import Running, running

SECONDS = float(os.environ.get("PHASEGRAPH_CHAOS_S", "75"))
SEED = int(os.environ.get("PHASEGRAPH_CHAOS_SEED", "1"))
RATE = 48_000
MATERIAL_S = 10
GROUP, ANNOUNCED, RELAYED, PORT, RTSP_PORT = "239.69.7.1", "239.69.7.3", "239.69.7.2", 5004, 8554
GRANDMASTER, SENDER, DEVICE, STRANGER = ("10.77.0.1", "10.77.0.2", "10.77.0.3", strangers.INTERFACE_ADDRESS)
SETTLE_S, PAUSE_S, END_S = 5.0, 1.5, 6.0
"""Before the first fault, between two faults, and after the last one."""
RECOVERY_S = 2.0
"""Time after an outage until audio arrives again: groups are joined again, a new sender is accepted."""
MOST_RATE_PPB = 1_000_000.0
MOST_GROWTH_MB = 60.0
STOP_S = 10.0

GRANDMASTER_GRAPH = f"""
schema = 1
[clocks.house]
kind = "ptp"
interface = "{INTERFACE}"
profile = "st2059-2"
role = "grandmaster"
"""
SENDER_GRAPH = f"""
schema = 1
[clocks.house]
kind = "ptp"
interface = "{INTERFACE}"
profile = "st2059-2"
role = "follower"
[sources.music]
kind = "file"
path = "music.wav"
loop = true
[sinks.air]
kind = "aes67"
input = "music"
interface = "{INTERFACE}"
group = "{GROUP}"
port = {PORT}
[sinks.announced]
kind = "aes67"
input = "music"
interface = "{INTERFACE}"
group = "{ANNOUNCED}"
port = {PORT}
name = "Chaos"
announce = true
"""
DEVICE_GRAPH = f"""
schema = 1
[clocks.house]
kind = "ptp"
interface = "{INTERFACE}"
profile = "st2059-2"
role = "follower"
[sources.stage]
kind = "aes67"
interface = "{INTERFACE}"
group = "{GROUP}"
port = {PORT}
link-offset = "200ms"
conceal = false
[sources.followed]
kind = "aes67"
interface = "{INTERFACE}"
session = "Chaos"
link-offset = "200ms"
[sinks.relay]
kind = "aes67"
input = "stage"
interface = "{INTERFACE}"
group = "{RELAYED}"
port = {PORT}
rtsp-port = {RTSP_PORT}
ravenna = true
[sinks.recorder]
kind = "file"
input = "stage"
path = "recorded.wav"
[sinks.full]
kind = "file"
input = "followed"
path = "small/full.wav"
on-failure = "isolate"
"""
CARD = """
[compensators.align]
kind = "combined"
[sinks.card]
kind = "soundcard"
device = "system"
input = "stage"
compensator = "align"
on-failure = "restart"
"""


class Chaos:
    """The hosts, what runs on them, and the faults."""

    def __init__(self, folder: Path, random: Random) -> None:
        self.folder = folder
        self.random = random
        self.bridge: Host
        self.hosts: dict[str, Host] = {}
        self.processes: dict[str, tuple[ExitStack, Running]] = {}
        self.sender_starts = 0
        self.log: list[str] = []

    def start(self, name: str) -> Running:
        """Start a run of the graph of that name on its host."""
        command: list[str | Path] = [*KERNEL, "run", f"{name}.toml", "--report", f"{name}.json"]
        if name == "device":  # a small disk of its own, which goes with the process
            shell = 'mount -t tmpfs -o size=2m none small && exec "$@"'
            command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, "sh", *command]
        stack = ExitStack()
        run = stack.enter_context(running(self.hosts[name].command(*command), self.folder, name=name))
        self.processes[name] = stack, run
        self.sender_starts += name == "sender"
        return run

    def stop(self, name: str, number: int) -> None:
        """End a run by a signal."""
        stack, run = self.processes.pop(name)
        run.signal(number)
        run.wait(20.0)
        stack.close()

    def strange(self, *words: object) -> None:
        """Let a stranger do something, and wait for its end."""
        program = Path(strangers.__file__)
        command = self.hosts["stranger"].command(sys.executable, program, *words)
        subprocess.run(command, check=True, timeout=30, capture_output=True)

    # The faults. Each leaves things as they were.

    def link_lost(self) -> None:
        """The cable of the device is pulled for a while."""
        self.bridge.ip("link set device down")
        time.sleep(self.random.uniform(0.3, 1.5))
        self.bridge.ip("link set device up")

    def packets_lost(self) -> None:
        """A queue that is too slow for the streams loses packets of all kinds."""
        limits = ("rate", f"{self.random.choice((500, 1500, 2300))}kbit", "burst", "1600", "latency", "5ms")
        self.bridge.run("tc", "qdisc", "replace", "dev", "device", "root", "tbf", *limits)
        time.sleep(self.random.uniform(0.5, 2.0))
        self.bridge.run("tc", "qdisc", "del", "dev", "device", "root")

    def address_lost(self) -> None:
        """The device's interface loses its address."""
        self.hosts["device"].ip(f"addr del {DEVICE}/24 dev {INTERFACE}")
        time.sleep(self.random.uniform(0.5, 1.5))
        self.hosts["device"].ip(f"addr add {DEVICE}/24 dev {INTERFACE}")

    def grandmaster_lost(self) -> None:
        """The grandmaster dies and returns."""
        self.stop("grandmaster", signal.SIGKILL)
        time.sleep(self.random.uniform(0.5, 4.0))
        self.start("grandmaster")
        time.sleep(4.0)

    def sender_restarted(self) -> None:
        """The sender is restarted, politely or not."""
        self.stop("sender", self.random.choice((signal.SIGTERM, signal.SIGKILL)))
        time.sleep(self.random.uniform(0.0, 1.0))
        wait_for_lock(self.start("sender"))

    def foreign_burst(self) -> None:
        """Another sender sends to the group of the stream."""
        self.strange("rtp", GROUP, PORT, self.random.choice((6, 200, 3000)), self.random.getrandbits(32))

    def sap_junk(self) -> None:
        """Announcements that no device sends."""
        self.strange("sap", 300, self.random.getrandbits(32))

    def rtsp_junk(self) -> None:
        """Clients that send junk to the relay's RTSP server."""
        self.strange("rtsp", DEVICE, RTSP_PORT, self.random.getrandbits(32))

    def stopped(self) -> None:
        """The device does not run for a while, as on a machine that swaps."""
        _, run = self.processes["device"]
        run.signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.05, 0.8))
        run.signal(signal.SIGCONT)

    def sound_server_lost(self) -> None:
        """The sound server is killed and started again."""
        if "jackd" not in self.processes:
            return
        stack, run = self.processes.pop("jackd")
        run.signal(signal.SIGKILL)
        stack.close()
        time.sleep(self.random.uniform(0.2, 1.5))
        self.start_sound_server()

    def start_sound_server(self) -> None:
        """JACK with a card that does not exist, under a name of its own."""
        stack = ExitStack()
        command = ["jackd", "-r", "-n", os.environ["JACK_DEFAULT_SERVER"], "-d", "dummy", "-r", str(RATE), "-p", "1024"]
        self.processes["jackd"] = stack, stack.enter_context(running(command, self.folder / "jack"))

    SILENCING = (link_lost, packets_lost, address_lost, sender_restarted, stopped)
    """Faults during which no audio can arrive in time."""
    HARMLESS = (grandmaster_lost, foreign_burst, sap_junk, rtsp_junk, sound_server_lost)
    """Faults that must not cost the recorder a frame."""

    def close(self) -> None:
        """Kill what still runs."""
        for name, (stack, run) in self.processes.items():
            if name == "jackd":  # one that is killed stays in JACK's register of eight servers
                run.signal(signal.SIGTERM)
                run.wait(10.0)
            stack.close()


@pytest.fixture
def chaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chaos]:
    """Hosts on which nothing runs."""
    if reason := netns.unavailable():
        pytest.skip(reason)
    for name in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER"):
        monkeypatch.setenv(name, f"chaos-{os.getpid()}")
    (tmp_path / "small").mkdir()
    made = Chaos(tmp_path, Random(SEED))
    addresses = {"grandmaster": GRANDMASTER, "sender": SENDER, "device": DEVICE, "stranger": STRANGER}
    with netns.star(addresses) as (made.bridge, made.hosts):
        try:
            yield made
        finally:
            made.close()


def resident_mb(run: Running) -> float:
    """Memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{run.process.pid}/status").read_text())
    assert found is not None, "the process has ended"
    return int(found[1]) / 1024


def wait_for_lock(run: Running) -> None:
    """Wait until the PTP clock of a run has locked."""
    run.wait_until(lambda: re.search(r"\] locked\b", run.stderr) is not None, "locked", 40.0)


def test_a_recording_with_a_gap_and_a_foreign_frame_is_found_out() -> None:
    sent = material.noise_without_silence(1000)
    got = np.concatenate([sent[100:], sent[:300]])
    assert material.compare(sent, got) == material.Recording(1200, 0, 0, [900])
    got[200:250] = 0
    got[400] = 0x55555500
    assert material.compare(sent, got) == material.Recording(1200, 50, 1, [900])
    moved = np.concatenate([got, sent[7:20]])
    assert material.compare(sent, moved).places == [900, (1200 - 7) % 1000]


def test_chaos(chaos: Chaos, capsys: pytest.CaptureFixture[str]) -> None:
    folder = chaos.folder
    sent = material.noise_without_silence(MATERIAL_S * RATE)
    material.write(folder / "music.wav", sent)
    has_jack = shutil.which("jackd") is not None and find_library("portaudio") is not None
    (folder / "grandmaster.toml").write_text(GRANDMASTER_GRAPH)
    (folder / "sender.toml").write_text(SENDER_GRAPH)
    (folder / "device.toml").write_text(DEVICE_GRAPH + (CARD if has_jack else ""))
    if has_jack:
        chaos.start_sound_server()
    chaos.start("grandmaster")
    for name in ("sender", "device"):
        wait_for_lock(chaos.start(name))
    _, device = chaos.processes["device"]
    began = time.monotonic()
    time.sleep(SETTLE_S)
    before_mb = resident_mb(device)
    faults: list[Callable[[Chaos], None]] = []
    outages_s = 0.0
    with watched_machine() as machine:
        while time.monotonic() - began < SECONDS - END_S:
            if not faults:
                faults = [*chaos.SILENCING, *chaos.HARMLESS]
                chaos.random.shuffle(faults)
            fault = faults.pop()
            chaos.log.append(f"{time.monotonic() - began:.1f} s {fault.__name__}")
            at = time.monotonic()
            fault(chaos)
            if fault in chaos.SILENCING:
                outages_s += time.monotonic() - at + RECOVERY_S
            assert device.process.poll() is None, f"{chaos.log}\n{device.told()}"
            time.sleep(PAUSE_S)
    time.sleep(END_S)
    growth_mb = resident_mb(device) - before_mb
    stopping = time.monotonic()
    device.signal(signal.SIGTERM)
    result = outcome(device.wait(STOP_S), device, folder / "device.json")
    stop_s = time.monotonic() - stopping

    got = material.compare(sent, material.read(folder / "recorded.wav"))
    stage, recorder = result.metrics("stage"), result.metrics("recorder")
    told = "\n".join(chaos.log) + f"\n{got}\n{stage}\n{recorder}\nmemory {growth_mb:+.1f} MB, stopped in {stop_s:.1f} s"
    with capsys.disabled():
        print(f"\n{told}")
    assert result.report["ended"] == "signal", told
    assert "Traceback" not in result.stderr, result.stderr
    # The audio is exact: no frame of a stranger, and every frame at its place in each life of the sender. The device
    # records before its clock has locked too, which is one place more.
    assert got.wrong == 0, told
    assert len(got.places) <= chaos.sender_starts + 1, told
    allowed_s = outages_s + machine.lost_s
    assert got.silent <= allowed_s * RATE, f"outages of {allowed_s:.1f} s\n{told}"
    assert got.frames >= RATE * (stopping - began - 1.0), told
    # The counters are true.
    assert recorder["frames_in"] == got.frames, told
    assert recorder["underrun_frames"] == got.silent, told
    # Sender and device follow one grandmaster, so a rate between them is an error of the estimate.
    assert abs(stage.get("sender_rate_ppb", 0.0)) <= MOST_RATE_PPB, told
    assert growth_mb < MOST_GROWTH_MB, told
    # Every node that could not go on says so, and only those failed.
    states = {id: node["state"] for id, node in result.report["nodes"].items()}
    assert states["full"] == "failed", told
    assert "No space left" in result.report["nodes"]["full"]["failure"], told
    assert {id for id, state in states.items() if state == "failed"} == {"full"}, told
