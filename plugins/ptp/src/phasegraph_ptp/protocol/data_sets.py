"""Data sets of a PTP instance (IEEE 1588-2019, 8.2), as management reads them."""

from __future__ import annotations

import enum

import msgspec

from phasegraph.ieee1588 import Announce, ComparedDataSet, Flag, MalformedMessage, PathTrace, PortIdentity, TlvType

from .settings import PortRole, Settings


class PortState(enum.IntEnum):
    """portState, by the numbers of 8.2.15.3.1."""

    INITIALIZING = 1
    FAULTY = 2
    DISABLED = 3
    LISTENING = 4
    PRE_MASTER = 5
    MASTER = 6
    PASSIVE = 7
    UNCALIBRATED = 8
    SLAVE = 9


class ClockQuality(msgspec.Struct, frozen=True, gc=False):
    """5.3.7."""

    clock_class: int
    accuracy: int
    variance: int


_TIME_FLAGS = {
    "utc_offset_valid": Flag.UTC_OFFSET_VALID,
    "leap59": Flag.LEAP_59,
    "leap61": Flag.LEAP_61,
    "time_traceable": Flag.TIME_TRACEABLE,
    "frequency_traceable": Flag.FREQUENCY_TRACEABLE,
    "ptp_timescale": Flag.PTP_TIMESCALE,
}


class TimeProperties(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """timePropertiesDS (8.2.4): what the grandmaster's time is."""

    utc_offset_s: int = 37
    """TAI less UTC."""
    utc_offset_valid: bool = False
    leap59: bool = False
    """The last minute of this UTC day has 59 seconds."""
    leap61: bool = False
    time_traceable: bool = False
    frequency_traceable: bool = False
    ptp_timescale: bool = True
    """TAI since 1970; False: an epoch of the grandmaster's own (ARB)."""
    time_source: int = 0xA0

    @classmethod
    def from_announce(cls, announce: Announce) -> TimeProperties:
        """As an Announce states them."""
        return cls(
            utc_offset_s=announce.utc_offset_s,
            time_source=announce.time_source,
            **{name: bool(announce.flags & flag) for name, flag in _TIME_FLAGS.items()},
        )

    @property
    def flags(self) -> int:
        """flagField of an Announce with these properties."""
        return sum(flag for name, flag in _TIME_FLAGS.items() if getattr(self, name))


class DefaultDS(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """defaultDS (8.2.1)."""

    clock_identity: int
    quality: ClockQuality
    priority1: int
    priority2: int
    domain: int
    sdo: int
    slave_only: bool
    two_step: bool = True
    number_ports: int = 1


class CurrentDS(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """currentDS (8.2.2), and when the last Sync of it came, for TIME_STATUS_NP."""

    steps_removed: int = 0
    offset_from_master_ns: float = 0.0
    """By the last Sync, against the estimate that was served; zero without one."""
    mean_delay_ns: float = 0.0
    """Between the port and its master (E2E) or its neighbour (P2P); zero while unknown."""
    ingress_ns: int = 0
    """Arrival of the last Sync, in local time; zero without one."""


class ParentDS(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """parentDS (8.2.3): the master that is followed, or ourselves. No statistics are kept of it."""

    port: PortIdentity
    address: str
    """Where its messages come from; empty for ourselves."""
    grandmaster: int
    grandmaster_quality: ClockQuality
    grandmaster_priority1: int
    grandmaster_priority2: int


class PortDS(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """portDS (8.2.15)."""

    port: PortIdentity
    state: PortState
    settings: Settings
    """Intervals, versions and the delay mechanism."""
    mean_link_delay_ns: float
    neighbor_rate_ratio: float = 1.0
    """The neighbour's rate against ours (P2P); 1 while unknown."""


class DataSets(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All of them, at one moment."""

    default: DefaultDS
    current: CurrentDS
    parent: ParentDS
    time_properties: TimeProperties
    port: PortDS
    path_trace: tuple[int, ...] = ()
    """pathTraceDS (16.2.2.1): the clocks from the grandmaster to us; empty where the master sends none."""

    @property
    def grandmaster_present(self) -> bool:
        """Whether another clock's time is followed (gmPresent of TIME_STATUS_NP)."""
        return self.parent.port.clock != self.default.clock_identity


def default_ds(settings: Settings, identity: PortIdentity) -> DefaultDS:
    """defaultDS of an instance; one that is never a master has class 255 (9.2.2.1)."""
    follower = settings.role is PortRole.FOLLOWER
    return DefaultDS(
        clock_identity=identity.clock,
        quality=ClockQuality(
            255 if follower else settings.clock_class, settings.clock_accuracy, settings.clock_variance
        ),
        priority1=settings.priority1,
        priority2=settings.priority2,
        domain=settings.domain,
        sdo=settings.sdo,
        slave_only=follower,
    )


def own_data_set(default: DefaultDS) -> ComparedDataSet:
    """D0 of the comparison (9.3.4, table 30)."""
    ourselves = PortIdentity(default.clock_identity, 0)
    return ComparedDataSet(
        priority1=default.priority1,
        clock_class=default.quality.clock_class,
        clock_accuracy=default.quality.accuracy,
        clock_variance=default.quality.variance,
        priority2=default.priority2,
        grandmaster=default.clock_identity,
        steps_removed=0,
        sender=ourselves,
        receiver=ourselves,
    )


def own_parent(default: DefaultDS) -> ParentDS:
    """parentDS of an instance that follows no master (table 31)."""
    return ParentDS(
        port=PortIdentity(default.clock_identity, 0),
        address="",
        grandmaster=default.clock_identity,
        grandmaster_quality=default.quality,
        grandmaster_priority1=default.priority1,
        grandmaster_priority2=default.priority2,
    )


def parent_of(announce: Announce, address: str) -> ParentDS:
    """parentDS of an instance that follows the sender of an Announce (table 33)."""
    return ParentDS(
        port=announce.source,
        address=address,
        grandmaster=announce.grandmaster,
        grandmaster_quality=ClockQuality(announce.clock_class, announce.clock_accuracy, announce.clock_variance),
        grandmaster_priority1=announce.priority1,
        grandmaster_priority2=announce.priority2,
    )


def path_trace(announce: Announce) -> tuple[int, ...]:
    """The clocks that an Announce has passed (16.2), the grandmaster first; empty where it has no path trace."""
    for tlv in announce.tlvs:
        if tlv.type == TlvType.PATH_TRACE:
            try:
                return PathTrace.from_tlv(tlv).clocks
            except MalformedMessage:
                break
    return ()
