"""Measures the device in reference time: the input of ``ptp-feed-forward``.

The device is measured against the clock that the stream runs on, so the rate of the computer's own counter cancels out.
(The rate of that counter against the clock says nothing about the device.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from phasegraph import ClockEstimate, ClockState, DeviceRate, DeviceTime, Observation, ReadPosition

from .rate_estimator import RateEstimator

_TRUSTED = (ClockState.LOCKED, ClockState.HOLDOVER)


class DeviceObserver:
    """Estimates the device's rate and the error of the read position from observations."""

    def __init__(self, rate: int, wander: float) -> None:
        """As for `RateEstimator`."""
        self.device = RateEstimator(rate, wander)
        self.error: float | None = None
        """Frames that the read position is behind its target, by the filtered time of its block; None without a clock
        that can be trusted."""
        self.trusted = False
        """Whether the clock is locked, or was locked and holds over."""
        self._passed_s = 0.0
        self._rate, self._wander = rate, wander
        self._remembered: DeviceRate | None = None
        self._map: ClockEstimate | None = None
        self._locked_once = False
        self._stamp_off = 0.0
        self._on: dict[type, Callable[[Any], None]] = {
            ClockEstimate: self._on_clock_estimate,
            DeviceTime: self._on_device_time,
            ReadPosition: self._on_read_position,
            DeviceRate: self._on_remembered_rate,
        }

    @property
    def deviation(self) -> float:
        """Reference seconds per nominal second of the device, less one."""
        return self.device.deviation

    @property
    def sigma(self) -> float:
        """One standard deviation of `deviation`."""
        return self.device.sigma

    @property
    def sigma_s(self) -> float:
        """One standard deviation of the filtered time of the newest frame, in seconds."""
        return self.device.sigma_s

    @property
    def span_s(self) -> float:
        """Nominal time since the first stamp."""
        return self.device.span_s

    @property
    def since_restart_s(self) -> float:
        """Nominal time since the phase restarted after lost frames."""
        return self.device.since_restart_s

    def observe(self, observation: Observation) -> None:
        """Use clock estimates, device times, read positions and remembered rates; ignore the rest."""
        handler = self._on.get(type(observation))
        if handler is not None:
            handler(observation)

    def elapsed_s(self) -> float:
        """Nominal time that the device has counted since the last call."""
        passed, self._passed_s = self._passed_s, 0.0
        return passed

    def _on_device_time(self, at: DeviceTime) -> None:
        if self._map is None:
            return
        reference_ns = self._map.reference_at(at.local_ns)
        self.device.add_frame_time(at.frame, reference_ns, after_loss=at.lost_frames != 0)
        self._passed_s += self.device.interval_s
        # The kernel derives the position's error from this one stamp. The residual removes the stamp's noise from it.
        self._stamp_off = self.device.residual_s(reference_ns) * self._rate

    def _on_read_position(self, at: ReadPosition) -> None:
        known = self.trusted and self.device.count and math.isfinite(at.error_frames)
        self.error = at.error_frames + self._stamp_off if known else None

    def _on_remembered_rate(self, remembered: DeviceRate) -> None:
        self._remembered = remembered
        self.device.start_with(remembered)

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
            self.device.shift_time(estimate.reference_at(at) - before.reference_at(at))

    def _restart_estimator(self) -> None:
        self.device = RateEstimator(self._rate, self._wander)
        if self._remembered is not None:
            self.device.start_with(self._remembered)
