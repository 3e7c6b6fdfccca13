"""The ``soxr`` resampler: libsoxr's variable-rate mode, held to the position that the kernel asks for.

libsoxr keeps the signal and a position of its own, while the kernel names the position of every block. So this one
keeps count of where libsoxr is, to its quantum of 2**-31, and has it begin anew where it is asked for anything else.
What is known of the mode, by measurement, is in the constants below.
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
"""What a stream is made for. Made for 1.0 it glitches at full amplitude when the ratio rises above; 1.001 to 1.02 are
alike in quality, and so many are needed to begin at any fraction of a frame."""
AHEAD = 241
"""Frames that have to be there for an output frame, its own among them (`delay` says 100)."""
DELAY = 1.6150
"""By how many frames low frequencies come late, at any ratio. High ones differ: 1.8 at 10 kHz, 2.5 at 18 kHz."""
BEHIND = 250
"""Frames before a position from which the filters are full when it is reached."""
_JUMP = 1e-3
"""A position further from the stream's own than this is a new beginning."""
_LARGEST_TRIM = 2e-6
_NEAR = 1e-6
"""A position that is so near is left as it is: at a ratio of one every trim would change libsoxr's filter."""


class SoxrResampler:
    """Implements the kernel's ``StreamingResampler``. One edge each."""

    reach = 256

    def __init__(self) -> None:
        try:
            self._soxr: Any = import_module("soxr")
        except ImportError as error:
            raise NodeError(
                "the resampler soxr needs the Python package soxr",
                'install phasegraph-compensation[soxr], or take resampler = "sinc"',
            ) from error
        self._make(1)  # libsoxr computes its tables once, which takes too long for the data plane
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
            self._begin(frames, offset, out.shape[1])
            astray = 0.0
        trim = min(_LARGEST_TRIM, max(-_LARGEST_TRIM, astray / len(out))) if abs(astray) > _NEAR else 0.0
        self._set(ratio + trim)
        out[:] = self._take(frames, len(out))

    def _begin(self, frames: Frames, offset: float, channels: int) -> None:
        # From a whole frame on, a little faster than one to one, so that the fraction is reached with the position.
        start = math.floor(offset) - BEHIND
        steps = math.floor(offset - start + DELAY)
        self._stream = self._make(channels)
        self._fed = self._first + start
        self._whole, self._fraction = self._fed, -DELAY
        self._ready = np.empty((0, channels), np.float32)
        self._set((offset - start + DELAY) / steps)
        self._take(frames, steps)
        assert not len(self._ready), "above one, a frame makes one at most"

    def _set(self, ratio: float) -> None:
        self._stream.set_io_ratio(ratio, 1.0)
        quantum = 2.0**-31 if ratio >= 1.0 else 2.0**-33
        self._step = math.floor(ratio / quantum + 0.5) * quantum

    def _take(self, frames: Frames, count: int) -> Frames:
        # Feeds what is needed for so many more frames and no more, or the ratio would come too late.
        parts, there = [self._ready], len(self._ready)
        last = self._whole - self._first + self._fraction + DELAY + (count - 1) * self._step
        stop = math.floor(last) + AHEAD
        while there < count:
            start = self._fed - self._first
            stop = max(stop, start + 1)
            if start < 0 or stop > len(frames):
                raise ValueError(f"frames {start} to {stop - 1} are needed, 0 to {len(frames) - 1} are there")
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
