"""The filter bank against the filters that it stands for."""

from __future__ import annotations

import time

import numpy as np

from phasegraph_compensation.resamplers.polyphase_bank import (
    PHASES,
    REACH_OF_FIT,
    TAPS,
    TERMS,
    coefficients,
    polyphase_bank,
)


def test_the_polynomials_are_the_filters() -> None:
    random = np.random.default_rng(3)
    worst = 0.0
    for phase in range(PHASES + 1):
        distances = np.append(random.uniform(-REACH_OF_FIT, REACH_OF_FIT, 8), [-REACH_OF_FIT, 0.0, REACH_OF_FIT])
        fitted = distances[:, np.newaxis] ** np.arange(TERMS) @ polyphase_bank()[phase]
        error = fitted - coefficients(phase / PHASES + distances)
        worst = max(worst, float(np.abs(np.fft.rfft(error, 1024, axis=1)).max()))
    assert 20 * np.log10(worst) < -175  # gain error at any frequency


def test_filters_have_unit_gain_and_end_softly() -> None:
    fractions = np.linspace(0, 1, 101)
    filters = coefficients(fractions)
    assert filters.shape == (101, TAPS)
    assert np.abs(filters.sum(axis=1) - 1).max() < 1e-14
    assert np.abs(filters[:, [0, -1]]).max() < 1e-6
    # The filter at fraction one is the one at zero, a frame later.
    assert np.abs(filters[-1][1:] - filters[0][:-1]).max() < 1e-6


def test_images_are_below_the_claim() -> None:
    # The continuous response, taken 64 times a frame. A tone of v cycles per frame leaves images at v + k for all
    # whole k but 0; together they are the distortion that no arithmetic can take away.
    steps, size = 64, 1 << 18
    curve = coefficients(np.arange(steps) / steps).T[::-1].ravel() / steps
    power = np.abs(np.fft.fft(curve, size)) ** 2
    tones = np.arange(100, 20_401, 100) / 48_000
    orders = np.array([order for order in range(-30, 31) if order])
    images = power[np.rint((tones[:, np.newaxis] + orders) * size / steps).astype(int) % size].sum(axis=1)
    assert 10 * np.log10(images.max()) < -142
    passband = power[: int(20_000 / 48_000 * size / steps)]
    assert 10 * np.log10(passband.min()) > -0.017


def test_the_bank_is_made_once_and_quickly() -> None:
    polyphase_bank.cache_clear()
    begin = time.process_time()
    first = polyphase_bank()
    assert time.process_time() - begin < 0.05  # 3 ms measured; generous, for a loaded machine
    assert polyphase_bank() is first
    assert not first.flags.writeable
