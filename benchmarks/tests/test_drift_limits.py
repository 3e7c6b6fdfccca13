"""The aims of `drift_limits.py`, in the short form that a test has the time for."""

from __future__ import annotations

import sys
from pathlib import Path

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


def test_a_pci_card_is_in_tune_within_three_seconds_and_its_pitch_moves_by_5_ppm_a_second():
    errors, slope = drift_limits.start_errors("alsa", 5)
    assert max(map(abs, errors)) < 1.0
    assert slope < 5.01


def test_the_bound_of_usb_stamps_is_the_line_s():
    assert drift_limits.rate_bound("usb", 5.0, 512) == pytest.approx(1.2, abs=0.02)
