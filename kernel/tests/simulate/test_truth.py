"""The truth of a simulation is what was put into it: signs, sizes and times."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph.simulation.truth import Settling, Spread

from .conftest import PLAYING, scenario

EDGE = "stage->card"


def edge(report, name):
    return report["edges"][EDGE]["metrics"][name]


def test_with_nothing_wrong_nothing_is_off(simulate):
    report = simulate()
    assert edge(report, "true_overall_alignment_error_max_frames") < 1e-3
    assert edge(report, "true_ratio_error_max_ppb") < 1
    assert edge(report, "true_time_to_lock_s") == 0
    assert edge(report, "true_latency_ns") == pytest.approx(40e6, abs=100)
    assert (edge(report, "underruns"), edge(report, "missing_frames")) == (0, 0)


@pytest.mark.parametrize("ppm", [50, pytest.param(-80, marks=pytest.mark.slow)])
def test_a_card_that_is_off_leaves_a_known_error_of_a_known_sign(simulate, ppm):
    # A compensator in proportion needs an error for its ratio: 2 s of what the clocks differ by. Where the card is
    # fast, frames are read too early.
    report = simulate(world=scenario(card=f'rate-offset = "{ppm}ppm"'), for_s=30)
    assert (edge(report, "true_alignment_error_mean_frames") < 0) is (ppm > 0)
    assert edge(report, "phase_error_ns") * 48e-6 == pytest.approx(-ppm * 2 * 0.048, rel=0.01)
    assert edge(report, "true_alignment_error_max_frames") == pytest.approx(abs(ppm) * 2 * 0.048, rel=0.01)
    assert edge(report, "ratio_ppb") == pytest.approx(-1000 * ppm, rel=0.01)
    card = report["nodes"]["card"]["metrics"]
    assert card["true_device_rate_ppb"] == pytest.approx(1000 * ppm, abs=1)
    assert card["device_rate_ppb"] == pytest.approx(1000 * ppm, abs=30)


@pytest.mark.parametrize("ppm", [-30, pytest.param(70, marks=pytest.mark.slow)])
def test_the_local_oscillator_alone_causes_no_error(simulate, ppm):
    report = simulate(world=scenario(local=f'rate-offset = "{ppm}ppm"'))
    # Drivers count in local time what lies between their pointer and the block.
    assert edge(report, "true_overall_alignment_error_max_frames") == pytest.approx(512 * abs(ppm) * 1e-6, abs=0.01)
    house = report["nodes"]["house"]["metrics"]
    assert house["true_overall_offset_error_max_ns"] <= 20
    assert house["rate_ppb"] == pytest.approx(-1000 * ppm, rel=1e-3)


def test_asymmetry_shows_in_the_truth_alone(simulate):
    report = simulate(world=scenario(clock='asymmetry = "100us"'))
    # A clock that is ahead of its grandmaster has frames read ahead of their time.
    assert edge(report, "true_alignment_error_mean_frames") == pytest.approx(-4.8, abs=0.01)
    assert edge(report, "phase_error_rms_frames") < 0.01
    house = report["nodes"]["house"]["metrics"]
    assert house["true_offset_error_mean_ns"] == pytest.approx(100_000, abs=5)
    assert house["true_outside_bound"] == 0


def test_a_ratio_that_is_wrong_is_found_wrong_by_so_much(simulate):
    graph = PLAYING.replace('kind = "sim-align"\ntime = "2s"', 'kind = "sim-align"\ntime = "1000s"')
    report = simulate(graph, scenario(card='rate-offset = "10ppm"'))
    assert edge(report, "true_ratio_error_rms_ppb") == pytest.approx(10_000, rel=0.03)
    assert edge(report, "true_alignment_error_max_frames") == pytest.approx(12 * 0.48, rel=0.03)
    assert not {"true_time_to_rate_lock_s", "true_time_to_lock_s"} & report["edges"][EDGE]["metrics"].keys()


@pytest.mark.slow
def test_a_step_of_the_card_s_rate_is_felt(simulate):
    still = simulate(world=scenario(card='rate-offset = "10ppm"'), for_s=40)
    felt = simulate(world=scenario(card='rate-offset = "10ppm"\nramps = [{at = "20s", by = "10ppm"}]'), for_s=40)
    assert edge(felt, "true_alignment_error_max_frames") == pytest.approx(
        2 * edge(still, "true_alignment_error_max_frames"), rel=0.02
    )
    assert felt["nodes"]["card"]["metrics"]["true_device_rate_ppb"] == pytest.approx(
        10_000 + 20 / 40 * 10_000, rel=0.01
    )


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=50), st.integers(1, 49))
def test_a_spread_is_the_same_in_pieces(values, cut):
    whole, pieces = Spread(), Spread()
    array = np.array(values)
    whole.extend(array)
    for part in (array[:cut], array[cut:]):
        pieces.extend(part)
    for name in ("rms", "mean", "peak", "span", "deviation"):
        assert getattr(pieces, name) == pytest.approx(getattr(whole, name), abs=1e-6)
    assert whole.rms == pytest.approx(math.sqrt((array**2).mean()))


@given(st.lists(st.sampled_from([0.0, 2.0]), min_size=1, max_size=60), st.integers(1, 10))
def test_settling_is_found_wherever_the_pieces_are_cut(values, size):
    seconds = np.arange(len(values), dtype=float)
    settling = Settling(1.0, 3.0)
    for first in range(0, len(values), size):
        settling.extend(seconds[first : first + size], np.array(values[first : first + size]))
    expected = next(
        (float(at) for at in range(len(values) - 3) if not any(values[at : at + 4]) and (at == 0 or values[at - 1])),
        None,
    )
    assert settling.since_s == expected
