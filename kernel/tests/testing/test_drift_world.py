"""The crossing without samples: its truth, and the figures that are taken of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phasegraph import Correction, Observation
from phasegraph.simulation.drift_world import DriftTrace
from phasegraph.testing import Conditions, DriftWorld, tracking_error_of, worst_tracking_error

EXACT = {"warm_ppm": 0.0, "clock_noise_s": 0.0}


class Steady:
    """A ratio that stays."""

    def __init__(self, ppm: float) -> None:
        self._correction = Correction(ratio_ppb=ppm * 1e3, reason="steady")

    def observe(self, observation: Observation) -> None:
        pass

    def decide(self, local_ns: int) -> Correction:
        return self._correction


@pytest.mark.parametrize("card_ppm", [-100.0, 0.0, 37.3])
def test_what_is_not_compensated_drifts_by_the_difference_of_the_rates(card_ppm: float) -> None:
    trace = DriftWorld(Steady(0.0), Conditions(card_ppm=card_ppm, **EXACT)).run(20.0)
    drift = (trace.error[-1] - trace.error[0]) / ((len(trace.error) - 1) * trace.block_s * 48_000)
    assert drift == pytest.approx(1.0 / (1.0 + card_ppm * 1e-6) - 1.0, abs=0.05e-6)
    assert trace.ideal[-1] - 1.0 == pytest.approx(drift, abs=0.05e-6)


def test_the_ideal_ratio_keeps_the_position() -> None:
    trace = DriftWorld(Steady(-37.2986), Conditions(**EXACT)).run(20.0)
    assert np.ptp(trace.error) < 0.1
    assert (trace.underruns, trace.resyncs) == (0, 0)


def test_a_card_whose_rate_changes_has_changed_after_two_seconds() -> None:
    trace = DriftWorld(Steady(0.0), Conditions(card_ppm=10.0, rate_steps={4.0: -30.0}, **EXACT)).run(8.0)
    ppm = (1.0 / trace.ideal - 1.0) * 1e6
    seconds = np.arange(len(ppm)) * trace.block_s
    assert ppm[seconds < 4.0] == pytest.approx(10.0, abs=0.05)
    assert ppm[seconds > 6.01] == pytest.approx(-20.0, abs=0.05)
    assert np.interp(5.0, seconds, ppm) == pytest.approx(-5.0, abs=0.1)


def test_it_goes_on_where_it_ended_and_is_the_same_again() -> None:
    whole = DriftWorld(Steady(-37.3), seed=5).run(4.0)
    world = DriftWorld(Steady(-37.3), seed=5)
    parts = [world.run(2.0), world.run(2.0)]
    assert np.array_equal(whole.error, np.concatenate([part.error for part in parts]))
    assert not np.array_equal(whole.error, DriftWorld(Steady(-37.3), seed=6).run(4.0).error)


@pytest.mark.parametrize(
    ("incident", "behind"), [({"pauses": {5.0: 1e-3}}, 48.0), ({"lost": {5.0: 480}}, 0.0), ({"steps": {5.0: 480}}, 0.0)]
)
def test_what_an_incident_does_to_the_position(incident: dict[str, dict[float, float]], behind: float) -> None:
    trace = DriftWorld(Steady(-37.2986), Conditions(**EXACT, **incident)).run(10.0)  # type: ignore[arg-type]
    assert trace.error[-1] - trace.error[0] == pytest.approx(behind, abs=0.2)


def test_too_short_a_link_offset_is_an_underrun() -> None:
    assert DriftWorld(Steady(-37.3), Conditions(link_offset_s=0.012)).run(2.0).underruns > 300


def test_figures_of_a_trace_that_is_known() -> None:
    count, dt = 37_500, 256 / 48_000
    seconds = np.arange(count) * dt
    silent = seconds < 1.0
    error = np.where(seconds < 3.0, 5.0, 0.2 + 0.1 * np.sqrt(2.0) * np.sin(2 * np.pi * seconds / 10.0))
    ideal = np.full(count, 1.0 - 37e-6)
    ratio = ideal + np.where(seconds < 50.0, 20e-6 - 0.4e-6 * seconds, 0.0)
    trace = DriftTrace(dt, error, ratio, ideal, silent, ~silent, 3, 2, [])
    figures = tracking_error_of(trace)
    assert figures.place_s == pytest.approx(3.0, abs=0.01)
    assert figures.rate_s == pytest.approx(47.5, abs=0.1)
    assert figures.mean == pytest.approx(0.2, abs=0.01)
    assert figures.wander == pytest.approx(0.1, abs=0.001)
    assert figures.wander_pp == pytest.approx(0.2 * math.sqrt(2.0), abs=0.001)
    assert figures.ratio == pytest.approx(0.0, abs=1e-6)
    assert figures.ratio_most == pytest.approx(19.6, abs=0.01)
    assert figures.slope_acquiring == pytest.approx(0.4, abs=0.01)
    assert figures.slope == pytest.approx(0.0, abs=1e-6)
    assert (figures.underruns, figures.resyncs) == (3, 2)
    never = tracking_error_of(DriftTrace(dt, error + 5.0, ratio, ideal, silent, ~silent, 0, 0, []))
    assert never.place_s == math.inf
    assert worst_tracking_error([figures, never]).mean == never.mean
    assert worst_tracking_error([figures, never]).underruns == 3


def test_the_noise_of_a_tone_is_that_of_its_phase_modulation() -> None:
    # A ratio that swings by d at f makes side bands of 20 log10(tone d / 2 f) each.
    count, dt, hertz, swing = 30_000, 256 / 48_000, 45.0, 1e-6
    ideal = np.ones(count)
    ratio = ideal + swing * np.sin(2 * np.pi * hertz * np.arange(count) * dt)
    trace = DriftTrace(dt, np.zeros(count), ratio, ideal, np.zeros(count, bool), np.ones(count, bool), 0, 0, [])
    expected = 20 * math.log10(10_000.0 * swing / (2 * hertz)) + 10 * math.log10(2)
    assert tracking_error_of(trace).noise_db == pytest.approx(expected, abs=1.0)
