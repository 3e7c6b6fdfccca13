"""What arrives of PTP on an interface: values alone. `ptp_listener` receives it."""

from __future__ import annotations

import msgspec


class AnnouncedClock(msgspec.Struct, frozen=True, order=True):
    """A clock that announces itself."""

    domain: int
    grandmaster: str
    clock_class: int
    priority1: int
    sender: str
    """IP address."""
    gptp: bool
    """Whether it is of IEEE 802.1AS (majorSdoId 1), which a PTP clock does not follow."""


class PtpTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """What arrived on an interface."""

    interface: str
    listened_s: float
    clocks: tuple[AnnouncedClock, ...] = ()
    version_1: int = 0
    """Messages of PTP version 1, which no clock of version 2 understands."""
    refusal: str = ""
    """Why nothing could be received; empty where it could."""
