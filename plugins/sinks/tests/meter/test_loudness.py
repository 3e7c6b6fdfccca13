"""Loudness and true peak against the requirements of EBU Tech 3341, whose signals are computed here."""

import numpy as np
import pytest

from phasegraph_sinks.meter.loudness import CHANNEL_WEIGHTS, LoudnessMeter, impulse_response, k_weighting
from phasegraph_sinks.meter.true_peak import TruePeakMeter


def sine(frequency, level_db, seconds, rate=48_000, phase=0.0):
    at = np.arange(round(seconds * rate))
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * frequency * at / rate + phase)).astype(np.float32)


def measured(lines, layout="stereo", rate=48_000, block=9_600):
    meter = LoudnessMeter(rate, CHANNEL_WEIGHTS[layout])
    for begin in range(0, lines.shape[1], block):
        meter.add_samples(lines[:, begin : begin + block])
    return meter


def test_the_filters_at_48_khz_are_those_of_the_standard():
    shelf, high_pass = k_weighting(48_000)
    assert shelf == pytest.approx(
        (1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585), abs=1e-9
    )
    assert high_pass == pytest.approx((1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621), abs=1e-9)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_nothing_is_left_of_the_response_where_it_is_cut(rate):
    response = impulse_response(k_weighting(rate), rate // 5)
    assert np.abs(response[round(rate * 0.08) :]).max() < 1e-7


@pytest.mark.parametrize(
    ("rate", "level", "block"),
    [
        (48_000, -23.0, 9_600),
        (48_000, -33.0, 7_777),
        (44_100, -23.0, 7_777),
        (96_000, -69.5, 19_200),
        (192_000, -40.0, 9_600),
    ],
)
def test_a_stereo_sine(rate, level, block):  # Tech 3341, table 1, signals 1 and 2
    meter = measured(np.stack([sine(1000, level, 3.5, rate)] * 2), rate=rate, block=block)
    assert meter.momentary_lufs() == pytest.approx(level, abs=0.1)
    assert meter.short_term_lufs() == pytest.approx(level, abs=0.1)


def test_five_channels():  # signal 6
    levels = (-28.0, -28.0, -24.0, 0.0, -30.0, -30.0)
    meter = measured(np.stack([sine(1000, level, 3.5) for level in levels]), "5.1")
    assert meter.short_term_lufs() == pytest.approx(-23.0, abs=0.1)


def test_short_term_over_changing_loudness():  # signal 9
    pieces = [sine(1000, -20.0, 1.34), sine(1000, -30.0, 1.66)] * 4
    line = np.concatenate(pieces)
    meter = LoudnessMeter(48_000, CHANNEL_WEIGHTS["stereo"])
    found = []
    for begin in range(0, len(line), 4800):
        meter.add_samples(np.stack([line[begin : begin + 4800]] * 2))
        found.append(meter.short_term_lufs())
    assert found[29:] == pytest.approx([-23.0] * len(found[29:]), abs=0.1)


def test_momentary_over_changing_loudness():  # signal 12
    line = np.concatenate([sine(1000, -20.0, 0.18), sine(1000, -30.0, 0.22)] * 10)
    meter = LoudnessMeter(48_000, CHANNEL_WEIGHTS["stereo"])
    found = []
    for begin in range(0, len(line), 4800):
        meter.add_samples(np.stack([line[begin : begin + 4800]] * 2))
        found.append(meter.momentary_lufs())
    assert found[3:] == pytest.approx([-23.0] * len(found[3:]), abs=0.1)


def test_windows_that_are_not_full_have_no_loudness():
    assert measured(np.zeros((2, 19_199), np.float32)).momentary_lufs() is None
    meter = measured(np.zeros((2, 19_200), np.float32))
    assert (meter.momentary_lufs(), meter.short_term_lufs()) == (-200.0, None)


@pytest.mark.parametrize(
    ("divisor", "phase", "level", "expected"),
    [(4, 0.0, -6.0, -6.0), (4, 45.0, -6.0, -6.0), (6, 60.0, -6.0, -6.0), (8, 67.5, -6.0, -6.0), (4, 45.0, 3.0, 3.0)],
)
@pytest.mark.parametrize("rate", [48_000, 96_000])
@pytest.mark.parametrize("block", [9_600, 500, 3])
def test_true_peak(divisor, phase, level, expected, rate, block):  # signals 15 to 19
    line = sine(rate / divisor, level, 0.05, rate, np.radians(phase))
    line *= np.minimum(1, np.minimum(np.arange(len(line)), np.arange(len(line))[::-1]) / 200).astype(np.float32)
    meter = TruePeakMeter(rate, 1)
    found = 0.0
    for begin in range(0, len(line), block):
        part = line[None, begin : begin + block]
        found = max(found, float(meter.true_peaks(part, np.abs(part).max(axis=1))[0]))
    assert expected - 0.4 <= 20 * np.log10(found) <= expected + 0.2


def test_a_true_peak_is_never_below_the_samples():
    noise = np.random.default_rng(1).normal(0, 0.2, (3, 48_000)).astype(np.float32)
    peaks = np.abs(noise).max(axis=1)
    assert (TruePeakMeter(48_000, 3).true_peaks(noise, peaks) >= peaks).all()
