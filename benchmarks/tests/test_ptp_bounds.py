"""The lines that bound what a PTP follower can know."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

# The benchmarks are scripts, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ptp_bounds import SCALE_NS, WIRE, Oscillator, World, errors, information, scatter


def test_a_normal_density_tells_the_inverse_of_its_variance() -> None:
    told = information(lambda grid: np.exp(-0.5 * (grid / 50.0) ** 2), np.arange(-400.0, 400.0))
    assert told == pytest.approx(1 / 50.0**2, rel=0.01)


def test_the_shape_of_the_scatter_tells_more_than_its_variance() -> None:
    assert information(scatter, np.arange(-200.0, 8000.0)) > 4 / (2 * SCALE_NS**2)


def test_a_line_is_right_in_the_mean_and_as_sharp_as_its_packets_allow() -> None:
    late = []
    for seed in range(1, 9):
        play = World(WIRE, Oscillator(wander_ppb=0.0, swing_ppm=0.0), seed=seed, seconds=40.0, delay_s=0.25).play()
        at_s, error_ns = errors(play, 0.0, 2 * SCALE_NS**2, None)
        late.append(error_ns[at_s > 35.0].mean())
    # Half of the difference of both directions, at the end of a line: about 425 ns / sqrt(320) * 2, and the same back.
    assert np.std(late) < 60.0
    assert abs(np.mean(late)) < 3 * 60.0 / math.sqrt(len(late))
