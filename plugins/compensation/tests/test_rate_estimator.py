"""The estimator of a device's rate: what it must find, and what must not lead it astray."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import NS_PER_S, DeviceRate
from phasegraph_compensation.rate_estimator import RateEstimator, deviation_of, device_rate_of

RATE, BLOCK, WANDER = 48_000, 256, 7e-9
START_NS = 1_790_000_000_000_000_000


class Card:
    """Stamps of a card in reference time, with white noise."""

    def __init__(self, ppm: float, *, noise_s: float = 10e-6, seed: int = 0) -> None:
        self.pace = 1.0 / (1.0 + ppm * 1e-6)
        self.frame, self.late_ns = 0, 0
        self._noise_s, self._random = noise_s, np.random.default_rng(seed)

    def true_ns(self) -> int:
        whole, part = divmod(self.frame * NS_PER_S, RATE)
        return START_NS + self.late_ns + whole + round(part / RATE + (self.pace - 1.0) * self.frame / RATE * 1e9)

    def play(self, estimator: RateEstimator, seconds: float) -> Iterator[int]:
        """Feed a number of seconds; yields the true time of each frame after it was fed."""
        for _ in range(round(seconds * RATE / BLOCK)):
            self.frame += BLOCK
            estimator.add_frame_time(self.frame, self.true_ns() + round(self._random.normal(0.0, self._noise_s) * 1e9))
            yield self.true_ns()

    def run(self, estimator: RateEstimator, seconds: float) -> None:
        for _ in self.play(estimator, seconds):
            pass

    def off_ppm(self, estimator: RateEstimator) -> float:
        return (estimator.deviation - (self.pace - 1.0)) * 1e6

    def off_us(self, estimator: RateEstimator) -> float:
        return estimator.residual_s(self.true_ns()) * 1e6


def settled(ppm: float = 37.3, seconds: float = 20.0) -> tuple[Card, RateEstimator]:
    card, estimator = Card(ppm), RateEstimator(RATE, WANDER)
    card.run(estimator, seconds)
    return card, estimator


@pytest.mark.parametrize("ppm", [-200.0, -37.3, 0.0, 37.3, 200.0])
def test_it_finds_the_rate_and_the_time(ppm: float) -> None:
    card, estimator = settled(ppm)
    assert abs(card.off_ppm(estimator)) < 0.5
    assert abs(card.off_us(estimator)) < 5.0
    assert device_rate_of(estimator.deviation, estimator.sigma).rate_ppb == pytest.approx(ppm * 1e3, abs=500)


@pytest.mark.parametrize("seconds", [2.0, 5.0, 10.0])
def test_it_is_within_one_and_a_half_times_of_what_is_possible_and_says_so(seconds: float) -> None:
    noise_s, off = 50e-6, []
    bound = noise_s * math.sqrt(12) / (seconds * math.sqrt(seconds * RATE / BLOCK)) * 1e6
    for seed in range(12):
        card, estimator = Card(37.3, noise_s=noise_s, seed=seed), RateEstimator(RATE, 5e-9)
        card.run(estimator, seconds)
        off.append(card.off_ppm(estimator))
        assert abs(off[-1]) < 4 * estimator.sigma * 1e6
    assert math.sqrt(np.mean(np.square(off))) < 1.5 * bound


@pytest.mark.parametrize("off_s", [5e-3, -5e-3, 1.0, -1.0, 200e-6])
def test_an_outlier_moves_nothing(off_s: float) -> None:
    card, estimator = settled()
    before = estimator.deviation
    estimator.add_frame_time(card.frame + BLOCK, card.true_ns() + round((BLOCK / RATE + off_s) * 1e9))
    card.frame += BLOCK
    assert abs(estimator.deviation - before) < 0.05e-6
    assert abs(card.off_us(estimator)) < 5.0
    card.run(estimator, 2.0)
    assert estimator.reseeds == 0


@pytest.mark.parametrize("late_ns", [5_000_000, -5_000_000, 300_000_000])
def test_a_jump_of_the_stamps_is_the_truth_after_twelve_and_the_rate_stays(late_ns: int) -> None:
    card, estimator = settled()
    before = estimator.deviation
    card.late_ns += late_ns
    reseeds = [estimator.reseeds for _ in card.play(estimator, 20 * BLOCK / RATE)]
    assert reseeds.index(1) == 11
    assert estimator.reseeds == 1
    assert abs(estimator.deviation - before) < 0.1e-6
    assert abs(card.off_us(estimator)) < 20.0


def test_frames_that_were_lost_and_counted_are_no_jump() -> None:
    card, estimator = settled()
    before = estimator.deviation
    card.frame += 4800
    card.run(estimator, 1.0)
    assert estimator.reseeds == 0
    assert abs(estimator.deviation - before) < 0.1e-6


@pytest.mark.parametrize("gap_s", [0.5, 9.0, 11.0, 3600.0])
def test_after_a_gap_the_rate_is_still_known(gap_s: float) -> None:
    card, estimator = settled()
    card.frame += round(gap_s * RATE)
    card.run(estimator, 1.0)
    assert abs(card.off_ppm(estimator)) < 0.6
    assert abs(card.off_us(estimator)) < 10.0


def test_a_rate_that_was_wrong_is_given_up_when_the_stamps_run_away_again() -> None:
    card, estimator = Card(-90.0, noise_s=1e-6), RateEstimator(RATE, WANDER)
    estimator.start_with(DeviceRate(90_000.0, 1.0))
    card.run(estimator, 30.0)
    assert abs(card.off_ppm(estimator)) < 0.5


def test_what_is_known_is_there_at_once_but_no_surer_than_two_ppm() -> None:
    estimator = RateEstimator(RATE, WANDER)
    estimator.start_with(DeviceRate(37_300.0, 0.001))
    assert device_rate_of(estimator.deviation, estimator.sigma).rate_ppb == pytest.approx(37_300.0)
    assert estimator.sigma == pytest.approx(2e-6)


@given(by_ns=st.integers(-(10**18), 10**18), by=st.integers(-(1 << 40), 1 << 40))
@settings(max_examples=20, deadline=None)
def test_a_step_of_the_timescale_and_new_numbers_change_nothing_else(by_ns: int, by: int) -> None:
    (card, plain), (_, moved) = settled(seconds=2.0), settled(seconds=2.0)
    moved.shift_time(by_ns)
    moved.renumber_frames(by)
    for _ in range(50):
        card.frame += BLOCK
        plain.add_frame_time(card.frame, card.true_ns())
        moved.add_frame_time(card.frame + by, card.true_ns() + by_ns)
    assert moved.deviation == plain.deviation
    assert moved.residual_s(card.true_ns() + by_ns) == plain.residual_s(card.true_ns())


def test_a_day_of_stamps_leaves_it_exact() -> None:
    card, estimator = settled(seconds=5.0)
    for _ in range(20_000):  # a day, at 4.3 s a step
        card.frame += 207_360
        estimator.add_frame_time(card.frame, card.true_ns())
    assert abs(card.off_ppm(estimator)) < 0.001
    assert abs(card.off_us(estimator)) < 0.01
    assert estimator.reseeds == 0


@pytest.mark.slow
def test_the_clock_s_slow_wander_is_not_followed_as_if_it_were_the_card_s() -> None:
    random, off = np.random.default_rng(1), []
    card, estimator = Card(37.3, noise_s=3e-6), RateEstimator(RATE, WANDER)
    error, keeps = 0.0, math.exp(-BLOCK / RATE / 10.0)
    for _ in range(round(120 * RATE / BLOCK)):
        error = keeps * error + 2e-6 * math.sqrt(1 - keeps**2) * float(random.standard_normal())
        card.frame += BLOCK
        estimator.add_frame_time(card.frame, card.true_ns() + round(error * 1e9))
        off.append(card.off_ppm(estimator))
    assert np.std(off[len(off) // 2 :]) < 0.15


def changed(card: Card, by_ppm: float) -> Card:
    """Another crystal from here on, with the next frame where it would have been."""
    goes_on = Card(0.0)
    goes_on.pace, goes_on.frame, goes_on._noise_s, goes_on._random = (
        1.0 / (1.0 / card.pace + by_ppm * 1e-6),
        card.frame,
        card._noise_s,
        card._random,
    )
    goes_on.late_ns = card.true_ns() - goes_on.true_ns()
    return goes_on


@pytest.mark.parametrize("by_ppm", [10.0, -10.0, *(pytest.param(it, marks=pytest.mark.slow) for it in (15.0, 40.0))])
def test_a_rate_that_changes_is_noticed_within_two_seconds_and_known_in_four(by_ppm: float) -> None:
    card, estimator = settled(seconds=60.0)
    card = changed(card, by_ppm)
    card.run(estimator, 2.0)
    assert estimator.changes + estimator.reseeds > 0
    assert estimator.sigma > 0.5e-6  # it says so
    card.run(estimator, 2.0)
    assert abs(card.off_ppm(estimator)) < 1.5
    assert abs(card.off_us(estimator)) < 5.0
    card.run(estimator, 20.0)
    assert abs(card.off_ppm(estimator)) < 0.3


@pytest.mark.slow
def test_the_next_change_is_noticed_as_well() -> None:
    card, estimator = settled(seconds=60.0)
    for by_ppm in (10.0, -15.0, 12.0):
        card = changed(card, by_ppm)
        card.run(estimator, 30.0)
        assert abs(card.off_ppm(estimator)) < 0.5


def wandering(estimator: RateEstimator, card: Card, sigma_s: float, seconds: float, seed: int = 1) -> None:
    """A clock whose error wanders within 10 s."""
    random, error, keeps = np.random.default_rng(seed), 0.0, math.exp(-BLOCK / RATE / 10.0)
    for _ in range(round(seconds * RATE / BLOCK)):
        error = keeps * error + sigma_s * math.sqrt(1 - keeps**2) * float(random.standard_normal())
        card.frame += BLOCK
        estimator.add_frame_time(card.frame, card.true_ns() + round(error * 1e9))


@pytest.mark.parametrize("sigma_s", [5e-6, 1e-6, 50e-6])
@pytest.mark.slow
def test_a_clock_s_wander_is_no_change_of_the_rate(sigma_s: float) -> None:
    card, estimator = Card(37.3), RateEstimator(RATE, WANDER)
    wandering(estimator, card, sigma_s, 300.0)
    assert estimator.changes == 0


@pytest.mark.slow
def test_a_clock_that_becomes_worse_is_got_used_to() -> None:
    card, estimator = settled(seconds=60.0)
    wandering(estimator, card, 20e-6, 100.0)
    assert 0 < estimator.changes < 6
    before = estimator.changes
    wandering(estimator, card, 20e-6, 200.0, seed=2)
    assert estimator.changes == before


@given(st.lists(st.tuples(st.integers(-(1 << 40), 1 << 40), st.integers(0, 1 << 62)), max_size=40))
@settings(max_examples=100, deadline=None)
def test_the_estimate_stays_within_bounds_for_any_stamps(pairs: list[tuple[int, int]]) -> None:
    estimator = RateEstimator(RATE, WANDER)
    for frame, time_ns in pairs:
        estimator.add_frame_time(frame, time_ns)
        assert abs(estimator.deviation) <= 1e-3
        assert 0.0 <= estimator.sigma <= 150e-6
        assert math.isfinite(estimator.sigma_s)


@given(st.floats(-1e6, 1e6))
def test_a_rate_and_its_pace(rate_ppb: float) -> None:
    assert device_rate_of(deviation_of(DeviceRate(rate_ppb, 0.0)), 0.0).rate_ppb == pytest.approx(rate_ppb, abs=1e-3)


def test_lost_frames_restart_the_phase_and_not_the_rate() -> None:
    card, estimator = settled()
    for late_us in (400.0, -150.0, 250.0):  # each a second after the other, which would be a wrong rate otherwise
        card.frame += 480 + BLOCK
        card.late_ns += round(late_us * 1000)
        estimator.add_frame_time(card.frame, card.true_ns(), after_loss=True)
        assert abs(card.off_us(estimator)) < 1.0
        card.run(estimator, 1.0)
        assert abs(card.off_ppm(estimator)) < 0.5
        assert abs(card.off_us(estimator)) < 5.0


def test_a_place_that_moves_after_each_loss_does_not_count_as_noise_of_the_stamps() -> None:
    # A server's time after an xrun is known to within some frames, and better with each cycle that follows. Were that
    # noise, the place would be doubted for seconds, and an error of ten frames would seem to be none.
    card, estimator = settled()
    moves = np.random.default_rng(3)
    for _ in range(30):
        card.frame += 480 + BLOCK
        estimator.add_frame_time(card.frame, card.true_ns(), after_loss=True)
        for _ in range(5):
            card.late_ns += round(moves.normal(0.0, 150e3))
            card.run(estimator, 0.1)
    assert estimator.sigma_s * RATE < 0.5


def test_after_a_wrong_count_the_phase_follows_the_stamps_for_a_second_and_the_rate_stays() -> None:
    # What a loss has taken is known better and better: the stamps move by another frame and a half.
    card, estimator = Card(37.3), RateEstimator(RATE, WANDER, clock_density=0.0)
    card.run(estimator, 20.0)
    card.frame += 480 + BLOCK
    card.late_ns += 100_000
    estimator.add_frame_time(card.frame, card.true_ns(), after_loss=True)
    for _ in range(3):
        card.late_ns += 10_000
        card.run(estimator, 0.3)
    assert abs(card.off_us(estimator)) < 4.0
    assert abs(card.off_ppm(estimator)) < 0.5


def test_lost_frames_whose_number_is_right_leave_phase_and_rate_as_they_are() -> None:
    card, estimator = settled()
    sigma_s = estimator.sigma_s
    for _ in range(10):
        card.frame += 480 + BLOCK
        estimator.add_frame_time(card.frame, card.true_ns(), after_loss=True)
    assert estimator.sigma_s < 2 * sigma_s
    assert abs(card.off_ppm(estimator)) < 0.5
