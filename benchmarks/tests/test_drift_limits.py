"""The aims of `drift_limits.py`, in the short form that a test has the time for."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

# The benchmarks are scripts, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import drift_limits


@pytest.mark.slow
def test_an_hour_of_ramps_on_an_ideal_clock_stays_within_a_tenth_of_a_frame():
    most, _ = drift_limits.ramp_error(1.0, 512, 0.0, ramp_ppm=40.0)  # it turns after 40 minutes
    assert most < 0.1


@pytest.mark.slow
def test_an_hour_of_ramps_with_two_microseconds_of_noise_stays_within_0_4_frames():
    _, span = drift_limits.ramp_error(1.0, 512, 2e-6, ramp_ppm=40.0)
    assert span < 0.4


@pytest.mark.slow
def test_a_pci_card_is_in_tune_within_three_seconds_and_its_pitch_moves_by_5_ppm_a_second():
    starts = drift_limits.measure_starts("alsa", 5, 256)
    assert max(map(abs, starts.errors_ppm)) < 1.0
    assert starts.aligned_s < 1.0
    assert starts.in_tune_s < 3.0
    assert starts.slope < 5.01


def test_the_bound_of_usb_stamps_is_the_line_s():
    assert drift_limits.rate_bound("usb", 5.0, 512) == pytest.approx(1.2, abs=0.02)


def test_the_line_through_usb_stamps_is_not_in_tune_within_five_seconds():
    block_s = 512 / 48_000
    errors = [drift_limits.line_errors("usb", 4000, block_s, seed) for seed in range(100)]
    at = round(5.0 / block_s)
    assert float(np.std([error[at] for error in errors])) == pytest.approx(1.2, abs=0.25)
    assert float(np.median([drift_limits.in_tune_s(error, 90, block_s) for error in errors])) > 5.0


def test_in_tune_is_what_stays():
    off = np.zeros(1000)
    off[400:500] = 8.0  # an eighth of them is 1 ppm of 5 s
    assert drift_limits.in_tune_s(off, 10, 0.01) == pytest.approx(9.37, abs=0.02)
    assert drift_limits.in_tune_s(np.zeros(1000), 10, 0.01) == pytest.approx(0.1)


def test_what_a_clock_moves_unknown_to_all_is_the_matrix_s():
    sigma, lasts, seconds, step = 50e-6, 30.0, 60.0, 0.5
    at = np.arange(0.0, seconds + step / 2, step)
    alike = np.exp(-np.abs(at[:, None] - at) / lasts)
    phase = np.column_stack([np.ones_like(at), at])
    information = phase.T @ np.linalg.solve(alike, phase) / sigma**2
    ones = np.ones_like(at)
    information[1, 1] += ones @ np.linalg.solve(alike, ones) / (sigma / lasts) ** 2
    exact = seconds * math.sqrt(float(np.linalg.inv(information)[1, 1]))
    assert drift_limits.unknown_move_s(sigma, lasts, seconds) == pytest.approx(exact, rel=0.01)
