"""libsoxr behind the hook: at the position that was asked for, and from the start again wherever that jumps."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import NodeError
from phasegraph_compensation.resamplers.soxr import SoxrResampler

RATE = 48_000
START = 400.37


def sine(frequency: float, frames: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency / RATE * np.arange(frames))).astype(np.float32)[:, np.newaxis]


def read(
    signal: np.ndarray,
    ratio: Callable[[int], float],
    count: int,
    *,
    block: int = 48,
    start: float = START,
    jumps: dict[int, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What comes out, and the position that was asked for, frame by frame; ``jumps`` by number of the block."""
    resampler = SoxrResampler()
    out = np.empty((count, signal.shape[1]), np.float32)
    whole, fraction = math.floor(start), start % 1.0
    asked = []
    for begin in range(0, count, block):
        part = out[begin : begin + block]
        fraction += (jumps or {}).get(begin // block, 0.0)
        whole, fraction = whole + math.floor(fraction), fraction % 1.0
        now = ratio(begin // block)
        first = whole - resampler.reach
        span = int(fraction + len(part) * now) + 2  # as the kernel counts
        resampler.locate(first)
        rows = signal[first : first + span + 2 * resampler.reach]
        resampler.render(np.ascontiguousarray(rows), resampler.reach + fraction, now, part)
        asked.append(whole + fraction + now * np.arange(len(part)))
        moved = fraction + len(part) * now
        whole, fraction = whole + math.floor(moved), moved % 1.0
    return out, np.concatenate(asked)


def off_by(out: np.ndarray, asked: np.ndarray, frequency: float) -> tuple[float, float]:
    """(frames by which the tone is behind the position asked for, rest against the tone in dB)."""
    turn = 2 * np.pi * frequency / RATE * asked
    tone = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    fit = np.linalg.lstsq(tone, out[:, 0].astype(float), rcond=None)[0]
    rest = out[:, 0] - tone @ fit
    return -math.atan2(fit[1], fit[0]) / (2 * np.pi * frequency / RATE), 20 * math.log10(
        rest.std() / (tone @ fit).std()
    )


@pytest.mark.parametrize("ppm", [-900.0, -50.0, 0.0, 3.0, 50.0, 900.0])
@pytest.mark.parametrize(("frequency", "limit_db"), [(997.0, -115.0), (10_000.0, -116.0), (18_000.0, -113.0)])
def test_distortion_and_noise(frequency: float, limit_db: float, ppm: float) -> None:
    out, asked = read(sine(frequency, 62_000), lambda block: 1 + ppm * 1e-6, 60_000)
    _, rest_db = off_by(out[2000:], asked[2000:], frequency)
    assert rest_db < limit_db


@pytest.mark.parametrize("start", [400.0, 400.001, 400.37, 400.5, 400.999])
@pytest.mark.parametrize("ppm", [-37.3, 0.0, 37.3])
def test_it_is_where_it_was_asked_to_be(ppm: float, start: float) -> None:
    out, asked = read(sine(997.0, 62_000), lambda block: 1 + ppm * 1e-6, 60_000, start=start)
    assert abs(off_by(out[:2000], asked[:2000], 997.0)[0]) < 0.01
    assert abs(off_by(out[2000:], asked[2000:], 997.0)[0]) < 0.002
    assert abs(off_by(out[-2000:], asked[-2000:], 997.0)[0]) < 0.002


@pytest.mark.slow
def test_it_stays_there_while_the_ratio_moves_across_one() -> None:
    out, asked = read(sine(997.0, 502_000), lambda block: 1 + 40e-6 * math.sin(block / 1500), 500_000)
    expected = 0.5 * np.sin(2 * np.pi * 997 / RATE * asked)
    # In frames; what is left is the group delay's dependence on the ratio, and the place where structures change.
    assert np.abs(out[2000:, 0] - expected[2000:]).max() / (0.5 * 2 * np.pi * 997 / RATE) < 0.01


@pytest.mark.parametrize("jump", [-100.0, -1.0, 0.25, 24.0, 480.5])
def test_a_jump_is_a_new_beginning(jump: float) -> None:
    out, asked = read(sine(997.0, 12_000), lambda block: 1.00003, 9600, jumps={100: jump}, start=800.37)
    after = slice(100 * 48, 110 * 48)
    assert abs(off_by(out[after], asked[after], 997.0)[0]) < 0.02
    # Nothing of the signal from before: a step of the phase is there at once.
    expected = 0.5 * np.sin(2 * np.pi * 997 / RATE * asked[after])
    assert np.abs(out[after, 0] - expected).max() < 1e-3


@settings(max_examples=25, deadline=None)
@given(
    blocks=st.lists(st.integers(1, 700), min_size=1, max_size=25),
    ppm=st.floats(1, 1000) | st.floats(-1000, -1) | st.just(0.0),
    fraction=st.floats(0, 1, exclude_max=True),
    channels=st.integers(1, 3),
)
def test_any_blocks_of_any_size(blocks: list[int], ppm: float, fraction: float, channels: int) -> None:
    signal = np.random.default_rng(3).uniform(-0.5, 0.5, (sum(blocks) + 1200, channels)).astype(np.float32)
    whole = read(signal, lambda block: 1 + ppm * 1e-6, sum(blocks), start=300 + fraction, block=sum(blocks))[0]
    resampler, position = SoxrResampler(), 300 + fraction
    parts = []
    for count in blocks:
        first = math.floor(position) - resampler.reach
        part = np.empty((count, channels), np.float32)
        resampler.locate(first)
        resampler.render(signal[first:], position - first, 1 + ppm * 1e-6, part)
        parts.append(part)
        position += count * (1 + ppm * 1e-6)
    assert np.abs(np.concatenate(parts) - whole).max() < 1e-5


def test_too_few_frames_are_refused() -> None:
    resampler = SoxrResampler()
    with pytest.raises(ValueError, match="are needed"):
        resampler.render(np.zeros((300, 1), np.float32), 256.0, 1.0, np.empty((48, 1), np.float32))
    with pytest.raises(ValueError, match="are needed"):
        resampler.render(np.zeros((600, 1), np.float32), 100.0, 1.0, np.empty((48, 1), np.float32))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(NodeError, match=r"phasegraph-compensation\[soxr\]"):
        SoxrResampler()
