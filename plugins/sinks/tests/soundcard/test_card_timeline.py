"""The line through a card's stamps, on synthetic cards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph_sinks.soundcard.card_timeline import CardTimeline

RATE = 48_000
EPOCH = 3_000_000_000_000


class Card:
    """Stamps of a card with a known rate; ``lose`` makes it lose frames."""

    def __init__(self, ppm=0.0, block=256, noise_ns=0.0, late_ns=0.0, seed=1):
        self.period = 1e9 / RATE / (1 + ppm * 1e-6)
        self.block, self.noise_ns, self.late_ns = block, noise_ns, late_ns
        self.random = np.random.default_rng(seed)
        self.called = self.lost = 0

    def truth(self, frame):
        return EPOCH + frame * self.period

    def stamp(self):
        frame = self.called + self.lost
        error = (
            self.random.normal(0, self.noise_ns) + self.random.exponential(self.late_ns)
            if self.late_ns
            else (self.random.normal(0, self.noise_ns))
        )
        local = round(self.truth(frame) + error)
        self.called += self.block
        return local

    def run(self, timeline, blocks, skipped=0, xrun=False):
        for _ in range(blocks):
            called = self.called
            skipped += timeline.add_stamp(called + skipped, self.stamp(), xrun)
            xrun = False
        return skipped


@pytest.mark.parametrize("ppm", [-400.0, -37.3, 0.0, 100.0])
@pytest.mark.parametrize(("noise_ns", "tolerance"), [(0.0, 2.0), (20_000.0, 500.0)])
def test_finds_rate_and_place(ppm, noise_ns, tolerance):
    card, timeline = Card(ppm, noise_ns=noise_ns), CardTimeline(RATE, late=False)
    assert card.run(timeline, 4000) == 0
    assert timeline.rate_ppb == pytest.approx(ppm * 1e3, abs=tolerance)
    ahead = card.called + 2000
    assert abs(timeline.time_of(ahead) - card.truth(ahead)) < 5 * noise_ns + 10
    assert abs(timeline.fitted_time_of(ahead) - card.truth(ahead)) < noise_ns / 4 + 10
    assert abs(timeline.fitted_time_of(ahead) - card.truth(ahead)) < 4 * timeline.sigma_ns
    assert timeline.frame_at(timeline.time_of(ahead)) == ahead
    assert timeline.jitter_ns == pytest.approx(noise_ns * 0.8, rel=0.3, abs=1)


@pytest.mark.parametrize("ppm", [-80.0, 37.3])
def test_late_stamps_give_their_earliest(ppm):
    card, timeline = Card(ppm, late_ns=400_000.0), CardTimeline(RATE, late=True)
    assert card.run(timeline, 6000) == 0
    assert timeline.rate_ppb == pytest.approx(ppm * 1e3, abs=1000)
    errors = []
    for _ in range(1000):
        card.run(timeline, 1)
        errors.append(timeline.time_of(card.called) - card.truth(card.called))
    assert np.abs(errors).max() < 20_000  # a frame, where single stamps are 19 frames late in the mean


@pytest.mark.parametrize("blocks", [6000, pytest.param(12_000, marks=pytest.mark.slow)])
def test_bends_with_a_card_that_warms_up(blocks):
    card, timeline = Card(noise_ns=2000.0), CardTimeline(RATE, late=False)
    place, errors = float(EPOCH), []
    for number in range(blocks):  # 32 s or 64 s, 1 ppm a minute
        timeline.add_stamp(number * 256, round(place + card.random.normal(0, 2000)))
        place += 256 * 1e9 / RATE * (1 - 1e-6 * number / 11_250)
        if number > 2000:
            errors.append(timeline.fitted_time_of((number + 1) * 256) - place)
    assert np.abs(errors).max() < 3000


@pytest.mark.parametrize(
    ("lost", "noise_ns"), [(1, 0.0), (2, 0.0), (100, 0.0), (100, 3000.0), (1024, 3000.0), (48_000, 3000.0)]
)
def test_counts_what_an_announced_xrun_lost(lost, noise_ns):
    card, timeline = Card(37.3, noise_ns=noise_ns), CardTimeline(RATE, late=False)
    card.run(timeline, 1000)
    card.lost += lost
    called = card.called
    skipped = card.run(timeline, 2, xrun=True)
    assert (skipped, timeline.doubtful) == (0, True)
    skipped = card.run(timeline, 1)
    if lost == 1:
        assert skipped == 0  # within a frame nothing is certain
        return
    assert (skipped, timeline.lost_from) == (lost, called)
    assert not timeline.doubtful
    assert card.run(timeline, 1000, skipped) == lost
    assert timeline.rate_ppb == pytest.approx(37_300, abs=20 if not noise_ns else 500)


@pytest.mark.parametrize("late", [False, True])
def test_counts_what_a_silent_jump_lost(late):
    card = Card(-20.0, late_ns=50_000.0 * late, noise_ns=3000.0)
    timeline = CardTimeline(RATE, late=late)
    card.run(timeline, 2000)
    card.lost += 480
    assert card.run(timeline, 100) == pytest.approx(480, abs=3 if late else 0)


def test_an_announced_xrun_that_lost_nothing_is_forgotten():
    card, timeline = Card(noise_ns=5000.0), CardTimeline(RATE, late=False)
    card.run(timeline, 1000)
    assert card.run(timeline, 1, xrun=True) == 0
    assert timeline.doubtful
    assert card.run(timeline, 10) == 0
    assert not timeline.doubtful


def test_where_it_sounds_earlier_no_frame_is_missing():
    card, timeline = Card(noise_ns=1000.0), CardTimeline(RATE, late=False)
    card.run(timeline, 1000)
    before = timeline.rate_ppb
    for _ in range(100):
        frame = card.called
        assert timeline.add_stamp(frame, card.stamp() - 20_000_000) == 0
    assert timeline.time_of(card.called) == pytest.approx(card.truth(card.called) - 20e6, abs=5000)
    assert timeline.rate_ppb == pytest.approx(before, abs=100)


def test_outliers_do_not_count():
    card, timeline = Card(37.3, noise_ns=2000.0), CardTimeline(RATE, late=False)
    for number in range(4000):
        frame, local = card.called, card.stamp()
        wrong = 5_000_000 * (number % 40 in (0, 1)) if number > 50 else 0
        assert timeline.add_stamp(frame, local + wrong) == 0
    assert timeline.rate_ppb == pytest.approx(37_300, abs=100)


@settings(max_examples=30, deadline=None)
@given(st.integers(-(10**18), 10**18), st.integers(0, 10**12), st.floats(-900, 900))
def test_is_exact_wherever_it_begins(epoch, first, ppm):
    # Any local epoch and frame number, and 100 days later.
    timeline = CardTimeline(RATE, late=False)
    period = 10**9 / RATE / (1 + ppm * 1e-6)
    for number in range(600):
        timeline.add_stamp(first + number * 256, epoch + round(number * 256 * period))
    assert abs(timeline.time_of(first + 600 * 256) - epoch - 600 * 256 * period) < 5
    far = first + 100 * 86_400 * RATE
    assert abs(timeline.time_of(far) - epoch - (far - first) * period) < abs(far - first) / RATE * 1
