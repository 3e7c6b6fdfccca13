"""The least that the ring of a sound card has to hold, over the card's period and the machine's load. Markdown. Linux.

    python benchmarks/card_latency.py                                    # ten minutes
    python benchmarks/card_latency.py --periods 64,1024 --loads idle --seconds 4
    sudo .venv/bin/python benchmarks/card_latency.py --realtime --seconds 60   # an hour and a half

A run receives an AES67 stream of 1 ms packets over loopback and plays it, by the compensator `combined`, on jackd's
dummy driver. Each trial begins to count 4 s after the first frame. For every period and load the ring holds 1, 2, 3 ..
cycles in turn (the option `buffer`), until a trial has no underrun: a callback that found too few frames although the
server had lost no cycle. That is "least fixed". Then the run finds it (`latency = "lowest"`): what it held at the end,
and its underruns, of which it needs some to learn. "default" is what a sink holds without options.

Loads: idle; busy, two programs that compute for each processor; disk, one that writes to the disk and waits for it,
and one that makes system calls without a pause.

Without `--realtime` the server, and so the run, have the priority of any program. With it the server has priority 80.
Needs jackd and jack_lsp (Debian package jackd2).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import _proc
from _card_counts import SETTLED_NS
from _table import markdown
from rooms import PATIENCE_S, PERIODS, RATE, Server, until

CYCLES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
MOST_NS = 170_000_000
"""What the link offset leaves for a ring."""
START_S = 3.0
"""Longest usual time from a start to the first frame."""
DEFAULT_NS = 10_000_000
_STREAM = """\
schema = 1
[clocks.house]
kind = "system"
"""
_SEND = f"""{_STREAM}
[sources.tone]
kind = "tone"
[sinks.air]
kind = "aes67"
clock = "house"
interface = "127.0.0.1"
input = "tone"
group = "239.69.3.4"
sdp-out = "air.sdp"
"""
_PLAY = f"""{_STREAM}
[sources.stage]
kind = "aes67"
clock = "house"
interface = "127.0.0.1"
sdp = "air.sdp"
link-offset = "200ms"
[compensators.align]
kind = "combined"
[sinks.card]
kind = "soundcard"
device = "system"
input = "stage"
compensator = "align"
"""
_COMPUTE = "while True: sum(range(2000))"
_WRITE = """
import os
with open("written", "wb", buffering=0) as file:
    while True:
        file.seek(0)
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
"""
_CALL = """
import os
while True: os.listdir("/proc")
"""
LOADS = {"idle": (), "busy": (_COMPUTE,) * 2 * (os.cpu_count() or 1), "disk": (_WRITE, _CALL)}


def fixed(cycles: int, period: int) -> str:
    """The option that makes the ring hold that number of cycles, and one frame, as `LowestBuffer` does."""
    frames = cycles * period + 1
    return f'buffer = "{round((frames if cycles > 1 else 1) * 1e6 / RATE)}us"'


def milliseconds(frames: float) -> str:
    """For the table."""
    return f"{1000 * frames / RATE:.1f}"


class Trials:
    """Runs on one server."""

    def __init__(self, shop: _proc.Workshop, server: Server, seconds: float) -> None:
        self._shop, self._server, self._seconds = shop, server, seconds

    def play(self, option: str) -> dict[str, float]:
        """Metrics of the card after one run. Raises RuntimeError where it failed."""
        folder = self._shop.folder
        (folder / "play.toml").write_text(f"{_PLAY}{option}\n")
        (folder / "report.json").unlink(missing_ok=True)
        for_s = START_S + SETTLED_NS / 1e9 + self._seconds
        program = str(Path(__file__).with_name("_card_counts.py"))
        words = ("run", "play.toml", "--for", f"{for_s:g}s", "--report", "report.json")
        inside = ("-C", str(folder), f"XDG_STATE_HOME={folder / option[:3]}")
        child = self._shop.start(self._server.command("env", *inside, sys.executable, program, *words), "play")
        until(lambda: not child.alive(), child, "end", ended=True, patience_s=2 * for_s + PATIENCE_S)
        if not (folder / "report.json").exists():
            raise RuntimeError(f"no report: {child.last_words()}")
        metrics: dict[str, float] = json.loads((folder / "report.json").read_text())["nodes"]["card"]["metrics"]
        _proc.log(f"{option}: {metrics['ring_underruns']} underruns, {metrics['lost_cycles']} lost cycles")
        return metrics


def row(period: int, load: str, seconds: float, *, realtime: bool) -> list[str]:
    """One period and load."""
    with _proc.Workshop() as shop:
        server = Server("jack", period, shop, realtime=realtime)
        (shop.folder / "send.toml").write_text(_SEND)
        environment = ("env", "-C", str(shop.folder), sys.executable)
        sender = shop.start([*environment, "-m", "phasegraph", "run", "send.toml"], "send")
        until((shop.folder / "air.sdp").exists, sender, "stream")
        until(lambda: any("playback" in port for port in server.ports()), server.child, "playback port")
        loads = [shop.start([*environment, "-c", program], load) for program in LOADS[load]]
        trials = Trials(shop, server, seconds)
        try:
            least = "none"
            for cycles in CYCLES:
                if cycles * period * 1e9 / RATE > MOST_NS:
                    break
                if not trials.play(fixed(cycles, period))["ring_underruns"]:
                    least = f"{milliseconds(cycles * period)} ({cycles})"
                    break
            found = trials.play('latency = "lowest"')
        finally:
            for child in (*loads, sender):
                child.stop(signal.SIGTERM, 2.0)
    frames = found["buffer_ns"] * RATE / 1e9
    default = max(DEFAULT_NS * RATE // 10**9, period + min(period, DEFAULT_NS * RATE // 10**9))
    return [
        str(period),
        load,
        least,
        f"{milliseconds(frames - 1)} ({round((frames - 1) / period)})",
        str(found["ring_underruns"]),
        f"{found['longest_refill_ns'] / 1e6:.1f}",
        str(found["lost_cycles"]),
        milliseconds(default),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--periods", type=lambda text: [int(word) for word in text.split(",")], default=PERIODS)
    parser.add_argument("--loads", type=lambda text: text.split(","), default=list(LOADS), help="of idle,busy,disk")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each trial, once it has settled")
    parser.add_argument("--realtime", action="store_true", help="real-time priority for the server (jackd -R)")
    given = parser.parse_args(arguments)
    if unknown := set(given.loads) - set(LOADS):
        parser.error(f"no load {', '.join(unknown)}: {', '.join(LOADS)}")
    _proc.end_on_signals()
    rows, began = [], time.monotonic()
    for load in given.loads:
        for period in given.periods:
            try:
                rows.append(row(period, load, given.seconds, realtime=given.realtime))
            except RuntimeError as error:
                rows.append([str(period), load, str(error), *("-" * 5)])
            _proc.log(f"{time.monotonic() - began:.0f} s: {rows[-1]}")
    head = ["period", "load", "least fixed, ms (cycles)", "`lowest` found, ms (cycles)", "its underruns"]
    print(markdown([*head, "longest refill, ms", "lost cycles", "default, ms"], rows))


if __name__ == "__main__":
    main()
