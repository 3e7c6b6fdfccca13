"""``buffer-feedback``: keeps the buffer's level constant, without a reference clock.

Packets of a millisecond and callbacks of five make the raw level a sawtooth, whose beat is slow enough to pass any
useful filter. The level is therefore computed for one instant: arrivals and device times are each smoothed by a
`RateEstimator` on the local counter, and the level at the time at which a frame sounds follows from the two.

A PI loop holds that level. With the error ``e`` in seconds and ``omega`` the loop's bandwidth in radians per second::

    proportional = 2 omega e        integral' = omega^2 e        ratio = integral + proportional

which is critically damped. The proportional part is limited to what the slope limit can brake; while it is limited,
the integral is the measured rate and cannot wind up. After lock the bandwidth narrows.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
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

from .rate_estimator import LEAST_KNOWN, RateEstimator, deviation_of, device_rate_of
from .ratio import ACQUIRING_SLOPE, INFORMATIVE, LIMIT, LONGEST_STEP_S, Ratio, can_start


class BufferFeedbackGains(msgspec.Struct, frozen=True):
    """Constants of `BufferFeedback`, measured as docs/decisions/0013 says."""

    wander: float = 5e-9
    """Random walk of the rates of device and sender, per root of a second."""
    tracking_slope: float = 4e-6
    """Largest change of the ratio per second once it is locked."""
    wide_hz: float = 0.1
    """Bandwidth of the loop before lock."""
    narrow_hz: float = 0.012
    """Bandwidth of the loop long after lock."""
    narrowing_s: float = 6.0
    """Time constant from the wide to the narrow bandwidth, after lock."""
    widening_s: float = 2.0
    """Time constant back to the wide bandwidth, after lock is lost."""
    brake: float = 0.7
    """Share of the fastest approach from which the slope limit can still brake."""
    least_proportional: float = 2e-6
    """Proportional part that is always allowed."""
    average_s: float = 2.0
    """Time constant of the mean error that lock depends on."""
    small: float = 0.5
    """Frames of mean error below which the strategy locks."""
    large: float = 4.0
    """Frames of mean error beyond which it loses lock."""
    lock_s: float = 4.0
    """Time for which the mean error has to be small."""
    smoothing: float = 0.1
    """Time constant of the ratio, as a share of the loop's: the noise of a 10 kHz tone falls from -133 to -157 dB."""
    reached: float = 1e-7
    """Distance of the ratio from its goal within which the integral goes on."""
    stale_s: float = 0.05
    """Time after a renumbering in which packets with old numbers may still arrive."""
    silence_s: float = 0.25
    """Time without packets after which the ratio stays as it is."""


class BufferFeedbackConfig(CompensatorConfig, frozen=True, kw_only=True):
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
    """Keeps the smoothed level at its target."""

    gains = BufferFeedbackGains()

    def __init__(self, config: BufferFeedbackConfig, rate: int) -> None:
        """``rate`` in frames per second."""
        self._rate = rate
        self._resync = frames_in(config.resync_after, rate)
        self._target = None if config.latency is None else float(frames_in(config.latency, rate))
        self._device = RateEstimator(rate, self.gains.wander)
        self._sender = RateEstimator(rate, self.gains.wander)
        self._map: ClockEstimate | None = None
        self._level: float | None = None
        self._off = 0.0
        self._passed_s = self._silence_s = 0.0
        self._renumbered, self._since_renumbered_s = False, math.inf
        self._remembered = math.inf  # sigma of the rate that an earlier run measured
        self._ratio = Ratio()
        self._integral = 0.0
        self._bandwidth_hz = self.gains.wide_hz
        self._average = self._good_s = 0.0
        self._started = self._locked = False

    def observe(self, observation: Observation) -> None:
        """See `Compensator.observe`. Estimates of the clock are used for renumberings alone."""
        if isinstance(observation, FramesArrived):
            self._silence_s = 0.0
            if self._since_renumbered_s >= self.gains.stale_s:
                self._sender.add_frame_time(observation.frame, observation.local_ns)
                self._renumbered = False
        elif isinstance(observation, DeviceTime):
            self._device.add_frame_time(observation.frame, observation.local_ns)
            self._passed_s += self._device.interval_s
            self._silence_s += self._device.interval_s
            self._since_renumbered_s += self._device.interval_s
        elif isinstance(observation, BufferLevel):
            self._level = observation.frames if math.isfinite(observation.frames) else None
        elif isinstance(observation, ReadPosition):
            off = observation.error_frames + self._device.residual_s(observation.local_ns) * self._rate
            self._off = off if math.isfinite(off) else 0.0
        elif isinstance(observation, ClockEstimate):
            self._on_clock_estimate(observation)
        elif isinstance(observation, DeviceRate):
            self._remembered = max(observation.sigma_ppb * 1e-9, LEAST_KNOWN)
            self._integral = deviation_of(observation)
            self._ratio.jump(self._integral)

    def decide(self, local_ns: int) -> Correction:
        """See `Compensator.decide`."""
        passed_s, self._passed_s = min(self._passed_s, LONGEST_STEP_S), 0.0
        level = self._smooth_level()
        if not self._started:
            return self._start_when_measured(level)
        if level is None or self._target is None or self._silence_s > self.gains.silence_s:
            return self._correction("no packets: on its last rate")
        error = level - self._target
        if abs(error) > self._resync:
            return self._correction(f"resync: the level was {error:+.1f} frames off", error)
        self._update_ratio(error, passed_s)
        self._update_lock(error, passed_s)
        return self._correction(f"{'locked' if self._locked else 'acquiring'}: level {error:+.3f} frames off")

    def _on_clock_estimate(self, estimate: ClockEstimate) -> None:
        before, self._map = self._map, estimate
        if before is not None and before.discontinuities != estimate.discontinuities:
            at = estimate.local_ns
            jumped_ns = estimate.reference_at(at) - before.reference_at(at)
            self._sender.renumber_frames(round(jumped_ns * self._rate / NS_PER_S))
            self._renumbered, self._since_renumbered_s = True, 0.0

    def _smooth_level(self) -> float | None:
        # Frames that had arrived, by smoothed arrivals, at the smoothed time at which the newest frame sounds.
        if self._level is None or not self._device.count or not self._sender.count or self._renumbered:
            return None
        since_s = self._device.after_s(self._sender)
        return self._level + since_s * self._rate / (1.0 + self._sender.deviation)

    def _measured_deviation(self) -> float:
        return (1.0 + self._device.deviation) / (1.0 + self._sender.deviation) - 1.0

    def _measured_sigma(self) -> float:
        return math.hypot(self._device.sigma, self._sender.sigma)

    def _start_when_measured(self, level: float | None) -> Correction:
        # The output is silent until arrivals and device are measured, so the ratio may jump.
        if self._measured_sigma() < min(INFORMATIVE, self._remembered):
            self._integral = self._measured_deviation()
            self._ratio.jump(self._integral)
        if level is None:
            return self._correction("silent: no arrivals known", silent=True)
        if not all(can_start(estimator, self._remembered < INFORMATIVE) for estimator in (self._device, self._sender)):
            return self._correction("silent: measuring arrivals and the device", silent=True)
        if self._target is None:
            if level <= self._off:
                return self._correction("silent: the frames that are due have not arrived", silent=True)
            self._target = level - self._off
        self._started = True
        return self._correction("starts at its place", level - self._target, silent=True)

    def _update_ratio(self, error: float, passed_s: float) -> None:
        gains = self.gains
        slope = self.gains.tracking_slope if self._locked else ACQUIRING_SLOPE
        omega = 2.0 * math.pi * self._bandwidth_hz
        off_s = error / self._rate
        # Critically damped: 2 omega and omega squared.
        most = gains.brake * math.sqrt(2.0 * slope * abs(off_s)) + gains.least_proportional
        proportional = 2.0 * omega * off_s
        if abs(proportional) > most:
            # The rate alone does not make so large an error. The integral would wind up; it is the measured rate now.
            proportional = math.copysign(most, proportional)
            if self._measured_sigma() < INFORMATIVE:
                self._integral = self._measured_deviation()
        wanted = self._integral + proportional
        smoothing_s = gains.smoothing / omega
        self._ratio.approach(wanted, passed_s, slope, smoothing_s)
        short = wanted - self._ratio.value
        # Otherwise the integral would wind up while the ratio cannot follow.
        if abs(short) < slope * smoothing_s + gains.reached or short * error < 0.0:
            self._integral = min(max(self._integral + omega * omega * off_s * passed_s, -LIMIT), LIMIT)

    def _update_lock(self, error: float, passed_s: float) -> None:
        gains = self.gains
        self._average += (error - self._average) * passed_s / gains.average_s
        good = abs(self._average) < gains.small
        grown = self._good_s + (passed_s if good else -2.0 * passed_s)
        self._good_s = min(max(grown, 0.0), 2.0 * gains.lock_s)  # capped: hours of lock must not delay its loss
        if self._good_s > gains.lock_s:
            self._locked = True
            self._bandwidth_hz = max(gains.narrow_hz, self._bandwidth_hz * math.exp(-passed_s / gains.narrowing_s))
        elif abs(self._average) > gains.large:
            self._locked = False
            self._bandwidth_hz = min(gains.wide_hz, self._bandwidth_hz * math.exp(passed_s / gains.widening_s))

    def _correction(self, reason: str, step: float = 0.0, *, silent: bool = False) -> Correction:
        return Correction(
            ratio_ppb=self._ratio.value * 1e9,
            step_frames=step,
            locked=self._locked,
            reason=reason,
            silent=silent,
            device=device_rate_of(self._measured_deviation(), self._measured_sigma()),
        )
