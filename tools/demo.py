"""Runs examples/loopback.toml, then holds the recording that came back against the one that was sent."""

from __future__ import annotations

import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SENT = EXAMPLES / "recording.flac"
CAME_BACK = EXAMPLES / "out" / "copy.wav"


def run_example() -> int:
    """Run the graph as ``kernel run`` does; returns the exit code."""
    from phasegraph._cli import main

    sys.argv = ["kernel", "run", str(EXAMPLES / "loopback.toml")]
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
    return 1


if __name__ == "__main__":
    sys.exit(run_example() or compare())
