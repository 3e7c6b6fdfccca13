"""The device in reference time: what ``ptp-feed-forward`` and ``combined`` know before they decide.

The device is measured against the very clock that the stream runs on, so that it does not matter how fast the
computer's own counter runs. (How fast that counter runs against the clock says nothing about the device.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from phasegraph import ClockEstimate, ClockState, DeviceRate, DeviceTime, Observation, ReadPosition

from .rate_estimator import RateEstimator

_TRUSTED = (ClockState.LOCKED, ClockState.HOLDOVER)


class Sighting:
    """Takes in observations; offers the device's rate and the error of the read position."""

    def __init__(self, rate: int, wander: float) -> None:
        """As for `RateEstimator`."""
        self.device = RateEstimator(rate, wander)
        self.error: float | None = None
        """Frames that the read position is behind its target, by the filtered time of its block; None while there is
        no clock that can be trusted."""
        self.trusted = False
        """Whether the clock is locked, or was and holds over."""
        self._passed_s = 0.0
        self._rate, self._wander = rate, wander
        self._known: DeviceRate | None = None
        self._map: ClockEstimate | None = None
        self._locked_once = False
        self._stamp_off = 0.0
        self._take: dict[type, Callable[[Any], None]] = {
            ClockEstimate: self._follow,
            DeviceTime: self._see,
            ReadPosition: self._measure,
            DeviceRate: self._remember,
        }

    def observe(self, observation: Observation) -> None:
        """Take in clock estimates, device times, read positions and what was learned earlier; ignore the rest."""
        take = self._take.get(type(observation))
        if take is not None:
            take(observation)

    def elapsed_s(self) -> float:
        """Nominal time that the device has counted since the last call."""
        passed, self._passed_s = self._passed_s, 0.0
        return passed

    def _see(self, at: DeviceTime) -> None:
        if self._map is None:
            return
        reference_ns = self._map.reference_at(at.local_ns)
        self.device.update(at.frame, reference_ns)
        self._passed_s += self.device.interval_s
        # The kernel takes the error from this one stamp: this frees it from the stamp's noise.
        self._stamp_off = self.device.residual_s(reference_ns) * self._rate

    def _measure(self, at: ReadPosition) -> None:
        seen = self.trusted and self.device.count and math.isfinite(at.error_frames)
        self.error = at.error_frames + self._stamp_off if seen else None

    def _remember(self, known: DeviceRate) -> None:
        self._known = known
        self.device.know(known)

    def _follow(self, estimate: ClockEstimate) -> None:
        was, self.trusted = self.trusted, estimate.state in _TRUSTED
        if self._locked_once and not self.trusted:
            return  # what it said last is kept, at its last rate
        before, self._map = self._map, estimate
        if self.trusted and not self._locked_once:
            self._locked_once = True
            self._begin()  # what was measured against a clock that had not locked is worth nothing
        elif before is not None and (self.trusted > was or before.discontinuities != estimate.discontinuities):
            at = estimate.local_ns
            self.device.shift(estimate.reference_at(at) - before.reference_at(at))

    def _begin(self) -> None:
        self.device = RateEstimator(self._rate, self._wander)
        if self._known is not None:
            self.device.know(self._known)
