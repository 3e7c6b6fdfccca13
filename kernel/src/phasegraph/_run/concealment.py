"""Concealment: what sounds in a gap, so that it neither clicks nor repeats audio of another time.

A gap continues what sounded last. The stretch before it that best matches its end is repeated, and fades to silence
within 20 ms. Towards the end of the gap the same is made of what comes next, backwards in time, and faded in. What did
arrive stays as it is, bit for bit. Only where a gap was played before its end was known are the frames behind it
faded in. Frames that arrive after the gap has sounded in their place do not change that: for this reader the gap stays.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .._core.clock import frames_in
from .._core.samples import Frames
from .._core.stream import Stream

FADE_NS = 20_000_000
"""The repeated stretch has faded to silence after this time."""
JOIN_NS = 5_000_000
"""How long the frames behind a gap are faded in."""
_HISTORY_NS = 20_000_000
_TEMPLATE_NS = 2_500_000
_SMOOTH_NS = 500_000
_SEARCH_RATE = 48_000
"""The search for a match runs at about this rate: finer steps cost much and make no audible difference."""


def stream_reader(stream: Stream) -> Callable[[int, Frames], int]:
    """How one reader reads the ring of a stream: as `MediaRing.read`, with gaps concealed if the stream wants it."""
    concealed, plain = Concealer(stream).read, stream.ring.read
    return lambda start, out: (concealed if stream.conceal else plain)(start, out)


class Concealer:
    """Reads one stream for one reader, and fills the gaps between its first frame and its end.

    Every gap is made of what lies around it in the ring, so that reads may overlap.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._ring = stream.ring
        self._rate = rate = stream.format.rate
        self._fade = frames_in(FADE_NS, rate)
        self._join = frames_in(JOIN_NS, rate)
        self._history = frames_in(_HISTORY_NS, rate)
        self._open_from = 0
        self._open_at: int | None = None
        """Where the newest read stopped within a gap whose end was not yet known, and where that gap began."""
        self._ramp_stop = 0
        """Where the ramp behind such a gap ends."""

    def read(self, start: int, out: Frames) -> int:
        """As `MediaRing.read`, with gaps concealed."""
        missing = self._ring.read(start, out)
        if missing or 0 < self._ramp_stop - start <= self._join:
            self._conceal(start, out)
        return missing

    def _conceal(self, start: int, out: Frames) -> None:
        first = self._stream.first
        if first is None:
            return
        begin = start - self._fade - self._history
        stop = start + len(out)
        end = stop if self._stream.end is None else self._stream.end
        valid = self._ring.valid(begin, stop + self._history - begin)
        if self._open_at is not None and self._open_at - self._join < start < self._ramp_stop:
            valid[max(0, self._open_from - begin) : max(0, self._open_at - begin)] = False  # it sounded as a gap
        edges = np.flatnonzero(np.diff(valid, prepend=True, append=True))
        if not len(edges):
            return
        if len(edges) == 2 and edges[1] - edges[0] == len(valid):
            self._break_off(begin, stop)  # a long silence
            return
        audio = np.empty((len(valid), out.shape[1]), np.float32)
        self._ring.read(begin, audio)
        gaps = edges.reshape(-1, 2)
        lower = np.concatenate([[0], gaps[:-1, 1]])
        upper = np.concatenate([gaps[1:, 0], [len(valid)]])
        for (gap, resume), before, after in zip(gaps.tolist(), lower.tolist(), upper.tolist(), strict=True):
            beyond = begin + gap >= stop or begin + resume + self._join <= start
            if beyond or begin + resume <= first or begin + gap >= end:
                continue
            history = audio[max(before, gap - self._history) : gap]
            future = audio[resume : min(after, resume + self._history)]
            self._fill(start, out, begin + gap, begin + resume, history, future)

    def _fill(self, start: int, out: Frames, gap: int, resume: int, history: Frames, future: Frames) -> None:
        stop = start + len(out)
        was_open = self._open_at is not None and gap < self._open_at <= resume + self._join
        if was_open and len(future) and resume - self._join >= start:
            self._open_at, was_open = None, False  # its end has come into sight in time
        first, last = max(gap, start), min(resume, stop)
        if first < last:
            sound = self._repeated(history, first - gap, last - first)
            if len(future) and not was_open:
                join = min(self._join, resume - gap)
                back = np.arange(resume - first, resume - last, -1)
                weight = _half_cosine(back / (join + 1))
                sound *= 1.0 - weight
                sound += weight * self._extended(future[::-1], resume - last, last - first)[::-1]
            out[first - start : last - start] = sound
        if not len(future):
            self._break_off(gap, stop)
        elif was_open:
            self._ramp_stop = resume + self._join
            first, last = max(resume, start), min(resume + min(self._join, len(future)), stop)
            if first < last:
                weight = _half_cosine(1.0 - np.arange(first - resume + 1, last - resume + 1) / (self._join + 1))
                part = out[first - start : last - start]
                part *= weight
                part += (1.0 - weight) * self._repeated(history, first - gap, last - first)

    def _break_off(self, gap: int, stop: int) -> None:
        self._open_from, self._open_at, self._ramp_stop = gap, stop, stop + self._join

    def _repeated(self, history: Frames, begin: int, count: int) -> Frames:
        # Frames ``begin .. begin + count`` behind the history: repeated, and fading.
        if begin >= self._fade:
            return np.zeros((count, history.shape[1]), np.float32)
        return self._extended(history, begin, count) * _half_cosine(np.arange(begin, begin + count) / self._fade)

    def _extended(self, history: Frames, begin: int, count: int) -> Frames:
        # The end of the history as a loop, from its best match on; where the loop closes, the step is smoothed away.
        if len(history) < 2:
            return np.zeros((count, history.shape[1]), np.float32)
        lag = self._best_lag(history)
        loop = history[-lag:].copy()
        smooth = min(lag, frames_in(_SMOOTH_NS, self._rate))
        step = history[-1] - history[-1 - lag]
        loop[:smooth] += step * np.linspace(1.0, 0.0, smooth, endpoint=False, dtype=np.float32)[:, None]
        looped: Frames = np.take(loop, np.arange(begin, begin + count), axis=0, mode="wrap")
        return looped

    def _best_lag(self, history: Frames) -> int:
        # How far back the history was most like its end: least squares over its loudest channel.
        stride = max(1, self._rate // _SEARCH_RATE)
        loudest = int(np.argmax(np.einsum("fc,fc->c", history, history)))
        line = history[(len(history) - 1) % stride :: stride, loudest]
        size = min(frames_in(_TEMPLATE_NS, self._rate) // stride, len(line) // 2)
        if size < 2:
            return len(history) - 1
        energy = np.concatenate([[0.0], np.cumsum(line * line, dtype=np.float64)])
        windows = len(line) - 2 * size + 1  # those that do not overlap the end itself
        likeness = 2 * np.correlate(line, line[-size:], "valid")[:windows]
        at = int(np.argmin(energy[size : size + windows] - energy[:windows] - likeness))
        return min((len(line) - size - at) * stride, len(history) - 1)


def _half_cosine(at: NDArray[np.float64]) -> Frames:
    # From 1 at 0 to 0 at 1 and beyond, as a column.
    column: Frames = (0.5 + 0.5 * np.cos(np.pi * np.minimum(at, 1.0))).astype(np.float32)[:, None]
    return column
