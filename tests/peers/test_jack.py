"""A sound card that PortAudio takes for real: JACK with its dummy driver, whose ports a program of its own records."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from tests.support import material
from tests.support.addresses import free_group, free_port
from tests.support.kernel import Outcome, kernel_running, outcome
from tests.support.peers import same_audio
from tests.support.process import Running, running

pytestmark = pytest.mark.peers

RATE = 48_000
PERIOD = 1024
"""Frames of a cycle: the dummy driver is woken by timers, which a busy machine fires late."""
PORTS = ("PortAudio:out_0", "PortAudio:out_1")
SECONDS = 60
SETTLED_S = 15
"""When the compensator has locked: callbacks that come when a busy machine lets them tell the card's rate slowly."""
MOST_FRAMES = 4.0
FREQUENCY = 997.0


class Jack(msgspec.Struct):
    """A running server."""

    name: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes programs use it."""
        return {"JACK_DEFAULT_SERVER": self.name, "JACK_NO_START_SERVER": "1"}

    def has_ports(self) -> bool:
        """Whether something has opened the card."""
        listed = subprocess.run(
            ["jack_lsp"], env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        return PORTS[0] in listed.stdout.split()


@pytest.fixture
def jack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jack]:
    """JACK with a card that does not exist, under a name of its own."""
    for program in ("jackd", "jack_rec", "jack_lsp"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian package jackd2)")
    if find_library("portaudio") is None:
        pytest.skip("PortAudio is not installed (Debian package libportaudio2)")
    server = Jack(f"phasegraph-{os.getpid()}", tmp_path / "jack")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    scheduling = ("-R", "-P", "60") if os.geteuid() == 0 else ("-r",)
    command = ["jackd", *scheduling, "-n", server.name, "-d", "dummy", "-r", str(RATE), "-p", str(PERIOD)]
    with running(command, server.folder) as process:

        def answers() -> bool:
            return subprocess.run(["jack_lsp"], capture_output=True, check=False).returncode == 0

        process.wait_until(answers, "answering")
        yield server
        process.signal(signal.SIGTERM)  # one that is killed stays in JACK's register of eight servers
        process.wait(10)


def captured(jack: Jack, process: Running, seconds: int) -> NDArray[np.float64]:
    """What the card plays from now on, as soon as somebody has opened it."""
    process.wait_until(jack.has_ports, "playing")
    file = jack.folder / "captured.wav"
    with running(["jack_rec", "-f", file, "-d", str(seconds), "-b", "32", *PORTS], jack.folder) as recorder:
        assert recorder.wait(seconds + 20) == 0, recorder.told()
    samples: NDArray[np.float64] = soundfile.read(file, always_2d=True)[0]
    return samples


def played(jack: Jack, folder: Path, graph: str, seconds: int, *options: str) -> tuple[Outcome, NDArray[np.float64]]:
    """Run a graph to its end; its report, and so many seconds of what the card played."""
    (folder / "graph.toml").write_text(graph)
    report = folder / "report.json"
    with kernel_running(["run", "graph.toml", *options, "--report", report], folder) as process:
        heard = captured(jack, process, seconds)
        return outcome(process.wait(60), process, report), heard


FILE = """
schema = 1
[sources.file]
kind = "file"
path = "sent.wav"
[sinks.card]
kind = "soundcard"
device = "system"
input = "file"
"""


def test_a_file_comes_out_as_it_is(jack: Jack, tmp_path: Path) -> None:
    sent = material.make(tmp_path / "sent.wav", frames=2 * RATE) / 2.0**31

    def attempt() -> str:
        result, heard = played(jack, tmp_path, FILE, 5)
        assert result.code == 0, result.stderr
        begin = int(np.argmax(heard.any(axis=1)))
        same = np.abs(heard[begin : begin + 2 * RATE] - sent).max() < 2.0**-23  # half a step of 24 bits
        metrics = result.metrics("card")
        counts = metrics["frames_out"], metrics["underruns"], metrics["lost_frames"]
        quiet = not heard[begin + 2 * RATE :].any()
        return "" if (same, quiet, counts) == (True, True, (2 * RATE, 0, 0)) else f"other samples: {metrics}"

    same_audio(attempt)


STREAM = """
schema = 1
[clocks.house]
kind = "system"
[sources.tone]
kind = "tone"
frequency = "997Hz"
level = "-6dBFS"
[sinks.network]
kind = "aes67"
clock = "house"
interface = "127.0.0.1"
input = "tone"
group = "{group}"
port = {port}
sdp-out = "stream.sdp"
[sources.stage]
kind = "aes67"
clock = "house"
interface = "127.0.0.1"
sdp = "stream.sdp"
link-offset = "250ms"
[compensators.align]
kind = "combined"
[sinks.card]
kind = "soundcard"
device = "system"
input = "stage"
compensator = "align"
buffer = "40ms"
"""


def wander(heard: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """By how many frames what sounded was ahead of an even pace, every 20 ms, and that pace in ppm off the card's.

    The place in the stream is told by the tone's phase.
    """
    block = RATE // 50
    turns = FREQUENCY / RATE * np.arange(len(heard))
    phasor = (np.exp(-2j * np.pi * turns) * heard)[: len(heard) // block * block].reshape(-1, block).sum(axis=1)
    frames = np.unwrap(np.angle(phasor)) / (2 * np.pi) * RATE / FREQUENCY
    index = np.arange(len(frames))
    slope, offset = np.polyfit(index, frames, 1)
    return frames - slope * index - offset, 1e6 * float(slope) / block


def test_a_stream_keeps_its_place_on_a_card_of_another_clock(
    jack: Jack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = STREAM.format(group=free_group(), port=free_port())

    def attempt() -> str:
        result, heard = played(jack, tmp_path, graph, SECONDS - 5, "--for", f"{SECONDS}s")
        assert result.code == 0, result.stderr
        metrics, edge = result.metrics("card"), result.report["edges"]["stage->card"]["metrics"]
        off, ppm = wander(heard[SETTLED_S * RATE :, 0])
        told = (
            f"{SECONDS} s: {np.ptp(off):.2f} frames of wander peak to peak, {off.std():.2f} rms; the stream runs "
            f"{ppm:+.2f} ppm off the card; {metrics['underruns']} underruns, {edge['resyncs']} resyncs, locked after "
            f"{edge.get('time_to_lock_s', 0):.1f} s; stamps scatter by {metrics['stamp_jitter_ns'] / 1e3:.0f} us"
        )
        with capsys.disabled():
            print(f"\n{told}")
        lost = metrics["underruns"] + metrics["lost_frames"] + edge["missing_frames"] + edge["resyncs"]
        return "" if not lost and np.ptp(off) < MOST_FRAMES else told

    same_audio(attempt)
