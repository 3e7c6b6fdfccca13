"""What a grandmaster announces beside the time: the UTC offset, leap seconds, and the metadata of SMPTE ST 2059-2."""

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


class TimePropertiesSource:
    """UTC offset by a list of leap seconds, where there is one; else as the last grandmaster announced it; else by the
    option ``utc_offset``."""

    def __init__(self, config: PtpConfig, build: Build) -> None:
        """Raises NodeError for a file that is no such list."""
        self._config = config
        self._listed = config.leap_seconds is not None
        self._zone = ZoneInfo(config.time_zone)
        self._last_key: tuple[object, ...] | None = None
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
        """Adopt what the followed grandmaster announces: it stays in force when this clock takes its place."""
        known = now.state is not ClockState.UNLOCKED and properties.ptp_timescale and properties.utc_offset_valid
        if known and not self._listed:
            self.utc = UtcOffset.announced(properties, now.reference_ns // NS_PER_S)

    def properties(self, served: ClockEstimate) -> TimeProperties:
        """The time properties in Announces of a served time."""
        if served.timescale != "ptp":
            return TimeProperties(utc_offset_s=self._config.utc_offset, ptp_timescale=False)
        return self.utc.properties(served.reference_ns // NS_PER_S)

    def changed_metadata(
        self, served: ClockEstimate, reference: ClockState | None
    ) -> SmpteSynchronizationMetadata | None:
        """The metadata of SMPTE ST 2059-2; None while they are unchanged."""
        if served.timescale != "ptp":
            return None
        tai_s = served.reference_ns // NS_PER_S
        offset_s = self.utc.offset_at(tai_s)
        key = (self.utc, reference, offset_s, (tai_s - offset_s) // _HALF_HOUR_S)
        if key == self._last_key:
            return None
        self._last_key = key
        return metadata(tai_s, self.utc, self._zone, self._config.frame_rate, reference)
