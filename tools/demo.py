"""Runs examples/loopback.toml, then compares the recording that came back with the one that was sent.

The stream gets a multicast group and a port of its own, at random, and its session description a folder of its own: two
people who run this on one host do not receive each other's stream. What came back is drawn below what was sent.
``--play`` plays it.
"""

from __future__ import annotations

import random
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SENT = EXAMPLES / "recording.flac"
CAME_BACK = EXAMPLES / "out" / "copy.wav"
PICTURE = EXAMPLES / "out" / "waveforms.svg"
WIDTH, HALF = 760, 60
"""Columns of the picture, and half of a waveform's height."""


def overrides(folder: str) -> list[str]:
    """The options that keep this run apart from others on the host."""
    number = random.SystemRandom().randrange(1 << 15)
    group = f"239.69.{128 + (number >> 8)}.{number & 255}"
    port = random.SystemRandom().randrange(20_000, 60_000, 2)
    description = Path(folder, "loopback.sdp")
    options = {
        "sinks.network.group": group,
        "sinks.network.port": port,
        "sinks.network.sdp-out": description,
        "sources.stream.sdp": description,
    }
    return [word for name, value in options.items() for word in ("--set", f"{name}={value}")]


def run_example() -> int:
    """Run the graph as ``kernel run`` does; returns the exit code."""
    from phasegraph._cli import main

    with tempfile.TemporaryDirectory(prefix="phasegraph-") as folder:
        sys.argv = ["kernel", "run", str(EXAMPLES / "loopback.toml"), *overrides(folder)]
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def loopback_is_up() -> bool:
    """Whether this machine, or this network namespace, has a loopback interface that works."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("127.0.0.1", 9))
        except OSError:
            return False
    return True


def compare() -> int:
    """Say whether both files hold the same samples, and draw them; returns the exit code."""
    import soundfile

    sent, sent_rate = soundfile.read(SENT, dtype="int32", always_2d=True)
    came, came_rate = soundfile.read(CAME_BACK, dtype="int32", always_2d=True)
    PICTURE.write_text(waveforms({f"sent: {SENT.name}": sent, f"came back: out/{CAME_BACK.name}": came}), "utf-8")
    if sent_rate == came_rate and sent.shape == came.shape and (sent == came).all():
        print(f"{SENT.name} and out/{CAME_BACK.name} are equal: {len(sent)} frames, every bit of them.")
        print(f"Both are drawn in {PICTURE.relative_to(EXAMPLES.parent)}.")
        return 0
    print(f"{SENT.name} and out/{CAME_BACK.name} differ: {len(sent)} frames were sent, {len(came)} came back.")
    if sent.shape == came.shape:
        wrong = (sent != came).any(axis=1)
        print(f"{wrong.sum()} frames are different, the first is frame {wrong.argmax()}.")
    print("The summary above says why: packets that were lost or late, or packets of another sender.")
    print(f"Both are drawn in {PICTURE.relative_to(EXAMPLES.parent)}.")
    return 1


def waveforms(tracks: Mapping[str, Any]) -> str:
    """An SVG of the first channel of each track, by name, one below the other on one scale of time."""
    import numpy as np

    longest = max(len(samples) for samples in tracks.values())
    begins = np.arange(WIDTH) * longest // WIDTH
    rows = []
    for row, (name, samples) in enumerate(tracks.items()):
        middle = 28 + HALF + row * (2 * HALF + 28)
        there = begins[begins < len(samples)]
        if len(there):
            scaled = samples[:, 0] * (-HALF / 2**31)
            top, bottom = np.minimum.reduceat(scaled, there), np.maximum.reduceat(scaled, there)
            lines = [
                f"M{x} {middle + low:.1f}V{middle + high:.1f}"
                for x, (low, high) in enumerate(zip(top, bottom, strict=True))
            ]
            rows.append(f'<path d="{"".join(lines)}" stroke="#2b7a78" fill="none"/>')
        rows.append(f'<text x="4" y="{middle - HALF - 8}" font-family="sans-serif" font-size="14">{name}</text>')
    height = len(tracks) * (2 * HALF + 28)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"><rect width="100%" height="100%" '
    return "\n".join([f'{head}fill="#fff"/>', *rows, "</svg>", ""])


def play() -> int:
    """Play what came back on the system's sound card; returns the exit code."""
    try:
        import sounddevice
        import soundfile

        samples, rate = soundfile.read(CAME_BACK)
        sounddevice.play(samples, rate, blocking=True)
    except Exception as error:  # PortAudio is not there, or no card, or one that does not play this
        print(f"Cannot play out/{CAME_BACK.name}: {error}. `kernel devices` lists the cards, and what is missing.")
        return 1
    return 0


def main(arguments: list[str]) -> int:
    """Run the example, compare, and play; returns the exit code."""
    if not loopback_is_up():
        print("The loopback interface of this network namespace is down. As root: ip link set lo up")
        return 1
    return run_example() or compare() or (play() if "--play" in arguments else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
