"""The levels of one stream over the last second, and its alarms: silence, overload, a sample that is stuck.

A pure core: frames and local times in, figures and events out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasegraph import NS_PER_S, Frames, Metric, duration_of

from ..peak_level import dbfs
from .loudness import LoudnessMeter
from .true_peak import TruePeakMeter

OVERLOAD_SAMPLES = 3
"""Samples in a row at full scale that are an overload; one may be the programme's own peak."""
_WINDOW_NS = NS_PER_S


class LevelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, and the thresholds of the alarms."""

    rate: int
    channels: int
    weights: Sequence[float] = ()
    """Of the channels of the programme whose loudness is measured; empty for none."""
    true_peak: bool = True
    silence_level: float
    """Full scale 1.0: a stream whose peaks stay below is silent."""
    silence_ns: int
    overload_level: float
    """Full scale 1.0: samples at or above it are an overload."""
    stuck_ns: int


class LevelFigures(msgspec.Struct, frozen=True, gc=False):
    """Levels of the last second, and what is wrong."""

    at_ns: int
    """Local time of the newest frame."""
    peaks_dbfs: tuple[float, ...] = ()
    true_peak_dbtp: float | None = None
    momentary_lufs: float | None = None
    short_term_lufs: float | None = None
    correlations: tuple[float | None, ...] = ()
    """Of channels 1 and 2, 3 and 4, ...: 1 in phase, -1 in antiphase; None where one of them is silent."""
    overloads: int = 0
    """Overloads since the start."""
    trouble: str = ""


class LevelEvent(msgspec.Struct, frozen=True):
    """An alarm that begins or ends."""

    name: str
    fields: dict[str, Metric]


class _Block(msgspec.Struct, frozen=True, gc=False):
    frames: int
    peaks: NDArray[np.float32]
    true_peak: float
    products: NDArray[np.float64]
    """Of each pair of channels: sum of products, and of the squares of both."""


class LevelMeter:
    """Measures one stream. Used by one thread."""

    def __init__(self, settings: LevelSettings, now_ns: int) -> None:
        self._settings = settings
        self._loudness = LoudnessMeter(settings.rate, settings.weights) if any(settings.weights) else None
        self._true_peak = TruePeakMeter(settings.rate, settings.channels) if settings.true_peak else None
        self._blocks: deque[_Block] = deque()
        self._window_frames = 0
        self._measured_ns = now_ns
        self._last = np.zeros(settings.channels, np.float32)
        self._same = np.zeros(settings.channels, np.int64)
        """How many samples of each channel, up to the newest, are equal."""
        self._full = np.zeros(settings.channels, np.int64)
        """How many samples of each channel, up to the newest, are at full scale."""
        self._overloads = 0
        self._loud_ns = now_ns
        self._overload_ns: int | None = None
        self._silent = False
        self._overloaded = False
        self._stuck: tuple[int, ...] = ()
        self._stuck_now: tuple[int, ...] = ()

    def measure(self, frames: Frames, now_ns: int) -> list[LevelEvent]:
        """Measure the frames that follow, which may be none. Returns what they begin or end."""
        if len(frames):
            self._measure(frames, now_ns)
        return [*self._check_silence(now_ns), *self._check_overload(now_ns), *self._check_stuck()]

    def figures(self) -> LevelFigures:
        """The figures now."""
        blocks = self._blocks
        peaks = np.max([block.peaks for block in blocks], axis=0) if blocks else ()
        true_peak = max((block.true_peak for block in blocks), default=0.0)
        products = sum((block.products for block in blocks), np.zeros((self._settings.channels // 2, 3)))
        return LevelFigures(
            at_ns=self._measured_ns,
            peaks_dbfs=tuple(dbfs(float(peak)) for peak in peaks),
            true_peak_dbtp=dbfs(true_peak) if self._true_peak is not None and blocks else None,
            momentary_lufs=_rounded(None if self._loudness is None else self._loudness.momentary_lufs()),
            short_term_lufs=_rounded(None if self._loudness is None else self._loudness.short_term_lufs()),
            correlations=tuple(_correlation(*map(float, sums)) for sums in products),
            overloads=self._overloads,
            trouble=self._trouble(),
        )

    def _measure(self, frames: Frames, now_ns: int) -> None:
        lines = np.ascontiguousarray(frames.T)  # a row a channel: reductions along rows are several times as fast
        peaks = _peaks(lines)
        if not np.isfinite(peaks).all():
            lines = np.nan_to_num(lines, nan=0.0, posinf=1.0, neginf=-1.0)
            peaks = _peaks(lines)
        between = peaks if self._true_peak is None else self._true_peak.true_peaks(lines, peaks)
        if self._loudness is not None:
            self._loudness.add_samples(lines)
        left, right = lines[0 : len(lines) // 2 * 2 : 2], lines[1::2]
        products = np.stack(
            [np.einsum("pf,pf->p", one, other) for one, other in ((left, right), (left, left), (right, right))], axis=1
        ).astype(np.float64)
        count = lines.shape[1]
        self._blocks.append(_Block(count, peaks, float(between.max()), products))
        self._window_frames += count
        while len(self._blocks) > 1 and self._over_window(self._window_frames - self._blocks[0].frames):
            self._window_frames -= self._blocks.popleft().frames
        self._measured_ns = now_ns
        if peaks.max() >= self._settings.silence_level:
            self._loud_ns = now_ns
        if peaks.max() >= self._settings.overload_level:
            if self._count_overloads(np.abs(lines) >= self._settings.overload_level):
                self._overload_ns = now_ns
        else:
            self._full[:] = 0
        self._find_stuck(lines)

    def _over_window(self, frames: int) -> bool:
        return duration_of(frames, self._settings.rate) >= _WINDOW_NS

    def _count_overloads(self, full: NDArray[np.bool_]) -> int:
        # Runs of full samples that reach the length of an overload within these frames.
        found = 0
        for channel in np.flatnonzero(full.any(axis=1)):
            edges = np.diff(full[channel].astype(np.int8), prepend=0, append=0)
            begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
            lengths = ends - begins
            carried = self._full[channel] if begins[0] == 0 else 0
            found += int((lengths[1:] >= OVERLOAD_SAMPLES).sum())
            found += int(carried < OVERLOAD_SAMPLES <= carried + lengths[0])
            lengths[0] += carried
            self._full[channel] = lengths[-1]
        self._full[~full[:, -1]] = 0
        self._overloads += found
        # A run that goes on is one overload, and still an overload.
        return found + int((self._full >= OVERLOAD_SAMPLES).any())

    def _find_stuck(self, lines: NDArray[np.float32]) -> None:
        before, self._last = self._last, lines[:, -1].copy()
        line = np.concatenate([before[:, None], lines], axis=1)
        changed = line[:, 1:] != line[:, :-1]
        ever = changed.any(axis=1)
        # Equal samples before the first change belong to the run that was there before these frames.
        run_before = self._same + np.where(ever, changed.argmax(axis=1), lines.shape[1])
        self._same = np.where(ever, changed[:, ::-1].argmax(axis=1) + 1, run_before)
        least = self._settings.stuck_ns * self._settings.rate // NS_PER_S
        stuck = ((run_before >= least) & (before != 0)) | ((self._same >= least) & (self._last != 0))
        self._stuck_now = tuple(int(channel) + 1 for channel in np.flatnonzero(stuck))

    def _check_silence(self, now_ns: int) -> list[LevelEvent]:
        silent_ns = now_ns - self._loud_ns
        silent = silent_ns >= self._settings.silence_ns
        if silent == self._silent:
            return []
        self._silent = silent
        return [LevelEvent("silence", {"silent_ns": silent_ns}) if silent else LevelEvent("silence_ended", {})]

    def _check_overload(self, now_ns: int) -> list[LevelEvent]:
        if self._overload_ns is None:
            return []
        if now_ns == self._overload_ns and not self._overloaded:
            self._overloaded = True
            return [LevelEvent("overload", {"overloads": self._overloads})]
        if now_ns - self._overload_ns >= _WINDOW_NS:
            self._overload_ns, self._overloaded = None, False
            return [LevelEvent("overload_ended", {"overloads": self._overloads})]
        return []

    def _check_stuck(self) -> list[LevelEvent]:
        before, self._stuck = self._stuck, self._stuck_now
        if before == self._stuck:
            return []
        if not self._stuck:
            return [LevelEvent("sample_moves", {})]
        return [LevelEvent("sample_stuck", {"channels": ", ".join(map(str, self._stuck))})]

    def _trouble(self) -> str:
        words = []
        if self._silent:
            words.append("silence")
        if self._overloaded:
            words.append("overload")
        if self._stuck:
            words.append(f"the same sample again and again on channel {', '.join(map(str, self._stuck))}")
        return "; ".join(words)


def _peaks(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    peaks: NDArray[np.float32] = np.maximum(lines.max(axis=1), -lines.min(axis=1))
    return peaks


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _correlation(product: float, left: float, right: float) -> float | None:
    energy = math.sqrt(left) * math.sqrt(right)
    return round(max(-1.0, min(1.0, product / energy)), 3) if energy > 0 else None
