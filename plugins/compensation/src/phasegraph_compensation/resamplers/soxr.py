"""The ``soxr`` resampler: libsoxr's variable-rate mode, held to the position that the kernel asks for.

libsoxr keeps the signal and its own position, while the kernel names the position of every block. This class counts
libsoxr's position, to its quantum of 2**-31, and restarts libsoxr at any other position that is asked for. The
constants below are measured: `benchmarks/resamplers.py` and the tests hold them.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from phasegraph import NodeError

if TYPE_CHECKING:
    from phasegraph import Frames

LARGEST_RATIO = 1.02
"""Largest ratio that a stream is made for. Made for 1.0 it glitches at full amplitude when the ratio rises above; 1.001
to 1.02 are alike in quality, and 1.02 is needed to start at any fraction of a frame."""
AHEAD = 241
"""Input frames needed for one output frame, its own included (`delay` reports 100)."""
DELAY = 1.6150
"""Delay of low frequencies in frames, at any ratio. High frequencies differ: 1.8 at 10 kHz, 2.5 at 18 kHz."""
BEHIND = 250
"""Frames before a position at which to start, so that the filters are full when it is reached."""
_JUMP = 1e-3
"""Distance from the stream's own position, in frames, beyond which the stream restarts."""
_LARGEST_TRIM = 2e-6
_NEAR = 1e-6
"""Distance in frames within which the position is not trimmed: at a ratio of one a trim changes libsoxr's filter."""


class SoxrResampler:
    """Implements the kernel's ``StreamingResampler``. One edge each."""

    reach = 256

    def __init__(self) -> None:
        try:
            self._soxr: Any = import_module("soxr")
        except ImportError as error:
            raise NodeError(
                "the resampler soxr needs the Python package soxr",
                'install phasegraph-compensation[soxr], or use resampler = "sinc"',
            ) from error
        self._make(1)  # libsoxr computes its tables once; on the data plane that would take too long
        self._stream: Any = None
        self._first = 0
        self._fed = 0
        self._whole, self._fraction = 0, 0.0
        self._ready: Frames = np.empty((0, 1), np.float32)
        self._step = 1.0

    def locate(self, first: int) -> None:
        """See `StreamingResampler.locate`."""
        self._first = first

    def render(self, frames: Frames, offset: float, ratio: float, out: Frames) -> None:
        """See `Resampler.render`. Ratios within 1000 ppm of one."""
        astray = self._first + offset - self._whole - self._fraction if self._stream is not None else math.inf
        if not abs(astray) < _JUMP or self._ready.shape[1] != out.shape[1]:
            self._restart_stream(frames, offset, out.shape[1])
            astray = 0.0
        trim = min(_LARGEST_TRIM, max(-_LARGEST_TRIM, astray / len(out))) if abs(astray) > _NEAR else 0.0
        self._set_ratio(ratio + trim)
        out[:] = self._convert(frames, len(out))

    def _restart_stream(self, frames: Frames, offset: float, channels: int) -> None:
        # Starts at a whole frame, a little faster than one to one, so that the fraction is reached at the position.
        start = math.floor(offset) - BEHIND
        steps = math.floor(offset - start + DELAY)
        self._stream = self._make(channels)
        self._fed = self._first + start
        self._whole, self._fraction = self._fed, -DELAY
        self._ready = np.empty((0, channels), np.float32)
        self._set_ratio((offset - start + DELAY) / steps)
        self._convert(frames, steps)
        assert not len(self._ready), "above one, a frame makes one at most"

    def _set_ratio(self, ratio: float) -> None:
        self._stream.set_io_ratio(ratio, 1.0)
        quantum = 2.0**-31 if ratio >= 1.0 else 2.0**-33
        self._step = math.floor(ratio / quantum + 0.5) * quantum

    def _convert(self, frames: Frames, count: int) -> Frames:
        # Gives libsoxr the input for these frames and no more: a later ratio applies to later input only.
        parts, there = [self._ready], len(self._ready)
        last = self._whole - self._first + self._fraction + DELAY + (count - 1) * self._step
        stop = math.floor(last) + AHEAD
        while there < count:
            start = self._fed - self._first
            stop = max(stop, start + 1)
            if start < 0 or stop > len(frames):
                raise ValueError(f"frames {start} to {stop - 1} are needed, and 0 to {len(frames) - 1} are available")
            parts.append(self._stream.resample_chunk(frames[start:stop]))
            there += len(parts[-1])
            self._fed = self._first + stop
        made = np.concatenate(parts)
        self._ready = made[count:]
        moved = self._fraction + count * self._step
        self._whole += math.floor(moved)
        self._fraction = moved - math.floor(moved)
        return made[:count]

    def _make(self, channels: int) -> Any:
        stream = self._soxr.ResampleStream(LARGEST_RATIO, 1.0, channels, dtype="float32", vr=True)
        stream.set_io_ratio(1.0, 1.0)
        return stream
