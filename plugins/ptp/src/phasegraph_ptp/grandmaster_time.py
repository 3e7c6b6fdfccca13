"""The time that a port serves as a master: its source, and what Announces state of it."""

from __future__ import annotations

import msgspec

from phasegraph import Build, ClockEstimate, ClockState, LocalClock
from phasegraph.ieee1588 import format_clock_identity

from .options import PtpConfig
from .protocol import DefaultDS, OrdinaryClock, PortState
from .time_properties import NS_PER_S, TimePropertiesSource

_FOLLOWING = (PortState.UNCALIBRATED, PortState.SLAVE)
_USABLE = (ClockState.LOCKED, ClockState.HOLDOVER)


class GrandmasterTime:
    """The time of the grandmaster that was followed; else of the reference clock; else of the own oscillator, which
    starts at the system's time. Where the first two are lost, the last of it goes on: a grandmaster does not jump.
    """

    def __init__(self, config: PtpConfig, build: Build) -> None:
        """Raises NodeError for a list of leap seconds that cannot be read."""
        self._leap_seconds = config.leap_seconds
        self._reference = build.clock(config.reference) if config.reference is not None else None
        self._source = TimePropertiesSource(config, build)
        self._known: ClockEstimate | None = None

    def start(self, local: LocalClock) -> str | None:
        """The instance starts. Returns the list of leap seconds, if it has expired."""
        self._known = None
        if self._reference is not None:
            return None
        now = local.now_ns()
        real_ns = now + local.realtime_offset_ns()
        tai_ns = real_ns + self._source.utc.at_utc(real_ns // NS_PER_S) * NS_PER_S
        self._known = ClockEstimate(
            local_ns=now,
            reference_ns=tai_ns,
            sigma_ns=0.0,
            bound_ns=0.0,
            state=ClockState.LOCKED,
            timescale="ptp",
        )
        return None if self._source.utc.known(tai_ns // NS_PER_S) else self._leap_seconds or ""

    def serve(self, engine: OrdinaryClock, followed: ClockEstimate, now_ns: int) -> ClockEstimate | None:
        """Give the engine the time to serve, and its properties. Returns that time; None while there is none: before
        the reference is locked."""
        data = engine.data
        if engine.state in _FOLLOWING:
            self._source.learn(data.time_properties, followed)
        served = self._time_at(now_ns, followed, data.default)
        if served is None:
            return None
        engine.serve(served, self._source.properties(served))
        if engine.settings.synchronization_metadata is not None:
            reference = None if self._reference is None else self._reference.estimate().state
            metadata = self._source.changed_metadata(served, reference)
            if metadata is not None:
                engine.reconfigure(msgspec.structs.replace(engine.settings, synchronization_metadata=metadata), now_ns)
        return served

    def _time_at(self, now_ns: int, followed: ClockEstimate, own: DefaultDS) -> ClockEstimate | None:
        if followed.state in _USABLE:
            self._known = followed
        elif self._reference is not None and (reference := self._reference.estimate()).state in _USABLE:
            self._known = reference
        if self._known is None:
            return None
        return msgspec.structs.replace(
            self._known,
            local_ns=now_ns,
            reference_ns=self._known.reference_at(now_ns),
            state=ClockState.LOCKED,
            grandmaster=format_clock_identity(own.clock_identity),
            domain=own.domain,
        )
