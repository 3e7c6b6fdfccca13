"""Controllers of other systems, written from their equations and constants, to run where our strategies run.

Each steers by the level of its buffer. What they are granted: the card's own stamps where the original has the time at
which its callback happened to run, and a level to hold that is the first one seen, so that none has to find its place.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from phasegraph import BufferLevel, ClockEstimate, Correction, DeviceTime, FramesArrived, Observation


class LevelController(ABC):
    """What all have in common: they are shown arrivals, stamps and levels, and answer with a ratio."""

    def __init__(self, rate: int) -> None:
        """``rate`` in frames per second."""
        self.rate = rate
        self.arrivals: list[tuple[int, float]] = []
        """(frames, seconds) of the packets since the last decision."""
        self.newest: tuple[int, float] | None = None
        self.seconds = 0.0
        """When the block sounds."""
        self.frames = 0
        """Frames in the block before."""
        self.level = 0.0
        """Frames between what had arrived and what is read now."""
        self.steered_ppb = 0.0
        """How fast the reference clock runs against this computer's."""
        self._origin: tuple[int, int] | None = None
        self._frame = 0

    def observe(self, observation: Observation) -> None:
        """See `Compensator.observe`."""
        if isinstance(observation, FramesArrived):
            self._origin = self._origin or (observation.frame, observation.local_ns)
            frame, local_ns = self._origin
            self.newest = (observation.frame - frame, (observation.local_ns - local_ns) * 1e-9)
            self.arrivals.append(self.newest)
        elif isinstance(observation, DeviceTime) and self._origin is not None:
            self.seconds = (observation.local_ns - self._origin[1]) * 1e-9
            self.frames, self._frame = observation.frame - self._frame, observation.frame
        elif isinstance(observation, BufferLevel):
            self.level = observation.frames
        elif isinstance(observation, ClockEstimate):
            self.steered_ppb = observation.rate_ppb

    def decide(self, local_ns: int) -> Correction:
        """See `Compensator.decide`."""
        deviation = self.steer() if self.newest is not None and self.frames else 0.0
        self.arrivals.clear()
        return Correction(ratio_ppb=deviation * 1e9, reason="a baseline")

    @abstractmethod
    def steer(self) -> float:
        """Input frames per output frame, less one."""

    def smooth_level(self) -> float:
        """The level when the block sounds: packets are counted on from the newest by their age."""
        assert self.newest is not None
        return self.level + (self.seconds - self.newest[1]) * self.rate


class ThirdOrder:
    """The loop filter of zita-ajbridge and of PipeWire: an integrator behind two poles at 20 times the bandwidth."""

    def __init__(self, bandwidth_hz: float, period: int, rate: int, damping: float) -> None:
        """``damping`` is 2 for critical damping (zita), 1.5 in PipeWire."""
        self._states = [0.0, 0.0, 0.0]
        self._damping, self._period, self._rate = damping, period, rate
        self.narrow(bandwidth_hz)

    def narrow(self, bandwidth_hz: float) -> None:
        """Set the bandwidth."""
        w = 2.0 * math.pi * bandwidth_hz * self._period / self._rate
        self._gains = (1.0 - math.exp(-20.0 * w), w * self._damping / self._period, w / self._damping)

    def update(self, error: float) -> float:
        """The correction for an error in frames."""
        one, two, three = self._states
        low, proportional, integral = self._gains
        one += low * (proportional * error - one)
        two += low * (one - two)
        three += integral * two
        self._states = [one, two, three]
        return two + three


class Zita(LevelController):
    """zita-ajbridge and -njbridge: arrivals and cycles each through a DLL, the error between them through the loop."""

    def __init__(self, rate: int, bandwidth_hz: float = 0.5) -> None:
        super().__init__(rate)
        self._bandwidth_hz = bandwidth_hz
        self._loop: ThirdOrder | None = None
        self._packet = (0, 0.0)
        self._lasts_s = self._cycle_s = self._rest_s = self._passed_s = 0.0
        self._length = self._target = 0.0
        self._narrow = False

    def steer(self) -> float:
        cycle_s = self._cycle()
        self._follow()
        frames, seconds = self._packet
        if not self._lasts_s:
            return 0.0
        read = self.newest[0] - self.level if self.newest else 0.0
        level = frames + (cycle_s - seconds) / self._lasts_s * self._length - read
        if self._loop is None:
            self._loop = ThirdOrder(self._bandwidth_hz, self.frames, self.rate, 2.0)
            self._target = level
        self._passed_s += self.frames / self.rate
        if not self._narrow and self._passed_s >= 4.0:
            self._narrow = True
            self._loop.narrow(0.05)
        return min(0.05, max(-0.05, self._loop.update(level - self._target)))

    def _cycle(self) -> float:
        # JACK's own DLL over its cycles: 0.125 Hz.
        period_s = self.frames / self.rate
        w = 2.0 * math.pi * 0.125 * period_s
        if not self._cycle_s:
            self._cycle_s = self.seconds
        now = self._cycle_s
        error = self.seconds - now
        self._cycle_s += period_s + math.sqrt(2.0) * w * error + self._rest_s
        self._rest_s += w * w * error
        return now

    def _follow(self) -> None:
        for frames, seconds in self.arrivals:
            count = frames - self._packet[0]
            if not self._lasts_s:
                self._lasts_s = count / self.rate if self._length else 0.0
                self._length, self._packet = max(count, 1), (frames, seconds)
                continue
            # A packet that is lost makes the next count for as many as came.
            error = seconds - self._packet[1] - self._lasts_s * count / self._length
            error = min(self._lasts_s, max(-self._lasts_s, error))
            w = 2.0 * math.pi * 0.05 * self._lasts_s
            expected = self._packet[1] + self._lasts_s * count / self._length
            self._packet = (frames, expected + 3.0 * w * error)
            self._lasts_s += w * w * error


class PipeWire(LevelController):
    """module-rtp at constant latency; with ``period`` as large as the block, the play loop of its AVB module."""

    def __init__(self, rate: int, period: int = 128) -> None:
        super().__init__(rate)
        self._loop = ThirdOrder(0.016, period, rate, 1.5)
        self._target: float | None = None

    def steer(self) -> float:
        level = self.smooth_level()
        if self._target is None:
            self._target = level
        most = 0.002 * self.rate
        return self._loop.update(min(most, max(-most, level - self._target)))


class Roc(LevelController):
    """roc-toolkit: the level in whole frames every 5 ms, decimated by 10 once or twice, and a PI."""

    def __init__(self, rate: int, *, gradual: bool = True) -> None:
        super().__init__(rate)
        self._stages = 2 if gradual else 1
        self._integral_gain = 5e-9 if gradual else 1e-10
        taps = np.hanning(258)[1:-1]  # its own are another low-pass of this length
        self._taps = taps / taps.sum()
        self._target: int | None = None
        self._passed_s = 0.0
        self._sum = self._deviation = 0.0

    def steer(self) -> float:
        level = max(0, int(self.level))
        if self._target is None:
            self._target = level
            self._queues = [np.full(len(self._taps), float(level)) for _ in range(self._stages)]
            self._counts = [0] * self._stages
        self._passed_s += self.frames / self.rate
        while self._passed_s >= 0.005:
            self._passed_s -= 0.005
            self._decimate(0, float(level))
        return min(0.005, max(-0.005, self._deviation))

    def _decimate(self, stage: int, value: float) -> None:
        if stage == self._stages:
            assert self._target is not None
            error = value - self._target
            self._sum += error
            self._deviation = 1e-6 * error + self._integral_gain * self._sum
            return
        queue = self._queues[stage]
        queue[1:] = queue[:-1].copy()
        queue[0] = value
        self._counts[stage] += 1
        if self._counts[stage] % 10 == 0:
            self._decimate(stage + 1, float(self._taps @ queue))


class RawLevel(LevelController):
    """BassAES67: a PI on the level as it is at each callback, within 20 ppm of how fast the computer's clock runs."""

    def __init__(self, rate: int, target_s: float = 0.02) -> None:
        super().__init__(rate)
        self._scale = target_s * rate
        self._target: float | None = None
        self._sum = 0.0

    def steer(self) -> float:
        if self._target is None:
            self._target = self.level
        error = (self.level - self._target) / self._scale
        most = 20e-6
        self._sum = min(most / 5e-5, max(-most / 5e-5, self._sum + error))
        trim = 1e-4 * error + 5e-5 * self._sum
        return self.steered_ppb * 1e-9 + min(most, max(-most, trim))
