"""What the strategies that measure a device know of it: the base of `DeviceObserver` and `PhaseObserver`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from phasegraph import ClockEstimate, DeviceRate, DeviceTime, Observation, ReadPosition

from .rate_estimator import RateEstimator


class CrossingObserver(ABC):
    """Estimates the device's rate in reference time, and the error of the read position."""

    def __init__(self, rate: int, device: RateEstimator) -> None:
        """``rate`` in frames per second; ``device`` estimates the rate of the device."""
        self.error: float | None = None
        """Frames that the read position is behind its target, by the filtered time of its block; None where that is not
        known."""
        self.trusted = False
        """Whether the time of the clock is good enough to play by."""
        self._device = device
        self._rate = rate
        self._passed_s = 0.0
        self._remembered: DeviceRate | None = None
        self._on: dict[type, Callable[[Any], None]] = {
            ClockEstimate: self._on_clock_estimate,
            DeviceTime: self._on_device_time,
            ReadPosition: self._on_read_position,
            DeviceRate: self._on_remembered_rate,
        }

    @property
    @abstractmethod
    def deviation(self) -> float:
        """Reference seconds per nominal second of the device, less one."""

    @property
    @abstractmethod
    def sigma(self) -> float:
        """One standard deviation of `deviation`."""

    @property
    @abstractmethod
    def sigma_s(self) -> float:
        """One standard deviation of the filtered time of the newest frame, in seconds."""

    @property
    def span_s(self) -> float:
        """Nominal time since the first stamp."""
        return self._device.span_s

    @property
    def since_loss_s(self) -> float:
        """Nominal time since frames were lost."""
        return self._device.since_loss_s

    def observe(self, observation: Observation) -> None:
        """Use clock estimates, device times, read positions and remembered rates; ignore the rest."""
        handler = self._on.get(type(observation))
        if handler is not None:
            handler(observation)

    def elapsed_s(self) -> float:
        """Nominal time that the device has counted since the last call."""
        passed, self._passed_s = self._passed_s, 0.0
        return passed

    @abstractmethod
    def _on_clock_estimate(self, estimate: ClockEstimate) -> None: ...

    @abstractmethod
    def _on_device_time(self, at: DeviceTime) -> None: ...

    @abstractmethod
    def _on_read_position(self, at: ReadPosition) -> None: ...

    @abstractmethod
    def _on_remembered_rate(self, remembered: DeviceRate) -> None: ...
