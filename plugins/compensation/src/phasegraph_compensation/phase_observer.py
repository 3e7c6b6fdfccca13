"""Measures the device and the clock apart, each against the local counter: the input of ``combined``.

Both are crystals, or as steady as crystals, against the local counter. A device's stamps are precise and many, so its
rate is followed within seconds; the clock's errors last, so they are averaged over a minute. A filter of one of them
against the other, as in `DeviceObserver`, would need one bandwidth for both.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from phasegraph import ClockEstimate, ClockState, DeviceRate, DeviceTime, ReadPosition

from .crossing_observer import CrossingObserver
from .rate_estimator import FIRST_SIGMA_S, LEAST_KNOWN, LEAST_SIGMA_S, RateEstimator, deviation_of
from .reference_track import ReferenceTrack

GOOD_SIGMA_NS = 15_000.0
"""Sigma of a clock that has not locked, below which its time places frames: 0.7 of one at 48 kHz."""
FIRST_STAMPS = 24
"""Stamps from which the noise of a card's stamps is first measured."""
MARGIN = 1.3
"""Factor on that noise: its own standard deviation is a seventh."""


class PhaseObserver(CrossingObserver):
    """Uses the time of a clock that is locked, or holds over, or is good enough before it locks."""

    def __init__(self, rate: int, wander: float, drift: float) -> None:
        """As for `RateEstimator`, about the device against the local counter."""
        self._make_device = functools.partial(RateEstimator, rate, wander, drift, clock_density=0.0)
        super().__init__(rate, self._make_device())
        self._reference = ReferenceTrack()
        self._off_s = 0.0
        self._followed = False
        self._known: tuple[float, float] | None = None
        self._first: list[DeviceTime] | None = []

    @property
    def deviation(self) -> float:
        """Reference seconds per nominal second of the device, less one."""
        device, reference = self._device.deviation, self._reference.rate
        return device + reference + device * reference

    @property
    def sigma(self) -> float:
        """One standard deviation of `deviation`."""
        return math.hypot(self._device.sigma, self._reference.sigma)

    @property
    def sigma_s(self) -> float:
        """One standard deviation of the error of the read position, in seconds."""
        return math.hypot(self._device.sigma_s, self._reference.sigma_s)

    @property
    def memory_s(self) -> float:
        """How far back the stamps reach that the device's estimate rests on: longer where they are noisy."""
        return self._device.sigma_s / self._device.sigma

    def _on_device_time(self, at: DeviceTime) -> None:
        self._device.add_frame_time(at.frame, at.local_ns, after_loss=at.lost_frames != 0)
        if self._first is not None:
            self._first.append(at)
            if len(self._first) == FIRST_STAMPS:
                self._use_first_again(self._first)
                self._first = None
        self._passed_s += self._device.interval_s
        # The kernel derives the position's error from this one stamp and the clock's own map.
        smooth_s = self._device.residual_s(at.local_ns)
        self._off_s = smooth_s * (1.0 + self._reference.rate) + self._reference.ahead_s(at.local_ns)

    def _on_read_position(self, at: ReadPosition) -> None:
        known = self._followed and self._device.count and self._reference.known and math.isfinite(at.error_frames)
        self.error = at.error_frames + self._off_s * self._rate if known else None

    def _on_remembered_rate(self, remembered: DeviceRate) -> None:
        self._remembered = remembered

    def _on_clock_estimate(self, estimate: ClockEstimate) -> None:
        self._reference.observe(estimate)
        self._followed = estimate.state is not ClockState.UNLOCKED
        good = estimate.state is not ClockState.ACQUIRING or estimate.sigma_ns < GOOD_SIGMA_NS
        self.trusted = self._followed and good
        if self._remembered is not None and self._reference.known:
            # It was measured in reference time, and the device is measured in local time.
            pace = (1.0 + deviation_of(self._remembered)) / (1.0 + self._reference.rate)
            sigma = math.hypot(max(self._remembered.sigma_ppb * 1e-9, LEAST_KNOWN), self._reference.sigma)
            self._known = pace - 1.0, sigma
            self._device.add_rate(*self._known)
            self._remembered = None

    def _use_first_again(self, stamps: list[DeviceTime]) -> None:
        # A PCI card's stamps are ten times better than is assumed of a card that is not known. Those that were used
        # before that was measured would count for little, and they are the longest lever on the rate.
        frames = np.array([at.frame - stamps[0].frame for at in stamps], np.float64)
        times_s = np.array([at.local_ns - stamps[0].local_ns for at in stamps], np.float64) * 1e-9
        line = np.polynomial.Polynomial.fit(frames, times_s, 1)
        sigma_s = math.sqrt(float(((times_s - line(frames)) ** 2).sum()) / (len(stamps) - 2))
        if sigma_s * MARGIN < FIRST_SIGMA_S:
            self._device = self._make_device(first_sigma_s=max(sigma_s * MARGIN, LEAST_SIGMA_S))
            if self._known is not None:
                self._device.add_rate(*self._known)
            for at in stamps:
                self._device.add_frame_time(at.frame, at.local_ns, after_loss=at.lost_frames != 0)
