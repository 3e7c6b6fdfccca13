"""``buffer-feedback``: keeps what lies in the buffer constant, without any reference clock.

Packets of a millisecond and callbacks of five make the raw level a sawtooth, whose beat is slow enough to pass any
useful filter. So the level is taken at one instant: arrivals and device times are both smoothed, on the local
counter, and what had arrived when a frame sounds follows from the two. A PI controller steers that level to where it
was at the start.
"""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from phasegraph import (
    Arrival,
    BufferLevel,
    ClockEstimate,
    CompensatorConfig,
    Correction,
    DeviceRate,
    DeviceTime,
    Duration,
    Observation,
    frames_in,
)

from .estimator import RateEstimator
from .steering import ACQUIRING_SLOPE, INFORMATIVE, LIMIT, LONGEST_STEP_S, Ratio, ready

TRACKING_SLOPE = 4e-6
"""Most that the ratio changes in a second once it is locked."""
_WANDER = 5e-9
_WIDE_HZ, _NARROW_HZ = 0.1, 0.012
"""Bandwidth of the loop, before lock and long after."""
_NARROWING_S, _WIDENING_S = 6.0, 2.0
_BRAKE, _LEAST_PROPORTIONAL = 0.7, 2e-6
"""Share of the fastest approach from which the slope limit can still brake; and what is always allowed."""
_AVERAGE_S = 2.0
_SMALL, _LARGE = 0.5, 4.0
"""Frames of mean error below which it locks, and beyond which it is no longer locked."""
_LOCK_S = 4.0
_SILENCE_S = 0.25
"""Without packets for longer, it holds the ratio."""


class BufferConfig(CompensatorConfig, frozen=True, kw_only=True):
    """Options of ``buffer-feedback``."""

    latency: Annotated[
        Duration | None,
        Meta(
            description="From the arrival of a frame to its sounding, on average. If left out it stays what the "
            "source's link offset makes of it at the start.",
            ge=1_000_000,
        ),
    ] = None
    resync_after: Annotated[
        Duration,
        Meta(description="Error of the level beyond which the read position jumps, audibly.", ge=1_000_000),
    ] = 5_000_000


class BufferFeedback:
    """Keeps the smoothed level where it is to be."""

    def __init__(self, config: BufferConfig, rate: int) -> None:
        """``rate`` in frames per second."""
        self._rate = rate
        self._resync = frames_in(config.resync_after, rate)
        self._target = None if config.latency is None else float(frames_in(config.latency, rate))
        self._device = RateEstimator(rate, _WANDER)
        self._sender = RateEstimator(rate, _WANDER)
        self._map: ClockEstimate | None = None
        self._level: float | None = None
        self._passed_s = self._silence_s = 0.0
        self._renumbered = False
        self._known: DeviceRate | None = None
        self._ratio = Ratio()
        self._integral = 0.0
        self._bandwidth_hz = _WIDE_HZ
        self._average = self._good_s = 0.0
        self._started = self._locked = False

    def observe(self, observation: Observation) -> None:
        """See `Compensator.observe`. Of the clock it wants to know only whether frames have been renumbered."""
        match observation:
            case Arrival(local_ns, frame):
                ...
