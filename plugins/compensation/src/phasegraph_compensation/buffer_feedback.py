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
    NS_PER_S,
    BufferLevel,
    ClockEstimate,
    CompensatorConfig,
    Correction,
    DeviceRate,
    DeviceTime,
    Duration,
    FramesArrived,
    Observation,
    ReadPosition,
    frames_in,
)

from .rate_estimator import LEAST_KNOWN, RateEstimator, deviation_of, published
from .ratio import ACQUIRING_SLOPE, INFORMATIVE, LIMIT, LONGEST_STEP_S, Ratio, ready

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
_SMOOTHING = 0.1
"""Time constant of the ratio, as a part of the loop's: what noise is faster is kept from it."""
_REACHED = 1e-7
_STALE_S = 0.05
"""For so long after a renumbering packets may still come that bear old numbers."""
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
        self._off = 0.0
        self._passed_s = self._silence_s = 0.0
        self._renumbered, self._since_renumbered_s = False, math.inf
        self._remembered = math.inf  # sigma of the rate that earlier runs have learned
        self._ratio = Ratio()
        self._integral = 0.0
        self._bandwidth_hz = _WIDE_HZ
        self._average = self._good_s = 0.0
        self._started = self._locked = False

    def observe(self, observation: Observation) -> None:
        """See `Compensator.observe`. Of the clock it wants to know whether frames have been renumbered, and where to
        begin."""
        if isinstance(observation, FramesArrived):
            self._silence_s = 0.0
            if self._since_renumbered_s >= _STALE_S:
                self._sender.update(observation.frame, observation.local_ns)
                self._renumbered = False
        elif isinstance(observation, DeviceTime):
            self._device.update(observation.frame, observation.local_ns)
            self._passed_s += self._device.interval_s
            self._silence_s += self._device.interval_s
            self._since_renumbered_s += self._device.interval_s
        elif isinstance(observation, BufferLevel):
            self._level = observation.frames if math.isfinite(observation.frames) else None
        elif isinstance(observation, ReadPosition):
            off = observation.error_frames + self._device.residual_s(observation.local_ns) * self._rate
            self._off = off if math.isfinite(off) else 0.0
        elif isinstance(observation, ClockEstimate):
            self._renumber(observation)
        elif isinstance(observation, DeviceRate):
            self._remembered = max(observation.sigma_ppb * 1e-9, LEAST_KNOWN)
            self._integral = deviation_of(observation)
            self._ratio.jump(self._integral)

    def decide(self, local_ns: int) -> Correction:
        """See `Compensator.decide`."""
        passed_s, self._passed_s = min(self._passed_s, LONGEST_STEP_S), 0.0
        level = self._smooth_level()
        if not self._started:
            return self._begin(level)
        if level is None or self._target is None or self._silence_s > _SILENCE_S:
            return self._correct("no packets: on its last rate")
        error = level - self._target
        if abs(error) > self._resync:
            return self._correct(f"resync: the level was {error:+.1f} frames off", error)
        self._control(error, passed_s)
        self._judge(error, passed_s)
        return self._correct(f"{'locked' if self._locked else 'acquiring'}: level {error:+.3f} frames off")

    def _renumber(self, estimate: ClockEstimate) -> None:
        before, self._map = self._map, estimate
        if before is not None and before.discontinuities != estimate.discontinuities:
            at = estimate.local_ns
            jumped_ns = estimate.reference_at(at) - before.reference_at(at)
            self._sender.renumber(round(jumped_ns * self._rate / NS_PER_S))
            self._renumbered, self._since_renumbered_s = True, 0.0

    def _smooth_level(self) -> float | None:
        # What had arrived, by smoothed arrivals, at the smoothed time at which the newest frame sounds.
        if self._level is None or not self._device.count or not self._sender.count or self._renumbered:
            return None
        since_s = self._device.after_s(self._sender)
        return self._level + since_s * self._rate / (1.0 + self._sender.deviation)

    def _measured(self) -> float:
        return (1.0 + self._device.deviation) / (1.0 + self._sender.deviation) - 1.0

    def _sigma(self) -> float:
        return math.hypot(self._device.sigma, self._sender.sigma)

    def _begin(self, level: float | None) -> Correction:
        # Until arrivals and device are measured nothing sounds, and the ratio may go where it will.
        if self._sigma() < min(INFORMATIVE, self._remembered):
            self._integral = self._measured()
            self._ratio.jump(self._integral)
        if level is None:
            return self._correct("silent: no arrivals known", silent=True)
        if not all(ready(estimator, self._remembered < INFORMATIVE) for estimator in (self._device, self._sender)):
            return self._correct("silent: measuring arrivals and the device", silent=True)
        if self._target is None:
            if level <= self._off:
                return self._correct("silent: nothing has arrived of what the clock asks for", silent=True)
            self._target = level - self._off
        self._started = True
        return self._correct("begins at its place", level - self._target, silent=True)

    def _control(self, error: float, passed_s: float) -> None:
        slope = TRACKING_SLOPE if self._locked else ACQUIRING_SLOPE
        omega = 2.0 * math.pi * self._bandwidth_hz
        off_s = error / self._rate
        # Critically damped: 2 omega and omega squared.
        most = _BRAKE * math.sqrt(2.0 * slope * abs(off_s)) + _LEAST_PROPORTIONAL
        proportional = 2.0 * omega * off_s
        if abs(proportional) > most:
            # What is so large is no error of the rate. The integral would wind up: it is the measured rate for now.
            proportional = math.copysign(most, proportional)
            if self._sigma() < INFORMATIVE:
                self._integral = self._measured()
        wanted = self._integral + proportional
        smoothing_s = _SMOOTHING / omega
        self._ratio.approach(wanted, passed_s, slope, smoothing_s)
        short = wanted - self._ratio.value
        # Else it would wind up while the ratio cannot follow.
        if abs(short) < slope * smoothing_s + _REACHED or short * error < 0.0:
            self._integral = min(max(self._integral + omega * omega * off_s * passed_s, -LIMIT), LIMIT)

    def _judge(self, error: float, passed_s: float) -> None:
        self._average += (error - self._average) * passed_s / _AVERAGE_S
        good = abs(self._average) < _SMALL
        grown = self._good_s + (passed_s if good else -2.0 * passed_s)
        self._good_s = min(max(grown, 0.0), 2.0 * _LOCK_S)  # no more: hours of lock are no reason to keep it
        if self._good_s > _LOCK_S:
            self._locked = True
            self._bandwidth_hz = max(_NARROW_HZ, self._bandwidth_hz * math.exp(-passed_s / _NARROWING_S))
        elif abs(self._average) > _LARGE:
            self._locked = False
            self._bandwidth_hz = min(_WIDE_HZ, self._bandwidth_hz * math.exp(passed_s / _WIDENING_S))

    def _correct(self, reason: str, step: float = 0.0, *, silent: bool = False) -> Correction:
        return Correction(
            ratio_ppb=self._ratio.value * 1e9,
            step_frames=step,
            locked=self._locked,
            reason=reason,
            silent=silent,
            device=published(self._measured(), self._sigma()),
        )
