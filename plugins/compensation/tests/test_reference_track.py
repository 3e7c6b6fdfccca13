"""The smoothed map of the stream's clock: what it averages, what it follows, and what moves nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import NS_PER_S, ClockEstimate, ClockState
from phasegraph_compensation.reference_track import ReferenceTrack
from phasegraph_compensation.state_covariance import StateCovariance

LOCAL_NS, REFERENCE_NS, INTERVAL_S = 5 * NS_PER_S, 1_790_000_000_000_000_000, 0.125


class Clock:
    """A clock whose error lasts for ten seconds, against a counter whose rate swings."""

    def __init__(self, sigma_s: float, *, swing_ppm: float = 0.0, seed: int = 1) -> None:
        self.track, self.off_s = ReferenceTrack(), 0.0
        self.jumps, self.grandmaster = 0, "one"
        self._sigma_s, self._swing = sigma_s, swing_ppm * 1e-6
        self._random, self._number = np.random.default_rng(seed), 0
        self._error_s = sigma_s * self._random.standard_normal()

    def gain_s(self, second: float) -> float:
        angle = 2 * math.pi / 1800
        return 8e-6 * second + self._swing * (1 - math.cos(angle * second)) / angle + self.off_s

    def tick(self, state: ClockState = ClockState.LOCKED) -> float:
        """The next estimate; returns the error of the smoothed map, in seconds."""
        second = self._number * INTERVAL_S
        keeps = math.exp(-INTERVAL_S / 10.0)
        self._error_s = keeps * self._error_s + self._sigma_s * math.sqrt(1 - keeps**2) * self._random.standard_normal()
        elapsed_ns = round(second * NS_PER_S)
        estimate = ClockEstimate(
            local_ns=LOCAL_NS + elapsed_ns,
            reference_ns=REFERENCE_NS + elapsed_ns + round((self.gain_s(second) + self._error_s) * NS_PER_S),
            rate_ppb=8_000.0 + self._swing * 1e9 * math.sin(2 * math.pi * second / 1800),
            sigma_ns=self._sigma_s * 1e9,
            state=state,
            grandmaster=self.grandmaster,
            discontinuities=self.jumps,
        )
        self._number += 1
        self.track.observe(estimate)
        return self.track.ahead_s(estimate.local_ns) + self._error_s

    def errors(self, seconds: float, state: ClockState = ClockState.LOCKED) -> np.ndarray:
        return np.array([self.tick(state) for _ in range(round(seconds / INTERVAL_S))])


@pytest.mark.slow
def test_where_the_counter_is_calm_the_clock_is_averaged_longer_and_where_it_swings_it_is_followed() -> None:
    calm, swinging = (Clock(1e-6, swing_ppm=swing_ppm).errors(7200.0)[4800:] for swing_ppm in (0.0, 1.0))
    assert calm.std() < 0.66e-6  # the quick filter alone leaves 0.72
    assert swinging.std() < 1.3e-6  # the calm one alone leaves 3.1


@pytest.mark.parametrize("swing_ppm", [0.0, 1.0])
@pytest.mark.slow
def test_errors_that_last_are_averaged_and_a_crystal_is_followed(swing_ppm: float) -> None:
    clock = Clock(2e-6, swing_ppm=swing_ppm)
    errors = clock.errors(3000.0)[2400:]
    assert errors.std() < (2.5e-6 if swing_ppm else 1.7e-6)  # 1.7 us are 0.08 frames
    assert abs(clock.track.rate - 8e-6 - swing_ppm * 1e-6 * math.sin(2 * math.pi * 3000 / 1800)) < 0.1e-6


@pytest.mark.slow
def test_sigma_is_honest() -> None:
    finals = [Clock(1e-6, seed=seed) for seed in range(20)]
    off = np.array([clock.errors(60.0)[-1] / clock.track.sigma_s for clock in finals])
    assert 0.3 < math.sqrt((off**2).mean()) < 1.5


def test_holdover_goes_on_at_the_averaged_rate() -> None:
    clock = Clock(1e-6)
    clock.errors(120.0)
    assert np.abs(clock.errors(180.0, ClockState.HOLDOVER)).max() < 15e-6


def test_another_grandmaster_is_believed_at_once() -> None:
    clock = Clock(1e-6)
    clock.errors(120.0)
    clock.off_s, clock.grandmaster = 20e-6, "two"
    assert np.abs(clock.errors(30.0)[16:]).max() < 5e-6


def test_a_jump_that_is_counted_moves_it_by_as_much() -> None:
    clock = Clock(1e-6)
    before = clock.errors(120.0)[-1]
    clock.off_s, clock.jumps = 0.1, 1
    assert clock.tick() == pytest.approx(before, abs=2e-6)


@given(
    st.lists(
        st.tuples(st.floats(0.001, 9.0), st.booleans(), st.floats(1e-14, 1e-2)),
        max_size=60,
    )
)
@settings(max_examples=50, deadline=None)
def test_variances_stay_positive_and_a_measurement_never_adds_doubt(steps: list[tuple[float, bool, float]]) -> None:
    spread = StateCovariance((50e-6, 150e-6, 20e-9), 2e-9, 1e-9)
    for passed_s, phase, variance in steps:
        spread.predict(passed_s, 150e-6)
        before = spread.phase, spread.rate, spread.drift
        (spread.correct_by_phase if phase else spread.correct_by_rate)(variance)
        after = spread.phase, spread.rate, spread.drift
        assert all(0.0 <= now <= was for now, was in zip(after, before, strict=True))


def test_the_filter_is_the_one_of_the_textbook() -> None:
    spread = StateCovariance((1e-3, 1e-4, 1e-5), 1e-5, 1e-6)
    matrix = np.diag([1e-6, 1e-8, 1e-10])
    for t, row in ((0.5, 0), (2.0, 1), (1.0, 0)):
        move = np.array([[1, t, t * t / 2], [0, 1, t], [0, 0, 1]])
        walk = 1e-10 * np.array([[t**3 / 3, t**2 / 2, 0], [t**2 / 2, t, 0], [0, 0, 0]])
        drift = np.array([[t**5 / 20, t**4 / 8, t**3 / 6], [t**4 / 8, t**3 / 3, t**2 / 2], [t**3 / 6, t**2 / 2, t]])
        matrix = move @ matrix @ move.T + walk + 1e-12 * drift
        gains = matrix[row] / (matrix[row, row] + 1e-8)
        matrix = matrix - np.outer(gains, matrix[row])
        spread.predict(t, 1.0)
        assert (spread.correct_by_rate if row else spread.correct_by_phase)(1e-8) == pytest.approx(tuple(gains))
    assert (spread.phase, spread.rate, spread.drift) == pytest.approx(tuple(np.diag(matrix)))
