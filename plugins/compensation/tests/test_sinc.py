"""The sinc resampler against what it should be: exact positions, low distortion, no dependence on blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph_compensation.resamplers.polyphase_bank import TAPS, coefficients
from phasegraph_compensation.resamplers.sinc import TILE, SincResampler

RATE = 48_000
START = 40.37
"""Input position of the first output frame, in the tests that read a whole signal."""


def sine(frequency: float, frames: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency / RATE * np.arange(frames))).astype(np.float32)[:, np.newaxis]


def read(signal: np.ndarray, ratio: float, count: int, block: int = 48) -> np.ndarray:
    """Read a signal as the kernel does: block by block, whole position and fraction carried on."""
    resampler = SincResampler()
    out = np.empty((count, signal.shape[1]), np.float32)
    whole, fraction = math.floor(START), START % 1.0
    for begin in range(0, count, block):
        part = out[begin : begin + block]
        rows = signal[whole - resampler.reach : whole + len(part) + resampler.reach + 5]
        resampler.render(rows, resampler.reach + fraction, ratio, part)
        moved = fraction + len(part) * ratio
        whole, fraction = whole + math.floor(moved), moved % 1.0
    return out


def thd_n_db(signal: np.ndarray, frequency: float) -> tuple[float, float]:
    """(distortion and noise against the tone, tone's level), both in dB, by least squares at a known frequency.

    The band is 0 to half the rate; only the constant and the tone itself are taken out.
    """
    angle = 2 * np.pi * frequency / RATE * np.arange(len(signal))
    tone = np.stack([np.sin(angle), np.cos(angle), np.ones(len(signal))], axis=1)
    fit = np.linalg.lstsq(tone, signal, rcond=None)[0]
    level = math.hypot(fit[0], fit[1])
    return 20 * math.log10((signal - tone @ fit).std() * math.sqrt(2) / level), 20 * math.log10(level)


@pytest.mark.parametrize("ppm", [-50.0, 0.0, 3.0, 50.0, 1000.0])
@pytest.mark.parametrize(
    ("frequency", "limit_db", "gain_db"),
    [(997.0, -142.0, 0.0), (10_000.0, -142.0, 0.0), (18_000.0, -140.0, 0.0), (20_000.0, -140.0, -0.017)],
)
def test_distortion_and_noise(frequency: float, limit_db: float, gain_db: float, ppm: float) -> None:
    ratio, count = 1 + ppm * 1e-6, 1 << 15
    out = read(sine(frequency, count + 200), ratio, count).astype(float)[:, 0]
    distortion, level = thd_n_db(out, frequency * ratio)
    assert distortion < limit_db
    assert level == pytest.approx(20 * math.log10(0.5) + gain_db, abs=5e-4)


def test_nothing_happens_where_the_ratio_passes_one() -> None:
    # 10 kHz while the ratio goes from +40 to -40 ppm in steps of 0.02 ppm a block, which by themselves are heard
    # less than -150 dB: what remains of the known tone is the resampler's own doing.
    frequency, blocks, block = 10_000.0, 4000, 16
    signal = sine(frequency, blocks * block + 200)
    resampler = SincResampler()
    out = np.empty((block, 1), np.float32)
    position, worst = START, 0.0
    for index in range(blocks):
        ratio = 1 + (40 - index * 0.02) * 1e-6
        base = math.floor(position) - resampler.reach
        resampler.render(signal[base : base + block + 80], position - base, ratio, out)
        expected = 0.5 * np.sin(2 * np.pi * frequency / RATE * (position + ratio * np.arange(block)))
        worst = max(worst, float(np.abs(out[:, 0] - expected).max()))
        position += ratio * block
    assert worst < 3e-7


@pytest.mark.parametrize("ppm", [37.3, -37.3, 417.0])
def test_positions_are_exact_however_long_it_runs(ppm: float) -> None:
    ratio, count, frequency = 1 + ppm * 1e-6, 200_000, 5_000.0
    out = read(sine(frequency, count + 400), ratio, count)[:, 0]
    expected = 0.5 * np.sin(2 * np.pi * frequency / RATE * (START + ratio * np.arange(count)))
    # An error of one millionth of a frame would show as 3e-7.
    assert np.abs(out - expected).max() < 3e-7


@pytest.mark.parametrize("block", [1, 6, 47, 192, 4096])
def test_the_split_into_blocks_does_not_matter(block: int) -> None:
    signal = np.random.default_rng(5).uniform(-1, 1, (5000, 3)).astype(np.float32)
    reference = read(signal, 1 + 83e-6, 4096, 48)
    assert np.abs(read(signal, 1 + 83e-6, 4096, block) - reference).max() < 1e-6


@pytest.mark.parametrize("channels", [1, 2, 8, 64, 130])
def test_channels_are_independent(channels: int) -> None:
    signal = np.random.default_rng(6).uniform(-1, 1, (400, channels)).astype(np.float32)
    together = read(signal, 1 - 20e-6, 96)
    for channel in {0, channels // 2, channels - 1}:
        alone = read(np.ascontiguousarray(signal[:, channel : channel + 1]), 1 - 20e-6, 96)
        assert np.abs(together[:, channel] - alone[:, 0]).max() < 1e-6


def test_linear_phase() -> None:
    # An impulse comes out symmetrical about its place.
    signal = np.zeros((201, 1), np.float32)
    signal[100] = 1.0
    out = np.empty((101, 1), np.float32)
    SincResampler().render(signal, 50.0, 1.0, out)
    assert np.abs(out - out[::-1]).max() < 2e-8  # 64 taps: one of the two ends has a tap that the other lacks
    assert int(np.argmax(out)) == 50


def test_a_higher_ratio_reads_faster() -> None:
    ramp = np.arange(400, dtype=np.float32)[:, np.newaxis] / 1000
    out = np.empty((48, 1), np.float32)
    SincResampler().render(ramp, 100.25, 1.001, out)
    # The filter is a low-pass of odd response about its centre, so a ramp stays the ramp at the position asked for.
    assert out[:, 0] == pytest.approx((100.25 + 1.001 * np.arange(48)) / 1000, abs=1e-6)


def direct(frames: np.ndarray, position: float) -> np.ndarray:
    """One output frame in double precision, with the filter computed for this very position."""
    whole = math.floor(position)
    taps = coefficients(np.array(position - whole))
    rows = frames[whole - TAPS // 2 + 1 : whole + TAPS // 2 + 1].astype(float)
    result: np.ndarray = taps @ rows
    return result


@settings(max_examples=60, deadline=None)
@given(
    fraction=st.floats(0, 1, exclude_max=True),
    ppm=st.floats(-3000, 3000),
    count=st.integers(1, 3 * TILE),
    channels=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.slow
def test_agrees_with_the_sum_itself(fraction: float, ppm: float, count: int, channels: int, seed: int) -> None:
    resampler, ratio = SincResampler(), 1 + ppm * 1e-6
    # Exactly as many rows as the protocol promises.
    last = resampler.reach + fraction + (count - 1) * ratio
    frames = np.random.default_rng(seed).uniform(-1, 1, (math.ceil(last) + resampler.reach + 1, channels))
    frames = frames.astype(np.float32)
    out = np.empty((count, channels), np.float32)
    resampler.render(frames, resampler.reach + fraction, ratio, out)
    expected = np.array([direct(frames, resampler.reach + fraction + index * ratio) for index in range(count)])
    # Filters of neighbouring alignments differ by 1e-6 at their ends; the rest is float32.
    assert np.abs(out - expected).max() < 3e-6


def test_far_from_one_it_is_slower_but_no_less_exact() -> None:
    frames = np.random.default_rng(8).uniform(-1, 1, (400, 2)).astype(np.float32)
    out = np.empty((100, 2), np.float32)
    SincResampler().render(frames, 50.5, 1.5, out)
    expected = np.array([direct(frames, 50.5 + index * 1.5) for index in range(100)])
    assert np.abs(out - expected).max() < 3e-6


@pytest.mark.parametrize(("offset", "rows"), [(20.0, 200), (100.0, 150)])
def test_too_few_frames_are_refused(offset: float, rows: int) -> None:
    with pytest.raises(ValueError, match="are needed"):
        SincResampler().render(np.zeros((rows, 1), np.float32), offset, 1.0, np.empty((48, 1), np.float32))


def test_silence_and_constants_stay_what_they_are() -> None:
    out = np.empty((48, 1), np.float32)
    SincResampler().render(np.zeros((200, 1), np.float32), 60.3, 1.00005, out)
    assert not out.any()
    SincResampler().render(np.full((200, 1), 0.25, np.float32), 60.3, 1.00005, out)
    assert out[:, 0] == pytest.approx(0.25, abs=1e-7)
