"""``latency = "lowest"`` in virtual time: a data plane that is late by known times, on a card whose truth is known."""

from __future__ import annotations

from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from phasegraph import GraphError
from phasegraph_sinks.soundcard.lowest_buffer import WINDOW_NS

RATE = 48_000
GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.stage]
kind = "sim-source"
signal = "sine"
frequency = "100Hz"
link-offset = "80ms"
[compensators.align]
kind = "sim-align"
[sinks.speakers]
kind = "soundcard"
input = "stage"
compensator = "align"
"""
LOWEST = GRAPH + 'latency = "lowest"\n'
PPM = 37.3
OFF = PPM * 9.6e-3
"""Frames by which the simulation's compensator leaves such a card off its place."""


@pytest.fixture
def card(make_card):
    found = make_card(ppm=PPM)
    found.block = 256
    return found


@asynccontextmanager
async def settled(playing, card, graph=LOWEST, cycles=450):
    """A run that has played for 2.4 s, or as many cycles; it plays for half a second more at the end."""
    async with playing(graph, card) as run:
        await trio.sleep(cycles * card.block / RATE)
        yield run
        await trio.sleep(0.5)


async def stall(run, seconds):
    """The data plane does nothing for that time, once."""
    stamps = run.nodes["speakers"]._player.stamps
    usual = stamps.rest_ns
    stamps.rest_ns = lambda: round(seconds * 1e9)
    await trio.sleep(0.005)
    stamps.rest_ns = usual
    await trio.sleep(0.2)


def cycles(run, card):
    return run.nodes["speakers"].metrics()["buffer_ns"] * RATE / 1e9 / card.block


def off_its_place(run, card):
    times, early = card.misplaced(run.nodes["house"], link_offset_s=0.08)
    return np.abs(early[times > 1.0] * RATE - OFF)


async def test_asks_the_driver_for_its_lowest_latency(card, play, autojump_clock):
    await play(LOWEST, card, for_s=0.5)
    assert card.requested_latency == "low"
    await play(GRAPH, card, for_s=0.5)
    assert card.requested_latency == "high"


@pytest.mark.parametrize(("block", "frames"), [(64, 129), (256, 257)])
@pytest.mark.slow
async def test_holds_little_where_the_data_plane_is_on_time(block, frames, card, play, autojump_clock):
    card.block = block
    run = await play(LOWEST, card, for_s=5)
    metrics = run.metrics("speakers")
    assert metrics["buffer_ns"] == pytest.approx(frames / RATE * 1e9, abs=1)
    assert metrics["underruns"] == 0
    assert metrics["longest_refill_ns"] < 1_500_000
    assert not run.events("buffer_raised")
    assert off_its_place(run, card).max() < 0.02
    default = await play(GRAPH, card, for_s=5)
    saved_ns = default.metrics("speakers")["latency_ns"] - metrics["latency_ns"]
    assert saved_ns > 4_000_000
    assert "buffer_ns" not in default.metrics("speakers")


@pytest.mark.slow
async def test_is_raised_before_the_card_runs_dry_and_nothing_moves(card, playing, autojump_clock):
    async with settled(playing, card) as run:
        await stall(run, 0.005)
    (event,) = run.events("buffer_raised")
    assert "after a callback" in event["reason"]
    assert cycles(run, card) == pytest.approx(2, abs=0.01)
    assert run.metrics("speakers")["underruns"] == 0
    assert off_its_place(run, card).max() < 0.02


@pytest.mark.slow
async def test_is_raised_after_underruns_until_it_holds(card, playing, autojump_clock):
    underruns = []
    async with settled(playing, card, cycles=750) as run:
        for _ in range(4):
            await stall(run, 0.018)
            underruns.append(run.nodes["speakers"].metrics()["underruns"])
    assert 0 < underruns[0] < underruns[1] == underruns[2] == underruns[3]
    events = run.events("buffer_raised")
    assert "too few frames" in events[0]["reason"]
    assert [event["buffer_ns"] for event in events] == sorted(event["buffer_ns"] for event in events)
    assert cycles(run, card) == pytest.approx(4, abs=0.01)  # 21 ms
    assert off_its_place(run, card)[-50:].max() < 0.02


@pytest.mark.slow
async def test_takes_no_more_than_the_link_offset_leaves(card, playing, autojump_clock):
    async with settled(playing, card, LOWEST.replace("80ms", "25ms")) as run:
        for _ in range(5):
            await stall(run, 0.1)
    assert cycles(run, card) * card.block / RATE < 0.017  # beside 8 ms of the card
    (event,) = run.events("buffer_short")
    assert "link-offset" in event["reason"]
    assert run.report["edges"]["stage->speakers"]["metrics"]["missing_frames"] == 0


@pytest.mark.slow
async def test_gives_a_cycle_back_and_nothing_moves(card, playing, monkeypatch, autojump_clock):
    monkeypatch.setattr("phasegraph_sinks.soundcard.lowest_buffer.WINDOW_NS", WINDOW_NS // 200)
    async with settled(playing, card) as run:
        await stall(run, 0.005)
        assert cycles(run, card) == pytest.approx(2, abs=0.01)
        await trio.sleep(7)
    assert [event["name"] for event in run.events("buffer_lowered")] == ["buffer_lowered"]
    assert cycles(run, card) == pytest.approx(1, abs=0.01)
    assert run.metrics("speakers")["underruns"] == 0
    assert off_its_place(run, card).max() < 0.02


@pytest.mark.parametrize("times", [*(pytest.param(it, marks=pytest.mark.slow) for it in (0, 1)), 2])
async def test_its_setting_makes_a_graph_that_holds_the_same(times, card, playing, play, autojump_clock):
    async with settled(playing, card) as run:
        for _ in range(times):
            await stall(run, 0.018)
    found = run.metrics("speakers")
    assert found["setting"].startswith('latency = "8ms", buffer = ')
    fixed = await play(GRAPH + found["setting"].replace(", ", "\n") + "\n", card, for_s=0.5)
    depth = fixed.nodes["speakers"]._player.depth()
    assert depth == round(found["buffer_ns"] * RATE / 1e9)


async def test_the_buffer_is_not_for_the_graph_to_give(card, play, autojump_clock):
    with pytest.raises(GraphError, match=r"sinks\.speakers\.buffer.*lowest"):
        await play(LOWEST + 'buffer = "5ms"\n', card)


async def test_a_source_has_no_such_latency(card, play, autojump_clock):
    with pytest.raises(GraphError, match=r"sources\.microphone\.latency"):
        await play('schema = 1\n[sources.microphone]\nkind = "soundcard"\nlatency = "lowest"\n', card)
