"""The tracking error of a crossing: lock, wander and pitch, from the trace of a `DriftWorld`."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .drift_world import DriftTrace

_SMOOTH_HZ = 5.0
"""Faster changes of pitch are perceived as noise, not as pitch."""
_TONE_HZ, _NOTCH_HZ = 10_000.0, 20.0
_TONE_BLOCKS = 1 << 17
"""Largest number of blocks, at the end, in which the tone is evaluated."""

Floats = NDArray[np.float64]


class TrackingError(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Figures are of its second half unless stated; errors are in frames, ratios in ppm."""

    place_s: float
    """Time from which the position stays within a frame of its target; inf for never."""
    phase_s: float
    """The same for its average over 2 s, about its final mean: for strategies that know no exact latency."""
    rate_s: float
    """Time from which the ratio, averaged over 5 s, stays within 1 ppm; inf for never."""
    mean: float
    """Mean error of the position."""
    wander: float
    """Standard deviation of that error."""
    wander_pp: float
    """Peak-to-peak of that error."""
    ratio: float
    """Error of the ratio, rms."""
    ratio_most: float
    """Largest error of the ratio, of the whole run."""
    slope_acquiring: float
    """Largest change of pitch, below 5 Hz, in ppm/s, of the whole run."""
    slope: float
    """Largest change of pitch in the second half."""
    noise_db: float
    """Noise that the ratio alone adds to a tone of 10 kHz: all energy beyond 20 Hz of it, against the tone."""
    underruns: int
    resyncs: int


def tracking_error_of(trace: DriftTrace) -> TrackingError:
    """The figures of a run, without its blocks of silence."""
    dt = trace.block_s
    audible = ~trace.silent
    seconds: Floats = np.arange(len(audible), dtype=np.float64)[audible] * np.float64(dt)
    error, ratio, ideal = trace.error[audible], trace.ratio[audible], trace.ideal[audible]
    off = (ratio - ideal) * 1e6
    half = len(error) // 2
    slopes = np.abs(np.diff(_low_pass(ratio * 1e6, dt))) / dt
    centred = _average(error - error[half:].mean(), 2.0 / dt)
    return TrackingError(
        place_s=_from(seconds, np.abs(error) < 1.0),
        phase_s=_from(seconds, np.abs(centred) < 1.0),
        rate_s=_from(seconds, np.abs(_average(off, 5.0 / dt)) < 1.0),
        mean=float(error[half:].mean()),
        wander=float(error[half:].std()),
        wander_pp=float(np.ptp(error[half:])),
        ratio=math.sqrt(float((off[half:] ** 2).mean())),
        ratio_most=float(np.abs(off).max()),
        slope_acquiring=float(slopes.max()),
        slope=float(slopes[half:].max()),
        noise_db=_noise_db(off[half:][-_TONE_BLOCKS:], dt),
        underruns=trace.underruns,
        resyncs=trace.resyncs,
    )


def worst_tracking_error(runs: list[TrackingError]) -> TrackingError:
    """The worst of several runs, figure by figure; of the mean error the one with the largest magnitude."""
    every: dict[str, list[Any]] = {
        name: [getattr(run, name) for run in runs] for name in TrackingError.__struct_fields__
    }
    return TrackingError(**{name: max(values, key=abs if name == "mean" else None) for name, values in every.items()})


def _low_pass(values: Floats, dt: float) -> Floats:
    share = 1.0 - math.exp(-2.0 * math.pi * _SMOOTH_HZ * dt)
    smooth, out = float(values[0]), np.empty(len(values))
    for at, value in enumerate(values):
        smooth += share * (value - smooth)
        out[at] = smooth
    return out


def _average(values: Floats, over: float) -> Floats:
    # Centred; shorter at both ends.
    half = int(over / 2)
    total = np.concatenate(([0.0], np.cumsum(values)))
    at = np.arange(len(values))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    result: Floats = (total[high] - total[low]) / (high - low)
    return result


def _from(seconds: Floats, good: NDArray[np.bool_]) -> float:
    # The time from which it is good until the end; the start of the audible part counts as 0.
    bad = np.flatnonzero(~good)
    if not len(bad):
        return 0.0
    return float(seconds[bad[-1] + 1]) if bad[-1] + 1 < len(seconds) else math.inf


def _noise_db(off: Floats, dt: float) -> float:
    # The ratio is constant within a block, so the read time deviates in straight lines: phase modulation.
    parts = 8
    seconds = np.cumsum(np.repeat((off - off.mean()) * 1e-6, parts)) * (dt / parts)
    seconds -= np.linspace(seconds[0], seconds[-1], len(seconds))
    window = np.hanning(len(seconds)) * math.sqrt(8.0 / 3.0)
    power = np.abs(np.fft.rfft(seconds * window)) ** 2
    beyond = np.fft.rfftfreq(len(seconds), dt / parts) > _NOTCH_HZ
    side = 2.0 * power[beyond].sum() / len(seconds) ** 2 * (2.0 * math.pi * _TONE_HZ) ** 2
    return 10.0 * math.log10(side + 1e-30)
