"""What a clock tells besides the time: how far UTC is from it, leap seconds, and what SMPTE ST 2059-2 wants to know."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from phasegraph import Build, ClockEstimate, ClockState, NodeError
from phasegraph.ieee1588 import SmpteSynchronizationMetadata

from .options import PtpConfig
from .protocol import TimeProperties
from .protocol.utc_offset import UtcOffset
from .smpte import metadata

NS_PER_S = 1_000_000_000
_HALF_HOUR_S = 1800
"""Local time jumps when one begins."""


class Telling:
    """By a list of leap seconds, where there is one; else by what the last grandmaster said; else by `utc_offset`."""

    def __init__(self, config: PtpConfig, build: Build) -> None:
        """Raises NodeError for a list that is none."""
        self._config = config
        self._listed = config.leap_seconds is not None
        self._zone = ZoneInfo(config.time_zone)
        self._told: tuple[object, ...] | None = None
        try:
            self.utc = (
                UtcOffset.constant(config.utc_offset)
                if config.leap_seconds is None
                else UtcOffset.listed(build.read_text(config.leap_seconds))
            )
        except ValueError as error:
            hint = "leap-seconds.list of IERS, as in /usr/share/zoneinfo"
            raise NodeError(str(error), hint, option="leap-seconds") from error

    def learn(self, properties: TimeProperties, now: ClockEstimate) -> None:
        """What the grandmaster says that is followed: it goes on when we take its place."""
        known = now.state is not ClockState.UNLOCKED and properties.ptp_timescale and properties.utc_offset_valid
        if known and not self._listed:
            self.utc = UtcOffset.announced(properties, now.reference_ns // NS_PER_S)

    def properties(self, served: ClockEstimate) -> TimeProperties:
        """What Announces say of a time."""
        if served.timescale != "ptp":
            return TimeProperties(utc_offset_s=self._config.utc_offset, ptp_timescale=False)
        return self.utc.properties(served.reference_ns // NS_PER_S)

    def metadata(self, served: ClockEstimate, reference: ClockState | None) -> SmpteSynchronizationMetadata | None:
        """What a grandmaster of SMPTE ST 2059-2 says; None while that is still what it was."""
        if served.timescale != "ptp":
            return None
        tai_s = served.reference_ns // NS_PER_S
        offset_s = self.utc.at(tai_s)
        told = (self.utc, reference, offset_s, (tai_s - offset_s) // _HALF_HOUR_S)
        if told == self._told:
            return None
        self._told = told
        return metadata(tai_s, self.utc, self._zone, self._config.frame_rate, reference)
