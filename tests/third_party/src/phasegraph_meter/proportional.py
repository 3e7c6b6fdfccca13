"""The compensator: observations in, a ratio out. It reads no clock."""

from typing import Annotated

from msgspec import Meta

from phasegraph import CompensatorConfig, CompensatorKind, Correction, Duration, ReadPosition

LIMIT_PPB = 500_000.0


class ProportionalConfig(CompensatorConfig, frozen=True, kw_only=True):
    time: Annotated[Duration, Meta(description="Time constant of the correction.", ge=10_000_000)] = 200_000_000


class Proportional:
    def __init__(self, config, rate):
        self._gain = 1e9 * 1e9 / (config.time * rate)
        self._error = 0.0

    def observe(self, observation):
        if isinstance(observation, ReadPosition):
            self._error = observation.error_frames

    def decide(self, local_ns):
        ratio_ppb = max(-LIMIT_PPB, min(LIMIT_PPB, self._error * self._gain))
        reason = f"{self._error:+.3f} frames from where it should be"
        return Correction(ratio_ppb=ratio_ppb, locked=abs(self._error) < 1.0, reason=reason)


KIND = CompensatorKind(
    kind="proportional",
    summary="Corrects the rate in proportion to the error of the read position.",
    config=ProportionalConfig,
    factory=Proportional,
    example='[compensators.align]\nkind = "proportional"\ntime = "100ms"\n',
)
