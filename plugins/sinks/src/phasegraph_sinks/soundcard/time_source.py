"""Which time of a callback is to be believed: the card's own, or only that the callback ran.

PortAudio hands every callback the time at which its first frame leaves the converter (or came in), and the time now.
Some host APIs leave them zero, forget the latency, or do not move them on (portaudio issues 530, 531, 586), and some
give nothing but the callback's own moment in another guise. So the first callbacks are looked at before anything
sounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasegraph import NS_PER_S

CALLBACKS = 50
"""Callbacks that are looked at before the choice."""
_FEWER, _FEWER_IN_NS = 20, NS_PER_S
"""So many do where they have taken so long."""
SETTLING = 10
"""The first of them are not looked at: while its buffers fill, a card has no time to tell."""
_LONGEST_S = 1.0
_LARGEST_SLOPE = 1e-3
_USUAL_SLOPE = 1e-4
_FINE_S = 50e-6
"""Scatter of the card's time that is good enough whatever the callbacks' is: that of a USB card's 125 us."""


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """What one callback noted."""

    called: int
    """Frames that the card had asked for (or given) before this callback."""
    count: int
    """Frames of this callback."""
    device_s: float
    """When its first frame sounds (or was heard), in the card's time."""
    now_s: float
    """The card's time at the callback."""
    entry_ns: int
    """Local time at the callback."""
    xrun: bool
    """The driver reported that frames were lost before this callback."""


class TimeSource(msgspec.Struct, frozen=True):
    """Where times are taken from, and why."""

    device: bool
    """From the card's own time; otherwise the callback's moment and ``latency_ns``."""
    latency_ns: int
    """From the callback to the first frame's sounding; negative for an input."""
    reason: str
    slope: float = 0.0
    """How much longer than nominal the card takes, as a fraction: a first guess, the smaller the less is known."""


def enough(stamps: Sequence[Stamp]) -> bool:
    """Whether there are enough stamps to `choose` by."""
    if len(stamps) >= CALLBACKS:
        return True
    return len(stamps) >= _FEWER and stamps[-1].entry_ns - stamps[0].entry_ns >= _FEWER_IN_NS


def choose(stamps: Sequence[Stamp], rate: int, *, latency_s: float, capture: bool = False) -> TimeSource:
    """Choose by the first stamps, of which there are `enough`.

    The card's time is valid if it strictly increases, is ahead of now (behind it for ``capture``) by less than a
    second, and passes at the nominal rate within 1000 ppm. It is used if it tells more than the moment of the callback
    does. ``latency_s`` is what the driver says of its latency, for a card without a valid time.
    """
    settled = stamps[SETTLING:]
    ahead = [(stamp.now_s - stamp.device_s if capture else stamp.device_s - stamp.now_s) for stamp in settled]
    times = np.array([stamp.device_s - settled[0].device_s for stamp in settled])
    frames = np.array([stamp.called - settled[0].called for stamp in settled]) / rate
    entries = np.array([stamp.entry_ns - settled[0].entry_ns for stamp in settled]) / NS_PER_S
    callbacks = _Line(frames, entries)
    sign = -1 if capture else 1

    def without(reason: str, latency_s: float = latency_s) -> TimeSource:
        reason = f"the callbacks' times: the card's {reason}"
        return TimeSource(False, sign * round(latency_s * NS_PER_S), reason, callbacks.likely_slope)

    if not (np.diff(times) > 0).all():
        return without("does not always increase")
    if not all(0 < by < _LONGEST_S for by in ahead):
        return without(f"is not {'behind' if capture else 'ahead of'} now by less than a second")
    card = _Line(frames, times)
    if abs(card.slope) > _LARGEST_SLOPE:
        return without(f"passes {-1e6 * card.slope:+.0f} ppm off the nominal rate")
    if card.scatter_s > max(_FINE_S, callbacks.scatter_s / 2):
        return without("scatters as much as they do", statistics.median(ahead))
    return TimeSource(True, 0, f"the card's time, which scatters by {1e6 * card.scatter_s:.1f} us", card.likely_slope)


class _Line:
    """A least-squares line through times over frames, both in seconds."""

    def __init__(self, frames: NDArray[np.float64], times: NDArray[np.float64]) -> None:
        frames = frames - frames.mean()
        times = times - times.mean() - frames
        spread = float(frames @ frames)
        self.slope = float(frames @ times) / spread
        self.scatter_s = float((times - self.slope * frames).std())
        # A slope that is as uncertain as crystals are different is half believed.
        self.likely_slope = self.slope / (1 + self.scatter_s**2 / spread / _USUAL_SLOPE**2)
