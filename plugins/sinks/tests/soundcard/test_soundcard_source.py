"""The ``soundcard`` source in virtual time: a clock domain of its own."""

from __future__ import annotations

import numpy as np
import pytest
import trio

from phasegraph.testing import counted, counter_frames

RECORD = """
schema = 1
[sources.microphone]
kind = "soundcard"
link-offset = "30ms"
[sinks.recorder]
kind = "sim-recorder"
input = "microphone"
"""
MONITOR = """
schema = 1
[sources.microphone]
kind = "soundcard"
device = "USB"
[compensators.align]
kind = "sim-align"
[sinks.speakers]
kind = "soundcard"
device = "HDMI"
input = "microphone"
compensator = "align"
"""


async def test_records_every_frame_in_its_place(make_card, play, autojump_clock):
    card = make_card(ppm=-60.0)
    run = await play(RECORD, card, for_s=2)
    recording = run.nodes["recorder"].recording()
    first = counted(recording)[0]
    assert 49 * 256 <= first < 60 * 256  # after the callbacks by which the time source was chosen
    assert np.array_equal(recording, counter_frames(int(first), len(recording), 2))
    assert len(recording) > 0.8 * 48_000
    metrics = run.metrics("microphone")
    assert metrics["frames_in"] >= len(recording)
    assert metrics["device_rate_ppb"] == pytest.approx(-60_000, abs=10)
    assert (metrics["overruns"], metrics["lost_frames"]) == (0, 0)


@pytest.mark.slow
async def test_what_an_xrun_lost_is_silence_of_its_length(make_card, play, autojump_clock):
    card = make_card(ppm=30.0)
    card.xruns, card.noise_s = {500: 777}, 5e-6
    run = await play(RECORD, card, for_s=4)
    recording = run.nodes["recorder"].recording()
    first = int(counted(recording)[0])
    expected = counter_frames(first, len(recording), 2)
    expected[500 * 256 - first : 500 * 256 - first + 777] = 0
    assert np.array_equal(recording, expected)
    metrics = run.metrics("microphone")
    assert (metrics["overruns"], metrics["lost_frames"]) == (1, 777)


@pytest.mark.slow
async def test_an_unplugged_card_leaves_a_gap_as_long_as_it_was_away(make_card, playing, autojump_clock):
    card = make_card(ppm=30.0)
    async with playing(RECORD, card) as run:
        await trio.sleep(3)
        card.present = False
        await trio.sleep(5)
        assert run.nodes["microphone"].stream.clock.estimate().state == "holdover"
        card.present = True
        await trio.sleep(4)
        assert run.nodes["microphone"].stream.clock.estimate().state == "locked"
    assert len(run.events("device_lost")) == len(run.events("device_found")) == 1
    recording = run.nodes["recorder"].recording()
    silent = ~recording.any(axis=1)
    before, after = np.flatnonzero(silent)[0], np.flatnonzero(silent)[-1] + 1
    assert before / 48_000 == pytest.approx(2.73, abs=0.02)
    assert (after - before) / 48_000 == pytest.approx(5.5, abs=0.5)
    # The card counts from 0 again; the recording goes on as long after as it truly was.
    rest = recording[after:]
    assert np.array_equal(rest, counter_frames(int(counted(rest)[0]), len(rest), 2))


@pytest.mark.parametrize("local_ppm", [pytest.param(0.0, marks=pytest.mark.slow), 45.0])
async def test_the_stream_s_clock_is_the_card(local_ppm, make_card, playing, autojump_clock):
    from phasegraph.testing import SimLocalClock

    card = make_card(ppm=75.0)
    card.noise_s = 20e-6
    local = SimLocalClock(ppm=local_ppm)
    async with playing(RECORD, card, local=local) as run:
        await trio.sleep(3)
        estimate = run.nodes["microphone"].stream.clock.estimate()
        now = local.now_ns()
        # The first block was heard 10 ms after the card was opened, at time 0.
        truth = (trio.current_time() - 0.01) * card.running_rate / 48_000
        error_ns = estimate.reference_at(now) - truth * 1e9
    assert abs(error_ns) < 5 * estimate.sigma_ns + 50 < estimate.bound_ns
    assert estimate.sigma_ns < 5000
    assert estimate.rate_ppb == pytest.approx(75_000 - local_ppm * 1e3, abs=2000)
    assert estimate.state == "locked"


@pytest.mark.slow
async def test_two_cards_of_different_rates_in_one_graph(make_card, play, autojump_clock):
    microphone, speakers = make_card(ppm=80.0), make_card(name="HDMI 0", ppm=-60.0)
    run = await play(MONITOR, microphone, speakers, for_s=5)
    heard, times = speakers.heard(), speakers.true_times()
    there = np.flatnonzero(heard.any(axis=1))[4800:-480]
    heard_at = 0.01 + counted(heard)[there] / microphone.running_rate
    delay = times[there] - heard_at
    assert np.abs(delay - 0.1).max() < 2 / 48_000  # link-offset; sim-align leaves 1.3 frames at 140 ppm
    assert run.report["edges"]["microphone->speakers"]["metrics"]["missing_frames"] == 0
    assert run.metrics("speakers")["underruns"] == 0
