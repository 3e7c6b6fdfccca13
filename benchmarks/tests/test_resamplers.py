"""The figures of `resamplers.py` on resamplers whose faults are known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

# The benchmarks are scripts, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import resamplers


class Known:
    """Passes a signal on, with noise of a known level, or turns it by a known amount in the middle."""

    name, ahead = "known", "0"

    def __init__(self, noise_db: float = -300.0, click: float = 0.0) -> None:
        self.noise = 0.5 / 2**0.5 * 10 ** (noise_db / 20)
        self.click = click

    def play(self, signal, ratio):
        heard = signal + np.random.default_rng(1).normal(0, self.noise, signal.shape)
        heard[len(heard) // 2] += self.click
        yield heard


@pytest.mark.parametrize("noise_db", [-120.0, -80.0])
def test_finds_the_noise_that_is_there(noise_db):
    found = resamplers.thd_n_db(Known(noise_db), 997.0, resamplers.steady(0.0), 1 << 15)
    # Of white noise the notch takes 40 Hz of 24 kHz.
    assert found == pytest.approx(noise_db, abs=0.15)


def test_finds_a_click():
    quiet = resamplers.thd_n_db(Known(), 10_000.0, resamplers.steady(0.0), 1 << 15)
    assert quiet < -145  # what float32 leaves
    click = resamplers.thd_n_db(Known(click=1e-3), 10_000.0, resamplers.steady(0.0), 1 << 15)
    assert -95 < click < -85


def test_the_ratio_crosses_one_to_both_sides():
    ratios = [resamplers.crossing(number) for number in range(10_000)]
    assert max(ratios) == pytest.approx(1 + 40e-6, abs=1e-9)
    assert min(ratios) == pytest.approx(1 - 40e-6, abs=1e-9)


def test_ours_reads_at_the_ratio():
    (ours, *_) = resamplers.engines()
    tone = (0.5 * np.sin(2 * np.pi * 1000 / 48_000 * np.arange(60_000))).astype(np.float32)[:, np.newaxis]
    heard = np.concatenate(list(ours.play(tone, resamplers.steady(1000.0))))[:, 0]
    at = (ours._make().reach + np.arange(len(heard)) * 1.001) / 48_000
    assert np.abs(heard - 0.5 * np.sin(2 * np.pi * 1000 * at)).max() < 1e-6
