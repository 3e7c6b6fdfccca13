"""The options of `card_latency.py` make the rings that its table names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The benchmarks are scripts, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import card_latency

from phasegraph import SystemLocalClock
from phasegraph_sinks.soundcard.card_memory import PlayRing
from phasegraph_sinks.soundcard.card_player import CardPlayer


class _Input:
    format = type("Format", (), {"rate": card_latency.RATE, "channels": 2})


@pytest.mark.parametrize("period", card_latency.PERIODS)
@pytest.mark.parametrize("cycles", [1, 2, 3, 8])
def test_a_fixed_ring_holds_whole_cycles_and_one_frame(period, cycles):
    microseconds = int(card_latency.fixed(cycles, period).removeprefix('buffer = "').removesuffix('us"'))
    ring = PlayRing(2, card_latency.RATE)
    player = CardPlayer(
        _Input(), SystemLocalClock(), ring, buffer_ns=1000 * microseconds, before=None, on_end=lambda: None
    )
    player.stamps.largest = period
    assert player.depth() == cycles * period + 1
