"""Measures the device in reference time: the input of ``ptp-feed-forward``.

The device is measured against the clock that the stream runs on, so the rate of the computer's own counter cancels out.
(The rate of that counter against the clock says nothing about the device.)
"""

from __future__ import annotations

import math

from phasegraph import ClockEstimate, ClockState, DeviceRate, DeviceTime, ReadPosition

from .crossing_observer import CrossingObserver
from .rate_estimator import RateEstimator

_TRUSTED = (ClockState.LOCKED, ClockState.HOLDOVER)


class DeviceObserver(CrossingObserver):
    """Uses the time of a clock that is locked, or was locked and holds over."""

    def __init__(self, rate: int, wander: float) -> None:
        """As for `RateEstimator`."""
        super().__init__(rate, RateEstimator(rate, wander))
        self._wander = wander
        self._map: ClockEstimate | None = None
        self._locked_once = False
        self._stamp_off = 0.0

    @property
    def deviation(self) -> float:
        """Reference seconds per nominal second of the device, less one."""
        return self._device.deviation

    @property
    def sigma(self) -> float:
        """One standard deviation of `deviation`."""
        return self._device.sigma

    @property
    def sigma_s(self) -> float:
        """One standard deviation of the filtered time of the newest frame, in seconds."""
        return self._device.sigma_s

    def _on_device_time(self, at: DeviceTime) -> None:
        if self._map is None:
            return
        reference_ns = self._map.reference_at(at.local_ns)
        self._device.add_frame_time(at.frame, reference_ns, after_loss=at.lost_frames != 0)
        self._passed_s += self._device.interval_s
        # The kernel derives the position's error from this one stamp. The residual removes the stamp's noise from it.
        self._stamp_off = self._device.residual_s(reference_ns) * self._rate

    def _on_read_position(self, at: ReadPosition) -> None:
        known = self.trusted and self._device.count and math.isfinite(at.error_frames)
        self.error = at.error_frames + self._stamp_off if known else None

    def _on_remembered_rate(self, remembered: DeviceRate) -> None:
        self._remembered = remembered
        self._device.start_with(remembered)

    def _on_clock_estimate(self, estimate: ClockEstimate) -> None:
        was, self.trusted = self.trusted, estimate.state in _TRUSTED
        if self._locked_once and not self.trusted:
            return  # the last trusted map stays in use, at its last rate
        before, self._map = self._map, estimate
        if self.trusted and not self._locked_once:
            self._locked_once = True
            self._restart_estimator()  # the times of a clock that had not locked were wrong
        elif before is not None and (self.trusted > was or before.discontinuities != estimate.discontinuities):
            at = estimate.local_ns
            self._device.shift_time(estimate.reference_at(at) - before.reference_at(at))

    def _restart_estimator(self) -> None:
        self._device = RateEstimator(self._rate, self._wander)
        if self._remembered is not None:
            self._device.start_with(self._remembered)
