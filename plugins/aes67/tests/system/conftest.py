"""Whole graphs in virtual time: a program whose every sample is known, sent and received over a simulated network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phasegraph import Encoding, Frames, silence
from phasegraph.testing import counter_frames

HEAD = 'schema = 1\n[clocks.house]\nkind = "sim-clock"\n'


def table(name: str, /, **options: Any) -> str:
    """A table of a graph."""
    lines = [f"[{name}]"]
    for key, value in options.items():
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else value if isinstance(value, int) else f'"{value}"'
            lines.append(f"{key.replace('_', '-')} = {text}")
    return "\n".join(lines) + "\n"


class Graphs:
    """Parts of graphs. ``program`` is sent by ``out``; ``it`` is what is received, and ``recorder`` records it."""

    head = HEAD

    def sending(self, *, duration: str = "1s", id: str = "out", **options: Any) -> str:
        """A program and its sender. Options of the program: rate, channels."""
        of_program = {name: options.pop(name) for name in ("rate", "channels") if name in options}
        out = {"kind": "aes67", "interface": "eth0", "group": "239.69.1.1", **options}
        return table("sources.program", kind="sim-sequence", duration=duration, **of_program) + table(
            f"sinks.{id}", input="program", **out
        )

    def receiving(self, **options: Any) -> str:
        """A receiver and its recorder. What is missing is silence, so that it can be told from the program."""
        it = {"kind": "aes67", "interface": "eth0", "link_offset": "5ms", "end_after": "100ms", "conceal": False}
        it |= options
        if "sdp" not in it:
            it = {"group": "239.69.1.1", **it}
        return table("sources.it", **it) + table("sinks.recorder", kind="sim-recorder", input="it")

    table = staticmethod(table)


def program(count: int, channels: int = 2, encoding: Encoding = Encoding.L24, first: int = 0) -> Frames:
    """The program as the network carries it."""
    frames = silence(count, channels)
    encoding.decode(encoding.encode(counter_frames(first, count, channels)), frames)
    return frames


def gaps(frames: Frames, encoding: Encoding = Encoding.L24) -> list[tuple[int, int]]:
    """Where a recording is silent instead of the program: (first frame, length). Fails for anything else."""
    expected = program(len(frames), frames.shape[1], encoding)
    wrong = np.flatnonzero((frames != expected).any(axis=1))
    assert not frames[wrong].any(), "not silence, and not what was sent"
    begins = np.flatnonzero(np.diff(wrong, prepend=-2) != 1)
    ends = [*begins[1:], len(wrong)]
    return [(int(wrong[begin]), int(end - begin)) for begin, end in zip(begins, ends, strict=False)]


COUNTERS = ("lost", "late", "early", "duplicate", "reordered", "malformed", "foreign")


def counters(metrics: dict[str, Any]) -> dict[str, int]:
    """A receiver's troubles, without those that did not happen."""
    found = {name: metrics[f"packets_{name}"] for name in COUNTERS if metrics[f"packets_{name}"]}
    return found | ({"concealed": metrics["frames_concealed"]} if metrics["frames_concealed"] else {})


@pytest.fixture(scope="session")
def graphs() -> Graphs:
    return Graphs()


@pytest.fixture(scope="session")
def sent() -> Callable[..., Frames]:
    return program


@pytest.fixture(scope="session")
def gaps_in() -> Callable[..., list[tuple[int, int]]]:
    return gaps


@pytest.fixture(scope="session")
def troubles() -> Callable[[dict[str, Any]], dict[str, int]]:
    return counters
