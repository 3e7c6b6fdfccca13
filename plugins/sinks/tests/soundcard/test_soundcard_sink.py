"""The ``soundcard`` sink in virtual time, on cards whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import trio

from phasegraph.testing import counter_frames

FILE = """
schema = 1
[sources.file]
kind = "sim-sequence"
duration = "1s"
[sinks.speakers]
kind = "soundcard"
input = "file"
"""
CLOCKED = """
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


def sound(card):
    """What was played from the first frame that is not silence to the last."""
    heard = card.heard()
    there = np.flatnonzero(heard.any(axis=1))
    return heard[there[0] : there[-1] + 1]


@pytest.mark.parametrize("block", [*(pytest.param(block, marks=pytest.mark.slow) for block in (31, 128)), 4096])
async def test_plays_a_file_to_its_last_frame(block, make_card, play, autojump_clock):
    card = make_card()
    card.block = block
    run = await play(FILE, card)
    assert run.report["ended"] == "completed"
    assert np.array_equal(sound(card), counter_frames(0, 48_000, 2))
    metrics = run.metrics("speakers")
    assert (metrics["frames_out"], metrics["underruns"], metrics["lost_frames"]) == (48_000, 0, 0)
    assert card.stops == ["stop"]  # what was given to it sounds to the end


@pytest.mark.parametrize("ppm", [-150.0, *(pytest.param(ppm, marks=pytest.mark.slow) for ppm in (0.0, 37.3))])
@pytest.mark.parametrize("latency_s", [pytest.param(0.0053, marks=pytest.mark.slow), 0.0473])
async def test_the_first_frame_sounds_at_its_time_and_so_do_the_others(ppm, latency_s, make_card, play, autojump_clock):
    # Media time and link offset make the time at which a frame leaves the converter, whatever the card's latency.
    card = make_card(ppm=ppm)
    card.latency_s = latency_s
    run = await play(CLOCKED, card, for_s=2)
    times, early = card.misplaced(run.nodes["house"], link_offset_s=0.08)
    assert 0.25 < times[0] < 0.4
    assert abs(early[0]) * 48_000 < 0.1
    # The compensator of the simulation leaves an error in proportion to the rate: 9.6 frames per 1000 ppm.
    assert np.abs(early * 48_000 - ppm * 9.6e-3).max() < abs(ppm) * 9.6e-3 + 0.01
    assert early[-1] * 48_000 == pytest.approx(ppm * 9.6e-3, abs=0.01)
    metrics = run.metrics("speakers")
    assert metrics["device_rate_ppb"] == pytest.approx(ppm * 1000, abs=5)
    assert metrics["underruns"] == 0
    assert latency_s * 1e9 < metrics["latency_ns"] < latency_s * 1e9 + 12_000_000


def usual(random):
    """Callbacks as a busy machine has them: late by 0.1 ms mostly, by milliseconds now and then."""
    return abs(random.normal(0, 1e-4)) + (random.random() < 0.01) * random.exponential(1.5e-3)


@pytest.mark.slow
async def test_late_callbacks_do_not_move_what_sounds(make_card, play, autojump_clock):
    card = make_card(ppm=37.3)
    card.latency_s, card.lateness = 0.02, usual
    run = await play(CLOCKED, card, for_s=5)
    early = card.misplaced(run.nodes["house"], link_offset_s=0.08)[1] * 48_000 - 0.358
    assert abs(early[0]) < 0.5
    assert np.abs(early[200:]).max() < 0.05
    assert run.metrics("speakers")["underruns"] == 0


@pytest.mark.slow
async def test_noisy_stamps_are_passed_on_as_they_are(make_card, play, autojump_clock):
    card = make_card(ppm=-80.0)
    card.noise_s, card.lateness = 40e-6, lambda random: abs(random.normal(0, 5e-4))
    run = await play(CLOCKED, card, for_s=6)
    metrics = run.metrics("speakers")
    assert metrics["time_source"].startswith("the card's time")
    assert metrics["stamp_jitter_ns"] == pytest.approx(40_000 * (2 / np.pi) ** 0.5, rel=0.3)
    assert metrics["device_rate_ppb"] == pytest.approx(-80_000, abs=2000)
    assert metrics["lost_frames"] == 0


@pytest.mark.parametrize("wrong", [lambda device, now: (0.0, 0.0), lambda device, now: (now, now)])
@pytest.mark.slow
async def test_a_card_without_a_time_is_placed_by_its_callbacks(wrong, make_card, play, autojump_clock):
    card = make_card(ppm=37.3)
    card.latency_s, card.lateness, card.wrong_time = 0.02, usual, wrong
    run = await play(CLOCKED, card, for_s=9)
    early = card.misplaced(run.nodes["house"], link_offset_s=0.08)[1] * 48_000 - 0.358
    assert np.abs(early[500:]).max() < 1.0  # the callbacks themselves are up to a hundred frames late
    metrics = run.metrics("speakers")
    assert metrics["time_source"].startswith("the callbacks' times")
    assert metrics["device_rate_ppb"] == pytest.approx(37_300, abs=4000)
    assert metrics["lost_frames"] == 0


@pytest.mark.parametrize("announced", [pytest.param(True, marks=pytest.mark.slow), False])
@pytest.mark.parametrize("lost", [1000, *(pytest.param(lost, marks=pytest.mark.slow) for lost in (77, 20_000))])
async def test_after_an_xrun_frames_sound_at_their_time_again(lost, announced, make_card, play, autojump_clock):
    card = make_card(ppm=37.3)
    card.latency_s, card.xruns, card.announces = 0.02, {300: lost}, announced
    run = await play(CLOCKED, card, for_s=3)
    times, early = card.misplaced(run.nodes["house"], link_offset_s=0.08)
    metrics = run.metrics("speakers")
    assert metrics["lost_frames"] == lost
    assert metrics["underruns"] >= announced
    hit = card.played[300][0]
    after = (times > hit + 0.1) & (times < hit + 1)
    assert after.any()
    assert np.abs(early[after] * 48_000 - 0.358).max() < 0.4
    assert abs(run.report["edges"]["stage->speakers"]["metrics"]["phase_error_ns"]) < 10_000


async def test_an_xrun_in_the_first_callbacks_does_not_discredit_the_card_s_time(make_card, play, autojump_clock):
    card = make_card(ppm=37.3)
    card.latency_s, card.xruns = 0.02, {20: 3000, 55: 3000}
    run = await play(CLOCKED, card, for_s=2)
    metrics = run.metrics("speakers")
    assert metrics["time_source"].startswith("the card's time")
    assert metrics["lost_frames"] == 0  # before anything sounded
    early = card.misplaced(run.nodes["house"], link_offset_s=0.08)[1]
    assert np.abs(early * 48_000 - 0.358).max() < 0.4


@pytest.mark.slow
async def test_a_card_that_does_nothing_but_lose_frames_plays_all_the_same(make_card, play, autojump_clock):
    card = make_card()
    card.xruns = dict.fromkeys(range(0, 4000, 30), 200)
    run = await play(CLOCKED, card, for_s=8)
    assert np.argmax(card.heard().any(axis=1)) < 6 * 48_000
    assert run.metrics("speakers")["frames_out"] > 48_000


async def test_a_reported_xrun_that_lost_nothing_changes_nothing(make_card, play, autojump_clock):
    card = make_card()
    card.xruns = {80: 0}
    run = await play(FILE, card)
    assert np.array_equal(sound(card), counter_frames(0, 48_000, 2))
    assert run.metrics("speakers")["lost_frames"] == 0


@pytest.mark.slow
async def test_a_stalled_data_plane_is_an_underrun(make_card, playing, autojump_clock):
    card = make_card()
    async with playing(CLOCKED, card) as run:
        await trio.sleep(2)
        player = run.nodes["speakers"]._player
        read_stamps = player.stamps.read_new_stamps
        player.stamps.read_new_stamps = lambda: None
        write, player.ring.write_frames = player.ring.write_frames, lambda first, frames: None
        await trio.sleep(0.5)
        player.ring.write_frames, player.stamps.read_new_stamps = write, read_stamps
        await trio.sleep(1)
    assert run.metrics("speakers")["underruns"] > 10
    early = card.misplaced(run.nodes["house"], link_offset_s=0.08)[1]
    assert abs(early[-1]) * 48_000 < 0.1


@pytest.mark.slow
async def test_an_unplugged_card_is_waited_for(make_card, playing, autojump_clock):
    card = make_card(ppm=37.3)
    other = make_card(name="HDMI 0")
    other.present = True
    async with playing(CLOCKED, card) as run:
        await trio.sleep(3)
        card.present = False
        away = trio.current_time()
        await trio.sleep(7.003)
        assert not any(map(run.session.supervisor.failure, run.session.built.nodes.values()))
        card.name = "USB Audio: - (hw:3,0)"  # another place, the same card
        card.present = True
        await trio.sleep(4)
        back = trio.current_time()
    assert [event["device"] for event in run.events("device_lost")] == ["USB Audio: - (hw:1,0)"]
    assert [event["device"] for event in run.events("device_found")] == ["USB Audio: - (hw:3,0)"]
    assert card.opened == 2
    times, early = card.misplaced(run.nodes["house"], link_offset_s=0.08)
    assert (times[(times > away + 0.2) & (times < away + 7)]).size == 0
    assert abs(early[-1] * 48_000 - 0.358) < 0.05
    assert times[-1] > back - 0.2
    assert run.report["nodes"]["speakers"]["state"] == "ended"


@pytest.mark.slow
async def test_a_file_goes_on_for_others_while_a_card_is_away(make_card, playing, autojump_clock):
    card = make_card()
    graph = FILE.replace('"1s"', '"6s"') + '[sinks.second]\nkind = "soundcard"\ninput = "file"\ndevice = "HDMI 0"\n'
    other = make_card(name="HDMI 0")
    async with playing(graph.replace("[sinks.speakers]", '[sinks.speakers]\ndevice = "USB"'), card, other) as run:
        await trio.sleep(3)
        card.present = False
        await trio.sleep(5)
    assert run.report["ended"] == "completed"
    assert np.array_equal(sound(other), counter_frames(0, 288_000, 2))
    assert len(sound(card)) == pytest.approx(2.73 * 48_000, rel=0.02)
    assert run.metrics("speakers")["device_lost"]  # the run exits with 1
    assert "device_lost" not in run.metrics("second")


@pytest.mark.slow
async def test_a_card_that_is_lost_before_it_played_holds_up_no_other(make_card, playing, autojump_clock):
    card, other = make_card(), make_card(name="HDMI 0")
    graph = FILE.replace('"1s"', '"3s"') + '[sinks.second]\nkind = "soundcard"\ninput = "file"\ndevice = "HDMI 0"\n'
    async with playing(graph.replace("[sinks.speakers]", '[sinks.speakers]\ndevice = "USB"'), card, other) as run:
        await trio.sleep(0.05)
        card.present = False
        await trio.sleep(8)
    assert not card.played or not card.heard().any()
    assert run.report["ended"] == "completed"
    assert np.array_equal(sound(other), counter_frames(0, 144_000, 2))


@pytest.mark.slow
async def test_says_when_the_link_offset_is_too_short(make_card, play, autojump_clock):
    card = make_card()
    card.latency_s = 0.05
    run = await play(CLOCKED.replace("80ms", "10ms"), card, for_s=3)
    (event,) = run.events("too_late")
    assert 40e6 < event["short_ns"] < 60e6
    assert "link-offset" in event["reason"]
    assert "link-offset" in run.metrics("speakers")["trouble"], "for as long as it lasts"
    assert (await play(CLOCKED, make_card(), for_s=3)).events("too_late") == []


async def test_more_channels_than_the_input_has(make_card, play, autojump_clock):
    card = make_card(outputs=8)
    await play(FILE + "channels = 6\n", card)
    heard = sound(card)
    assert np.array_equal(heard[:, :2], counter_frames(0, 48_000, 2))
    assert not heard[:, 2:].any()


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (FILE + 'device = "Bluetooth"\n', ["no sound card 'Bluetooth'", "USB Audio", "HDMI 0"]),
        (FILE + "device = 7\n", ["no sound card 7"]),
        (FILE + 'device = "Audio"\n', ["may be", "USB Audio", "Other Audio", "whole name"]),
        (
            FILE.replace("sim-sequence", 'sim-sequence"\nrate = "192kHz') + "device = 0\n",
            ["192 kHz", "44.1 kHz, 48 kHz, 96 kHz"],
        ),
        (FILE + "channels = 8\ndevice = 0\n", ["2 channels", "not 8"]),
    ],
)
async def test_what_a_card_does_not_have_is_said(graph, words, make_card, play, autojump_clock):
    run = await play(graph, make_card(), make_card(name="HDMI 0"), make_card(name="Other Audio"))
    assert run.report["ended"] == "failed"
    (event,) = run.events("failed")
    for word in words:
        assert word in event["reason"]


async def test_options_that_do_not_fit_the_input(make_card, play, refused, autojump_clock):
    from phasegraph import GraphError

    with pytest.raises(GraphError, match=r"sinks\.speakers\.rate.*44100 Hz.*48000 Hz"):
        await play(FILE + 'rate = "44.1kHz"\n', make_card())
    with pytest.raises(GraphError, match=r"sinks\.speakers\.channels"):
        await play(FILE + "channels = 1\n", make_card())
