"""The control loop of a compensator in plain numbers, without a graph: a device, a clock and a read position."""

from __future__ import annotations

import random

from .._core.clock import ClockEstimate, ClockState
from .._core.compensation import BufferLevel, Compensator, Correction, DeviceTime, FramesArrived, ReadPosition

RATE = 48000
LOCAL_NS = 1_000_000_000_000
REFERENCE_NS = 1_790_000_000_000_000_000
_AHEAD = 480
"""Frames that have arrived beyond the target position."""


class LoopModel:
    """A card that runs ``card_ppm`` fast, and a read position that a compensator steers."""

    def __init__(self, compensator: Compensator, card_ppm: float, *, block: int = 256, noise_ns: float = 100.0) -> None:
        self.compensator = compensator
        self.corrections: list[Correction] = []
        self.error_frames = 0.0
        self._card = 1.0 + card_ppm * 1e-6
        self._block = block
        self._noise = random.Random(1)
        self._noise_ns = noise_ns
        self._frame = 0
        self._position = 0.0
        self._observed_ns = -1
        self._late_ns = 0.0
        self._lost_frames = 0
        self.state = ClockState.LOCKED

    def run(self, seconds: float) -> None:
        """Play for a time, block by block."""
        stop = self._frame + seconds * RATE
        while self._frame < stop:
            self._play()

    def silence(self, seconds: float) -> None:
        """Let time pass without observation, decision or playing; then continue at the target position."""
        self._frame += round(seconds * RATE)
        self._position = self._since_ns() * 1e-9 * RATE

    def lose(self, seconds: float, counted_frames: int) -> None:
        """The card plays nothing for a time (an xrun), which is counted as a number of frames, rightly or not."""
        self._frame += counted_frames
        self._position += counted_frames
        self._late_ns += (seconds - counted_frames / RATE) * 1e9
        self._lost_frames = counted_frames

    def _since_ns(self) -> float:
        return self._frame / RATE / self._card * 1e9 + self._late_ns

    def _play(self) -> None:
        since = self._since_ns()
        local_ns = LOCAL_NS + round(since)
        if since - self._observed_ns > 125e6:
            self._observed_ns = round(since)
            noise = round(self._noise.gauss(0.0, self._noise_ns))
            self.compensator.observe(
                ClockEstimate(
                    local_ns=local_ns,
                    reference_ns=REFERENCE_NS + round(since) + noise,
                    sigma_ns=self._noise_ns,
                    bound_ns=6 * self._noise_ns,
                    state=self.state,
                    timescale="ptp",
                )
            )
        target = since * 1e-9 * RATE
        self.error_frames = target - self._position
        arrived = (target + _AHEAD) // 48 * 48
        arrived_ns = LOCAL_NS + round((arrived - _AHEAD) / RATE * 1e9)
        self.compensator.observe(FramesArrived(arrived_ns, int(arrived)))
        self.compensator.observe(DeviceTime(local_ns, self._frame, self._lost_frames))
        self._lost_frames = 0
        self.compensator.observe(BufferLevel(local_ns, arrived - self._position))
        self.compensator.observe(ReadPosition(local_ns, self._frame, self.error_frames))
        correction = self.compensator.decide(local_ns)
        self.corrections.append(correction)
        self._position += correction.step_frames + self._block * (1.0 + correction.ratio_ppb * 1e-9)
        self._frame += self._block
