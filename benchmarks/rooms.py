"""Two rooms on one sound server, judged by their recorded sound. Prints a Markdown table. Linux, as root.

    sudo .venv/bin/python benchmarks/rooms.py [--server jack|pipewire] [--periods 64,128] [--runs 5] [--realtime]

Each room is a `kernel run` on a host of its own (a network namespace). Both follow one PTP grandmaster and play one
AES67 stream of noise on one server without sound hardware: jackd's dummy driver, or PipeWire with a null sink at a
quantum that is forced to the period. The second room starts three seconds after the first. 22 s later jack_rec records
both side by side. The correlation of each second says by how many frames the second room sounds after the first; a run
passes if that is 2 frames at most in every second. A recording with gaps is not judged, and does not pass.

Without `--realtime` the server's threads, and with them the callbacks of the rooms, share the processors with all other
work: on a busy machine a short period is then missed hundreds of times a second. Needs ip, unshare,
jack_rec and jack_lsp, and jackd, or pipewire and pw-jack.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import _proc
import numpy as np
import soundfile
from _table import markdown

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support import netns
from tests.support.netns import Host

RATE = 48_000
APART_FRAMES = 2
BETWEEN_ROOMS_S, SETTLE_S, RECORD_S = 3.0, 22.0, 9
PATIENCE_S = 20.0
_PROGRAMS = ("ip", "unshare", "jack_rec", "jack_lsp")
_SERVERS = {"jack": ("jackd",), "pipewire": ("pipewire", "pw-jack")}
"""What each server takes besides."""
RECORD_BUFFER = 1 << 19
"""Frames that jack_rec holds until its disk thread comes: more than it records."""
GROUP = "239.69.3.3"
ROOMS = ("first", "second")
ADDRESSES = {"studio": "10.78.0.1", "first": "10.78.0.2", "second": "10.78.0.3"}
PERIODS = (64, 128, 256, 512, 1024)
LONG_PERIOD = 1024
"""From this period on, the link offset is the longer one."""
LINK_OFFSET, LONG_LINK_OFFSET = "80ms", "160ms"

_CLOCK = """\
schema = 1
[clocks.house]
kind = "ptp"
interface = "eth0"
role = "{role}"
profile = "aes67"
"""
_STUDIO = """\
[sources.music]
kind = "file"
path = "noise.wav"
loop = true
[sinks.air]
kind = "aes67"
input = "music"
interface = "eth0"
group = "{group}"
sdp-out = "air.sdp"
"""
_ROOM = """\
[sources.music]
kind = "aes67"
interface = "eth0"
sdp = "air.sdp"
link-offset = "{link_offset}"
[compensators.align]
kind = "combined"
[sinks.speakers]
kind = "soundcard"
input = "music"
compensator = "align"
device = "{device}"
"""
# A null sink with its ports made by the adapter, since no session manager runs. It drives the graph.
_PIPEWIRE = """\
context.properties = {{
    core.daemon = true core.name = rooms support.dbus = false
    default.clock.rate = 48000 default.clock.allowed-rates = [ 48000 ] clock.power-of-two-quantum = false
    default.clock.quantum = {period} default.clock.min-quantum = {period} default.clock.max-quantum = {period}
}}
context.spa-libs = {{
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}}
context.modules = [
    {realtime}
    {{ name = libpipewire-module-protocol-native }}
    {{ name = libpipewire-module-client-node }}
    {{ name = libpipewire-module-adapter }}
    {{ name = libpipewire-module-spa-node-factory }}
    {{ name = libpipewire-module-link-factory }}
    {{ name = libpipewire-module-metadata }}
    {{ name = libpipewire-module-access }}
]
context.objects = [
    {{ factory = adapter args = {{
        factory.name = support.null-audio-sink node.name = hall node.description = hall media.class = Audio/Sink
        audio.position = [ FL FR ] audio.rate = 48000 priority.driver = 20000
        adapter.auto-port-config = {{ mode = dsp monitor = true position = preserve }} }} }}
]
"""


_SERVER_PRIORITY = 80
_PIPEWIRE_REALTIME = (
    f"{{ name = libpipewire-module-rt args = {{ rt.prio = {_SERVER_PRIORITY} }} flags = [ ifexists nofail ] }}"
)


@dataclass(frozen=True)
class Result:
    """What one run showed."""

    lags: tuple[int, ...]
    """Frames by which the second room sounds after the first, of each second; empty if nothing was recorded."""
    locked: tuple[bool, ...]
    underruns: tuple[int, ...]
    lost_frames: tuple[int, ...]
    resyncs: tuple[int, ...]
    trouble: str = ""

    @property
    def passed(self) -> bool:
        """Whether the rooms sound together in every second."""
        return bool(self.lags) and max(map(abs, self.lags)) <= APART_FRAMES


def lags(first: np.ndarray, second: np.ndarray) -> tuple[int, ...]:
    """Frames by which ``second`` is later than ``first``, of each whole second: the peak of the correlation."""
    size, found = 1 << 17, []
    for start in range(0, len(first) - RATE + 1, RATE):
        spectra = [np.fft.rfft(sound[start : start + RATE], size) for sound in (second, first)]
        peak = int(np.argmax(np.fft.irfft(spectra[0] * np.conj(spectra[1]), size)))
        found.append(peak if peak < size // 2 else peak - size)
    return tuple(found)


class Server:
    """A sound server in a folder of its own, and the environment and prefix of its clients."""

    def __init__(self, kind: str, period: int, shop: _proc.Workshop, *, realtime: bool) -> None:
        self.device = "system" if kind == "jack" else "hall"
        if kind == "jack":
            name = f"rooms{os.getpid()}"
            self._variables = {"JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1"}
            self.prefix: tuple[str, ...] = ()
            priority = ("-R", "-P", str(_SERVER_PRIORITY)) if realtime else ("-r",)
            driver = ("-d", "dummy", "-r", str(RATE), "-p", str(period))
            words: tuple[str, ...] = ("jackd", *priority, "-n", name, *driver)
        else:
            runtime = shop.folder / "runtime"
            runtime.mkdir(mode=0o700)
            config = shop.folder / "pipewire.conf"
            config.write_text(_PIPEWIRE.format(period=period, realtime=_PIPEWIRE_REALTIME if realtime else ""))
            self._variables = {"XDG_RUNTIME_DIR": str(runtime), "PIPEWIRE_REMOTE": "rooms"}
            self.prefix = ("pw-jack",)
            words = ("pipewire", "-c", str(config))
        self.child = shop.start(self.command(*words, client=False), "server")
        self._shop = shop

    def command(self, *words: str, client: bool = True) -> list[str]:
        """A command line with the server's environment."""
        variables = [f"{name}={value}" for name, value in self._variables.items()]
        return ["env", *variables, *(self.prefix if client else ()), *words]

    def ports(self) -> list[str]:
        """All ports of the server."""
        child = self._shop.start(self.command("jack_lsp"), "ports")
        until(lambda: not child.alive(), child, "answer", ended=True)
        return [line for line in child.text().splitlines() if ":" in line and "rror" not in line]


def until(
    condition: Callable[[], bool], child: _proc.Child, what: str, *, ended: bool = False, patience_s: float = PATIENCE_S
) -> None:
    """Wait for a condition; RuntimeError if it does not come, or (unless ``ended``) when the child has ended."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if (not ended and not child.alive()) or time.monotonic() > deadline:
            raise RuntimeError(f"no {what}: {child.last_words()}")
        time.sleep(0.05)


def run(kind: str, period: int, keep: Path | None, *, realtime: bool) -> Result:
    """One run."""
    with netns.star(ADDRESSES) as (_, hosts), _proc.Workshop() as shop:
        for host in hosts.values():
            host.ip("route add 224.0.0.0/4 dev eth0")
        try:
            return _run(kind, period, hosts, shop, realtime=realtime)
        except RuntimeError as error:
            return Result((), (), (), (), (), str(error))
        finally:
            shop.stop_all()
            if keep is not None:
                left_out = shutil.ignore_patterns("noise.wav", "runtime")
                shutil.copytree(shop.folder, keep, dirs_exist_ok=True, ignore=left_out)


def _run(kind: str, period: int, hosts: dict[str, Host], shop: _proc.Workshop, *, realtime: bool) -> Result:
    folder = shop.folder
    noise = np.random.default_rng(5).normal(0, 0.1, (RATE * 60, 2)).astype(np.float32)
    soundfile.write(folder / "noise.wav", noise, RATE, subtype="PCM_24")
    server = Server(kind, period, shop, realtime=realtime)
    (folder / "studio.toml").write_text(_CLOCK.format(role="grandmaster") + _STUDIO.format(group=GROUP))
    offset = LINK_OFFSET if period < LONG_PERIOD else LONG_LINK_OFFSET
    room = _CLOCK.format(role="follower") + _ROOM.format(link_offset=offset, device=server.device)
    (folder / "room.toml").write_text(room)

    def kernel(host: str, graph: str, *words: object) -> list[str]:
        python = [sys.executable, "-m", "phasegraph", "run", graph, *words]
        command = ["env", "-C", folder, f"XDG_STATE_HOME={folder / host}", *python]
        return hosts[host].command(*(server.command(*map(str, command)) if host in ROOMS else command))

    studio = shop.start(kernel("studio", "studio.toml"), "studio")
    until((folder / "air.sdp").exists, studio, "stream")
    until(lambda: any("playback" in port for port in server.ports()), server.child, "playback port")
    rooms = []
    for name in ROOMS:
        words = ("--report", f"{name}.json", "--trace", f"{name}.jsonl")
        rooms.append(shop.start(kernel(name, "room.toml", *words), name))
        _proc.wait_until(time.monotonic() + BETWEEN_ROOMS_S, rooms[-1])
    _proc.wait_until(time.monotonic() + SETTLE_S - BETWEEN_ROOMS_S, rooms[-1])
    outputs = [port for port in server.ports() if ":out_" in port]
    if len(outputs) != 2 * len(ROOMS):
        raise RuntimeError(f"the rooms have {len(outputs)} ports: {outputs}; {rooms[0].last_words()}")
    sound_file = folder / "sound.wav"
    length = ("-d", str(RECORD_S), "-b", "32", "-B", str(RECORD_BUFFER))
    recorder = shop.start(server.command("jack_rec", "-f", str(sound_file), *length, *outputs), "recorder")
    until(lambda: not recorder.alive(), recorder, "recording", ended=True)
    for child in rooms:
        child.stop(signal.SIGINT, PATIENCE_S)
    if "overruns" in recorder.text():  # frames are missing from the recording: it says nothing about the rooms
        raise RuntimeError("not judged: jack_rec was too slow for this machine, and its recording has gaps")
    sound, _ = soundfile.read(sound_file, always_2d=True)
    reports = [json.loads((folder / f"{name}.json").read_text()) for name in ROOMS]
    cards = [report["nodes"]["speakers"]["metrics"] for report in reports]
    edges = [next(iter(report["edges"].values()))["metrics"] for report in reports]
    return Result(
        lags(sound[:, 0], sound[:, 2]),
        tuple(edge["state"] == "locked" for edge in edges),
        tuple(card.get("underruns", 0) for card in cards),
        tuple(card.get("lost_frames", 0) for card in cards),
        tuple(edge.get("resyncs", 0) for edge in edges),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run them all, and print the table. Exits 1 if a run does not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=_SERVERS, default="jack")
    parser.add_argument("--periods", type=lambda text: [int(word) for word in text.split(",")], default=PERIODS)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--realtime", action="store_true", help="real-time priority 80 for the server (jackd -P, PipeWire's module-rt)"
    )
    parser.add_argument("--keep", type=Path, help="folder for recordings, traces and logs of every run")
    given = parser.parse_args(arguments)
    if missing := [program for program in (*_PROGRAMS, *_SERVERS[given.server]) if not shutil.which(program)]:
        parser.error(f"not installed: {', '.join(missing)}")
    _proc.end_on_signals()
    results: dict[int, list[Result]] = {period: [] for period in given.periods}
    for number in range(given.runs):
        for period in given.periods:
            keep = None if given.keep is None else given.keep / f"{given.server}-{period}-{number + 1}"
            result = run(given.server, period, keep, realtime=given.realtime)
            results[period].append(result)
            _proc.log(f"{given.server} {period} run {number + 1}: {result}")
    rows = []
    for period, found in results.items():
        worst = [max(map(abs, result.lags), default=None) for result in found]
        rows.append(
            [
                given.server,
                str(period),
                f"{sum(result.passed for result in found)} of {len(found)}",
                ", ".join("-" if each is None else str(each) for each in worst),
                str(sum(sum(result.underruns) for result in found)),
                str(sum(sum(result.lost_frames) for result in found)),
                str(sum(sum(result.resyncs) for result in found)),
            ]
        )
    head = ["server", "period", "within 2 frames", "frames apart, worst of each run", "underruns", "lost frames"]
    print(markdown([*head, "resyncs"], rows))
    sys.exit(0 if all(result.passed for found in results.values() for result in found) else 1)


if __name__ == "__main__":
    main()
