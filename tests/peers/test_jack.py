"""A sound card of JACK with its dummy driver, whose ports a program of JACK's own records."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from tests.support import material
from tests.support.addresses import free_group, free_port
from tests.support.kernel import Outcome, hiccup, kernel_running, outcome
from tests.support.peers import same_audio
from tests.support.process import Running, running
from tests.support.stalls import watched

pytestmark = pytest.mark.peers

RATE = 48_000
PERIOD = 1024
"""Frames of a cycle: the dummy driver is woken by timers, which a busy machine fires late."""
PORTS = ("phasegraph-card:out_0", "phasegraph-card:out_1")
SECONDS = 60
SETTLED_S = 15
"""When the compensator has locked: callbacks that come when a busy machine lets them tell the card's rate slowly."""
MOST_FRAMES = 4.0
JUMP = 0.5
"""Frames within 20 ms: ten times what the pitch may change the place by."""
LEAST_S = 8.0
"""A stretch without a jump that says something of how well the stream keeps its place."""
UNDECIDED = "the machine stalled too often to tell anything of what was played"
ATTEMPTS = 3
"""Of a test that something else disturbs: the machine, the server, or the program that records."""
RECORDER_FRAMES = 1 << 18
"""What ``jack_rec`` keeps for a disk that is slow: five seconds. Its own choice is two cycles of a long period."""
STALL_S = 0.008
"""What the machine may keep others waiting for: the rest of a period is for three programs to play in."""
FREQUENCY = 997.0


class Disturbed(Exception):
    """Something else than what is tested may be to blame."""


def undisturbed(attempt: Callable[[], None]) -> None:
    """Call it until nothing disturbs it. After the last of `ATTEMPTS` the test is skipped, with what disturbed them."""
    reasons: list[str] = []
    while len(reasons) < ATTEMPTS:
        try:
            attempt()
        except Disturbed as disturbed:
            reasons.append(str(disturbed))
        else:
            return
        if len(reasons) < ATTEMPTS:
            hiccup(f"Attempt {len(reasons)} of {ATTEMPTS}: {reasons[-1]}")
    pytest.skip(f"{UNDECIDED}: {'; '.join(reasons)}")


@dataclass
class Jack:
    """A running server."""

    name: str
    folder: Path
    process: Running

    @staticmethod
    def environment_of(name: str) -> dict[str, str]:
        """What makes programs use a server."""
        return {"JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1"}

    def ports(self) -> list[str]:
        """Its ports."""
        environment = {**os.environ, **self.environment_of(self.name)}
        listed = subprocess.run(["jack_lsp"], env=environment, capture_output=True, text=True, check=False)
        return listed.stdout.split()

    def other_xruns(self) -> list[str]:
        """What the server has said of its xruns so far, if none of them names a client of ours."""
        said = f"{self.process.stdout}\n{self.process.stderr}".splitlines()
        xruns = [line for line in said if "XRun" in line]
        return [] if any("client = phasegraph-" in line for line in xruns) else xruns

    def has_ports(self) -> bool:
        """Whether something has opened the card."""
        return PORTS[0] in self.ports()


@pytest.fixture
def jack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jack]:
    """JACK with a card that does not exist, under a name of its own."""
    with server(tmp_path, monkeypatch, PERIOD) as found:
        yield found


@contextmanager
def server(folder: Path, monkeypatch: pytest.MonkeyPatch, period: int, *, name: str = "") -> Iterator[Jack]:
    """As the fixture, with another period."""
    for program in ("jackd", "jack_rec", "jack_lsp"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian package jackd2)")
    if find_library("jack") is None:
        pytest.skip("libjack is not installed (Debian package libjack-jackd2-0)")
    name = name or f"phasegraph-{os.getpid()}"
    for variable, value in Jack.environment_of(name).items():
        monkeypatch.setenv(variable, value)
    scheduling = ("-R", "-P", "60") if os.geteuid() == 0 else ("-r",)
    command = ["jackd", *scheduling, "-n", name, "-d", "dummy", "-r", str(RATE), "-p", str(period)]
    folder.mkdir(exist_ok=True)
    with running(command, folder / "jack") as process:
        found = Jack(name, folder / "jack", process)

        def answers() -> bool:
            return subprocess.run(["jack_lsp"], capture_output=True, check=False).returncode == 0

        process.wait_until(answers, "answering")
        yield found
        process.signal(signal.SIGTERM)  # one that is killed stays in JACK's register of eight servers
        process.wait(60)


def captured(jack: Jack, process: Running, seconds: int, ports: Sequence[str] = PORTS) -> NDArray[np.float64]:
    """What the card plays from now on, as soon as something has opened it. Raises Disturbed where that is not known."""
    process.wait_until(lambda: set(ports) <= set(jack.ports()), "playing")
    file = jack.folder / "captured.wav"
    options = ["-f", file, "-d", str(seconds), "-b", "32", "-B", str(RECORDER_FRAMES)]
    with running(["jack_rec", *options, *ports], jack.folder) as recorder:
        assert recorder.wait(seconds + 60) == 0, recorder.told()
        if "overruns" in recorder.stderr:  # its exit code says nothing of them
            raise Disturbed(f"the disk kept jack_rec waiting: {recorder.stderr.strip()}")
    samples: NDArray[np.float64] = soundfile.read(file, always_2d=True)[0]
    return samples


def played(jack: Jack, folder: Path, graph: str, seconds: int, *options: str) -> tuple[Outcome, NDArray[np.float64]]:
    """Run a graph to its end; its report, and some seconds of what the card played."""
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
    """After silence, in which the recorder begins."""
    noise = material.noise(2 * RATE, 2, bits=24, seed=1)
    material.write(tmp_path / "sent.wav", np.concatenate([np.zeros_like(noise), noise]), RATE, "PCM_24")
    sent = noise / 2.0**31

    def attempt() -> str:
        result, heard = played(jack, tmp_path, FILE, 7)
        assert result.code == 0, result.stderr
        begin = int(np.argmax(heard.any(axis=1)))
        same = np.abs(heard[begin : begin + 2 * RATE] - sent).max() < 2.0**-23  # half a step of 24 bits
        metrics = result.metrics("card")
        counts = metrics["frames_out"], metrics["underruns"], metrics["lost_frames"]
        quiet = not heard[begin + 2 * RATE :].any()
        return "" if (same, quiet, counts) == (True, True, (4 * RATE, 0, 0)) else f"other samples: {metrics}"

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


class Stretch(msgspec.Struct, frozen=True):
    """A time in which what was played went on without a jump."""

    seconds: float
    wander: float
    """By how many frames what sounded strayed from an even pace, from end to end."""
    ppm: float
    """That pace, off the card's."""


def stretches(heard: NDArray[np.float64]) -> list[Stretch]:
    """What was played, cut where it jumps. The place in the stream is told by the tone's phase, every 20 ms."""
    block = RATE // 50
    turns = FREQUENCY / RATE * np.arange(len(heard))
    phasor = (np.exp(-2j * np.pi * turns) * heard)[: len(heard) // block * block].reshape(-1, block).sum(axis=1)
    frames = np.unwrap(np.angle(phasor)) / (2 * np.pi) * RATE / FREQUENCY
    jumps = np.flatnonzero(np.abs(np.diff(frames)) > JUMP) + 1
    found = []
    for piece in np.split(frames, jumps):
        if len(piece) < 3:
            continue  # within a jump
        index = np.arange(len(piece))
        slope, offset = np.polyfit(index, piece, 1)
        off = piece - slope * index - offset
        found.append(Stretch(len(piece) / 50, float(np.ptp(off)), 1e6 * float(slope) / block))
    return found


def a_tone(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """The tone of the graph, read at these places of the stream."""
    return 0.5 * np.sin(2 * np.pi * FREQUENCY / RATE * frames)


def test_stretches_are_told_from_jumps_and_wander_is_found() -> None:
    even = np.arange(20.0 * RATE)
    (whole,) = stretches(a_tone(even * (1 + 30e-6)))
    assert (whole.seconds, whole.wander < 0.05) == (20.0, True)
    assert whole.ppm == pytest.approx(30.0, abs=0.1)
    (strays,) = stretches(a_tone(even + 3.0 * np.sin(even / RATE)))
    assert strays.wander > MOST_FRAMES
    jumped = stretches(a_tone(even + 17.0 * (even > 12.005 * RATE)))
    assert [round(stretch.seconds) for stretch in jumped] == [12, 8]
    assert max(stretch.wander for stretch in jumped) < 0.1
    silent = a_tone(even)
    silent[8 * RATE : 8 * RATE + 1500] = 0.0
    assert len(stretches(silent)) > 1


def judged(found: list[Stretch], lost: int, stalls: int) -> str:
    """What is wrong with what was played, or nothing.

    ``lost`` are the incidents of which our own report tells. No more may have happened than the machine has stalled,
    and between its stalls the stream has to be in its place.
    """
    worst = max((stretch.wander for stretch in found if stretch.seconds >= LEAST_S), default=0.0)
    if worst > MOST_FRAMES:
        return f"{worst:.2f} frames of wander"
    if lost > stalls or len(found) - 1 > stalls:
        return f"{lost} losses and {len(found) - 1} jumps for {stalls} stalls of the machine"
    return ""


def test_what_the_machine_cannot_be_blamed_for_is_wrong() -> None:
    whole, short = Stretch(40.0, 0.5, 0.0), Stretch(4.0, 9.0, 0.0)
    assert judged([whole], 0, 0) == ""
    assert judged([whole, short, whole], 2, 2) == ""
    assert "losses" in judged([whole], 1, 0)
    assert "jumps" in judged([whole, whole], 0, 0)
    assert "wander" in judged([Stretch(40.0, 4.5, 0.0)], 0, 9)


def test_a_stream_keeps_its_place_on_a_card_of_another_clock(
    jack: Jack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = STREAM.format(group=free_group(), port=free_port())
    wrong = ""

    def attempt() -> str:
        nonlocal wrong
        with watched(STALL_S) as stalls:
            result, heard = played(jack, tmp_path, graph, SECONDS - 5, "--for", f"{SECONDS}s")
        assert result.code == 0, result.stderr
        metrics, edge = result.metrics("card"), result.report["edges"]["stage->card"]["metrics"]
        found = stretches(heard[SETTLED_S * RATE :, 0])
        longest = max(found, key=lambda stretch: stretch.seconds)
        told = (
            f"{SECONDS} s: for {longest.seconds:.1f} s without a jump {longest.wander:.2f} frames of wander peak to "
            f"peak, {longest.ppm:+.2f} ppm off the card; {metrics['underruns']} underruns, {edge['resyncs']} resyncs, "
            f"locked after {edge.get('time_to_lock_s', 0):.1f} s; stamps scatter by "
            f"{metrics['stamp_jitter_ns'] / 1e3:.0f} us; the machine stalled {stalls.count} times, for "
            f"{1e3 * stalls.longest_s:.0f} ms at most"
        )
        with capsys.disabled():
            print(f"\n{told}")
        lost = max(metrics["underruns"], edge["resyncs"]) + (edge["missing_frames"] > 0)
        wrong = judged(found, lost, stalls.count)
        return f"{wrong or UNDECIDED}; {told}" if wrong or longest.seconds < LEAST_S else ""

    try:
        same_audio(attempt)
    except AssertionError:
        if wrong:
            raise
        pytest.skip(UNDECIDED)


STOPPED_S = 0.03
"""More than five cycles of 256 frames."""


def test_the_lowest_latency_is_raised_by_a_stall_and_kept_for_the_next_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = STREAM.format(group=free_group(), port=free_port())
    (tmp_path / "graph.toml").write_text(stream.replace('buffer = "40ms"', 'latency = "lowest"'))
    report = tmp_path / "report.json"
    with (
        server(tmp_path / "jack", monkeypatch, 256) as jack,
        kernel_running(["run", "graph.toml", "--for", "12s", "--report", report], tmp_path) as process,
    ):
        process.wait_until(jack.has_ports, "playing")
        time.sleep(6)
        process.signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        process.signal(signal.SIGCONT)
        result = outcome(process.wait(60), process, report)
    assert result.code == 0, result.stderr
    metrics = result.metrics("card")
    raised = [event for event in result.report["events"] if event["name"] == "buffer_raised"]
    assert raised, metrics
    assert raised[-1]["setting"] == metrics["setting"]
    assert metrics["setting"].startswith('buffer = "')
    assert 2 * 256 / RATE * 1e9 < metrics["buffer_ns"] < 250e6
    checked = subprocess.run(
        [sys.executable, "-m", "phasegraph", "check", "graph.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert metrics["setting"] in checked.stdout


TONE = """
schema = 1
[sources.tone]
kind = "tone"
[sinks.card]
kind = "soundcard"
device = "system"
input = "tone"
[sinks.take]
kind = "file"
input = "tone"
path = "take.wav"
overwrite = true
"""


def blamed(jumps: int, underruns: int, stalls: int, xruns: Sequence[str]) -> str:
    """What, besides our programs, may have made the sound jump so often; empty where nothing else may.

    A stall of the machine may cost a cycle, and later a jump to the server's new time.
    """
    if stalls:
        return f"{jumps} jumps, {underruns} underruns, and the machine stalled {stalls} times"
    if xruns:
        return f"{jumps} jumps, {underruns} underruns, and the server said {xruns[0]!r}"
    return ""


def test_a_jump_on_a_calm_machine_is_ours() -> None:
    late = ["JackEngine::XRun: client = jack_rec was not finished, state = Running"]
    assert blamed(2, 5, 0, []) == ""
    assert "stalled 1 times" in blamed(2, 5, 1, [])
    assert "jack_rec was not finished" in blamed(2, 5, 0, late)


@pytest.mark.parametrize("period", [256, 4096, 8192])
def test_any_period_plays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, period: int) -> None:
    def attempt() -> None:
        # A machine that keeps threads waiting for half a cycle of the server makes it miss the cycle.
        limit_s = min(STALL_S, period / RATE / 2)
        with server(tmp_path / "jack", monkeypatch, period) as jack, watched(limit_s) as stalls:
            result, heard = played(jack, tmp_path, TONE, 6, "--for", "9s")
        assert result.code == 0, result.stderr
        begin = int(np.argmax(heard.any(axis=1)))
        found = stretches(heard[begin:, 0])
        underruns = result.metrics("card")["underruns"]
        assert len(heard) - begin > 4 * RATE
        jumps = len(found) - 1
        # The sound decides: the driver without hardware also loses fractions of a cycle, which the sink counts.
        if jumps <= min(stalls.count, underruns):
            return
        if blame := blamed(jumps, underruns, stalls.count, jack.other_xruns()):
            raise Disturbed(blame)
        raise AssertionError(f"{jumps} jumps, {underruns} underruns: {found}; {jack.process.told()}")

    undisturbed(attempt)


@contextmanager
def frozen_later(folder: Path, after_s: float, for_s: float) -> Iterator[None]:
    """A file system in ``folder`` that accepts nothing for some seconds: who writes there waits."""
    image = folder.with_suffix(".img")
    image.write_bytes(bytes(32 << 20))
    folder.mkdir()
    for command in (["mkfs.ext4", "-q", image], ["mount", "-o", "loop", image, folder]):
        if shutil.which(command[0]) is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(f"no file system can be made and frozen here: {command[0]} failed")
    stop = f"sleep {after_s}; fsfreeze -f {folder}; sleep {for_s}; fsfreeze -u {folder}"
    try:
        with running(["sh", "-c", stop], image.parent / "freezer") as freezer:
            yield
            assert freezer.wait(60) == 0, freezer.told()
    finally:
        subprocess.run(["fsfreeze", "-u", folder], capture_output=True, check=False)
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes file systems")
def test_a_disk_that_stands_still_keeps_no_card_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph records beside the card, on a disk that takes nothing for 3 s."""
    attempts = iter(range(ATTEMPTS))

    def attempt() -> None:
        disk = tmp_path / f"disk{next(attempts)}"
        graph = TONE.replace("take.wav", f"{disk.name}/take.wav")
        with (
            server(tmp_path / "jack", monkeypatch, PERIOD) as jack,
            watched(STALL_S) as stalls,
            frozen_later(disk, 4, 3),
        ):
            result, heard = played(jack, tmp_path, graph, 6, "--for", "9s")
            recorded = soundfile.info(disk / "take.wav").frames
        assert result.code == 0, result.stderr
        found = stretches(heard[int(np.argmax(heard.any(axis=1))) :, 0])
        underruns = result.metrics("card")["underruns"]
        if len(found) > 1 and (blame := blamed(len(found) - 1, underruns, stalls.count, jack.other_xruns())):
            raise Disturbed(blame)
        assert len(found) == 1, (found, jack.process.told())
        assert recorded == result.metrics("take")["frames_in"] > 8 * RATE, "and it has recorded all of it"

    undisturbed(attempt)


def test_a_server_that_dies_ends_no_run_and_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "graph.toml").write_text(TONE)
    report, name = tmp_path / "report.json", f"phasegraph-dies-{os.getpid()}"
    with ExitStack() as stack:
        with server(tmp_path / "first", monkeypatch, PERIOD, name=name) as jack:
            process = stack.enter_context(kernel_running(["run", "graph.toml", "--report", report], tmp_path))
            process.wait_until(jack.has_ports, "playing")
            take = tmp_path / "take.wav"
            process.wait_until(lambda: take.exists() and take.stat().st_size > 4 * RATE, "recording")
            jack.process.signal(signal.SIGKILL)
            process.wait_until(lambda: "device_lost" in process.stderr, "lost")
            recorded = take.stat().st_size
            process.wait_until(lambda: take.stat().st_size > recorded, "recording on")
        with server(tmp_path / "second", monkeypatch, PERIOD, name=name):
            process.wait_until(lambda: "device_found" in process.stderr, "found again")
        process.wait_until(lambda: process.stderr.count("device_lost") == 2, "lost again")
        process.signal(signal.SIGTERM)
        result = outcome(process.wait(60), process, report)
    assert result.code == 1, "it ends without its card"
    events = [event["name"] for event in result.report["events"] if event["node"] == "card"]
    assert [name for name in events if name.startswith("device")] == ["device_lost", "device_found", "device_lost"]
    assert soundfile.info(tmp_path / "take.wav").frames * 8 > recorded


ROOMS = STREAM.split("[sources.stage]")[0]
ROOM = """
[sources.{name}]
kind = "aes67"
clock = "house"
interface = "127.0.0.1"
sdp = "stream.sdp"
link-offset = "250ms"
[compensators.align-{name}]
kind = "combined"
[sinks.{name}-card]
kind = "soundcard"
device = "system"
input = "{name}"
compensator = "align-{name}"
"""
TOGETHER_FRAMES = 2.0


@pytest.mark.parametrize("period", [128, 1024])
def test_two_rooms_on_one_server_sound_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, period: int) -> None:
    """Judged by the recorded sound: the tone's phase on both. Each room is a process that starts at another time."""
    ports = [f"phasegraph-{name}-card:out_0" for name in ("hall", "foyer")]
    (tmp_path / "send.toml").write_text(ROOMS.format(group=free_group(), port=free_port()))
    head = 'schema = 1\n[clocks.house]\nkind = "system"\n'
    for name in ("hall", "foyer"):
        (tmp_path / f"{name}.toml").write_text(head + ROOM.format(name=name))

    def attempt() -> str:
        with (
            server(tmp_path / "jack", monkeypatch, period) as jack,
            watched(STALL_S) as stalls,
            kernel_running(["run", "send.toml"], tmp_path) as sender,
        ):
            sender.wait_until((tmp_path / "stream.sdp").exists, "described")
            with (
                kernel_running(["run", "hall.toml"], tmp_path) as hall,
                kernel_running(["run", "foyer.toml"], tmp_path) as foyer,
            ):
                for process, port in ((hall, ports[0]), (foyer, ports[1])):
                    process.wait_until(lambda: port in jack.ports(), "playing")  # noqa: B023
                heard = captured(jack, hall, 25, ports)[15 * RATE :]
        turns = FREQUENCY / RATE * np.arange(len(heard))
        phases = np.exp(-2j * np.pi * turns)[:, np.newaxis] * heard
        blocks = phases[: len(heard) // RATE * RATE].reshape(-1, RATE, 2).sum(axis=1)
        apart = np.angle(blocks[:, 0] * blocks[:, 1].conj()) / (2 * np.pi) * RATE / FREQUENCY
        if np.abs(apart).max() <= TOGETHER_FRAMES:
            return ""
        if stalls.count:
            pytest.skip(f"{UNDECIDED}: {np.round(apart, 2).tolist()} frames apart, {stalls.count} stalls")
        return f"{np.round(apart, 2).tolist()} frames apart"

    same_audio(attempt)
