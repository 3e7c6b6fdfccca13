"""Chooses the time of a callback: the card's own, or only the moment at which the callback ran.

PortAudio gives every callback the time at which its first frame leaves the converter (or came in), and the time now.
Some host APIs leave them zero, forget the latency, or do not advance them (portaudio issues 530, 531, 586), and some
give the callback's own moment in another form. So the first callbacks are examined before any frame sounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasegraph import NS_PER_S

from .card_memory import CallbackStamp

CALLBACKS = 50
"""Callbacks that are examined before the choice."""
_FEWER, _FEWER_IN_NS = 20, NS_PER_S
"""Fewer are enough after this time."""
SETTLING = 10
"""The first of them are ignored: while its buffers fill, the time of a card is undefined."""
_LONGEST_S = 1.0
_LARGEST_SLOPE = 1e-3
_USUAL_SLOPE = 1e-4
_FINE_S = 50e-6
"""Scatter of the card's time that is always good enough: that of a USB card's 125 us."""


class CardTimeSource(msgspec.Struct, frozen=True):
    """Where the times of frames come from, and why."""

    device: bool
    """From the card's own time; otherwise the callback's moment and ``latency_ns``."""
    latency_ns: int
    """From the callback to the first frame's sounding; negative for an input."""
    reason: str
    slope: float = 0.0
    """How much longer than nominal a frame lasts, as a fraction: a first guess, smaller where it is less certain."""


def enough_stamps(stamps: Sequence[CallbackStamp]) -> bool:
    """Whether there are enough stamps for `choose_time_source`."""
    if len(stamps) >= CALLBACKS:
        return True
    return len(stamps) >= _FEWER and stamps[-1].entry_ns - stamps[0].entry_ns >= _FEWER_IN_NS


def choose_time_source(
    stamps: Sequence[CallbackStamp], rate: int, *, latency_s: float, capture: bool = False
) -> CardTimeSource:
    """Choose by the first stamps, of which there are `enough_stamps`.

    The card's time is valid if it strictly increases, is ahead of now (behind it for ``capture``) by less than a
    second, and passes at the nominal rate within 1000 ppm. It is used if it is more precise than the moment of
    the callback. ``latency_s`` is the driver's own latency, for a card without a valid time.
    """
    settled = stamps[SETTLING:]
    ahead = [(stamp.now_s - stamp.device_s if capture else stamp.device_s - stamp.now_s) for stamp in settled]
    times = np.array([stamp.device_s - settled[0].device_s for stamp in settled])
    frames = np.array([stamp.called - settled[0].called for stamp in settled]) / rate
    entries = np.array([stamp.entry_ns - settled[0].entry_ns for stamp in settled]) / NS_PER_S
    callbacks = _TimeLine(frames, entries)
    sign = -1 if capture else 1

    def without(reason: str, latency_s: float = latency_s) -> CardTimeSource:
        reason = f"the callbacks' times: the card's {reason}"
        return CardTimeSource(False, sign * round(latency_s * NS_PER_S), reason, callbacks.likely_slope)

    if not (np.diff(times) > 0).all():
        return without("does not always increase")
    if not all(0 < by < _LONGEST_S for by in ahead):
        return without(f"is not {'behind' if capture else 'ahead of'} now by less than a second")
    card = _TimeLine(frames, times)
    if abs(card.slope) > _LARGEST_SLOPE:
        return without(f"passes {-1e6 * card.slope:+.0f} ppm off the nominal rate")
    if card.scatter_s > max(_FINE_S, callbacks.scatter_s / 2):
        return without("scatters as much as they do", statistics.median(ahead))
    return CardTimeSource(
        True, 0, f"the card's time, which scatters by {1e6 * card.scatter_s:.1f} us", card.likely_slope
    )


class _TimeLine:
    """A least-squares line through times over frames, both in seconds."""

    def __init__(self, frames: NDArray[np.float64], times: NDArray[np.float64]) -> None:
        frames = frames - frames.mean()
        times = times - times.mean() - frames
        spread = float(frames @ frames)
        self.slope = float(frames @ times) / spread
        self.scatter_s = float((times - self.slope * frames).std())
        # A slope whose uncertainty equals the spread of crystals counts by half.
        self.likely_slope = self.slope / (1 + self.scatter_s**2 / spread / _USUAL_SLOPE**2)
