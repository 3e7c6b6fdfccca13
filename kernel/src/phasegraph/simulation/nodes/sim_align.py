"""The simplest compensator: kind ``sim-align``, for tests of sinks and sources without other plugins."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ..._core.compensation import Correction, Observation, ReadPosition
from ..._core.config import CompensatorConfig, Ref
from ..._core.role import Role
from ..._core.units import Duration

_LIMIT_PPB = 500_000.0


class SimAlignConfig(CompensatorConfig, frozen=True, kw_only=True):
    """Options of the ``sim-align`` compensator."""

    resampler: Annotated[
        str, Ref(Role.RESAMPLER), Meta(description="Kind of the resampler that the compensator steers.")
    ] = "sim-linear"
    time: Annotated[Duration, Meta(description="Time constant with which an error decays.", ge=10_000_000)] = (
        200_000_000
    )


class SimAlign:
    """Steers in proportion to the error of the read position."""

    def __init__(self, config: SimAlignConfig, rate: int) -> None:
        self._gain_ppb = 1e18 / config.time / rate
        self._error = 0.0

    def observe(self, observation: Observation) -> None:
        """See `Compensator.observe`."""
        if isinstance(observation, ReadPosition):
            self._error = observation.error_frames

    def decide(self, local_ns: int) -> Correction:
        """See `Compensator.decide`."""
        ratio_ppb = min(_LIMIT_PPB, max(-_LIMIT_PPB, self._error * self._gain_ppb))
        return Correction(ratio_ppb=ratio_ppb, locked=abs(self._error) < 1.0, reason="in proportion to the error")
