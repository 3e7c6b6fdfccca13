"""Mouth to ear: what a file sink records of a stream is behind by its link offset, to the frame."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.support import material
from tests.support.addresses import LOOPBACK, free_group, free_port
from tests.support.graphs import END_AFTER, LINK_OFFSET, Loop, table, write_graph
from tests.support.kernel import Outcome, exact, run_kernel

FRAMES = 24_000


def heard_at(channel: np.ndarray, words: np.ndarray) -> int | None:
    """Where the material begins in a recording that has all of it. Behind it sounds what its end was faded with."""
    sounding = np.flatnonzero(channel)
    begin = int(sounding[0]) if len(sounding) else 0
    return begin if np.array_equal(channel[begin : begin + FRAMES], words) else None


@pytest.mark.parametrize(("link_offset", "frames"), [("150ms", 7_200), ("217ms", 10_416)])
def test_a_recording_is_behind_by_the_link_offset(tmp_path: Path, link_offset: str, frames: int) -> None:
    """A programme is recorded beside itself after it went over the network once more."""
    words = material.make(tmp_path / "programme.wav", FRAMES, 1)
    loop = Loop(source=tmp_path / "programme.wav", copy="first.wav")
    group, port = free_group(), free_port()
    way = {"kind": "aes67", "interface": LOOPBACK, "group": group, "port": port}
    again = {"channels": 1, "link-offset": link_offset, "end-after": END_AFTER}
    graph = write_graph(
        tmp_path / "graph.toml",
        loop.toml,
        table("sinks", "relay", input="loop-in", **way),
        table("sources", "again", **way, **again),
        table("sinks", "both", kind="file", overwrite=True, input=["loop-in", "again"], path="both.wav"),
    )

    def delays(_: Outcome) -> str:
        both = material.read(tmp_path / "both.wav")
        direct, again = (heard_at(channel, words[:, 0]) for channel in both.T)
        if direct is None or again is None:
            return "not bit for bit"
        return "" if again - direct == frames else f"{again - direct} frames behind, not {frames}"

    result = exact(partial(run_kernel, graph, tmp_path), delays)
    assert result.code == 0, result.stderr
    assert LINK_OFFSET == "200ms"
    assert result.metrics("again")["link_offset_ns"] == frames * 1_000_000 // 48
