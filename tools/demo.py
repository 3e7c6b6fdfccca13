"""Runs examples/loopback.toml, then compares the recording that came back with the one that was sent.

The stream gets a multicast group and a port of its own, at random, and its session description a folder of its own: two
people who run this on one host do not receive each other's stream.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SENT = EXAMPLES / "recording.flac"
CAME_BACK = EXAMPLES / "out" / "copy.wav"


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


def compare() -> int:
    """Say whether both files hold the same samples; returns the exit code."""
    import soundfile

    sent, sent_rate = soundfile.read(SENT, dtype="int32", always_2d=True)
    came, came_rate = soundfile.read(CAME_BACK, dtype="int32", always_2d=True)
    if sent_rate == came_rate and sent.shape == came.shape and (sent == came).all():
        print(f"{SENT.name} and out/{CAME_BACK.name} are equal: {len(sent)} frames, every bit of them.")
        return 0
    print(f"{SENT.name} and out/{CAME_BACK.name} differ: {len(sent)} frames were sent, {len(came)} came back.")
    if sent.shape == came.shape:
        wrong = (sent != came).any(axis=1)
        print(f"{wrong.sum()} frames are different, the first is frame {wrong.argmax()}.")
    print("The summary above says why: packets that were lost or late, or packets of another sender.")
    return 1


if __name__ == "__main__":
    sys.exit(run_example() or compare())
