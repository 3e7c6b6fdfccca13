"""Options of the ``ptp4l`` clock, as a graph writes them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from phasegraph import ClockConfig, Duration

from ..options import LockWithin, UnlockBeyond

EXAMPLE = """\
[clocks.house]
kind = "ptp4l"
"""


class Ptp4lConfig(ClockConfig, frozen=True, kw_only=True):
    """Options of the ``ptp4l`` clock."""

    socket: Annotated[
        str, Meta(description="Path of ptp4l's uds_address, or uds_ro_address; where they usually are if empty.")
    ] = ""
    domain: Annotated[
        int, Meta(ge=0, le=255, description="domainNumber of ptp4l's configuration: it answers to no other.")
    ] = 0
    major_sdo: Annotated[
        int, Meta(ge=0, le=15, description="transportSpecific of ptp4l's configuration: 1 with gPTP.")
    ] = 0
    poll: Annotated[
        Duration,
        Meta(ge=50_000_000, le=10_000_000_000, description="How often it is queried; until lock, four times a second."),
    ] = 1_000_000_000
    device: Annotated[
        str, Meta(description="Clock that ptp4l stamps with in hardware, such as /dev/ptp0; detected if empty.")
    ] = ""
    lock_within: LockWithin = 20_000
    unlock_beyond: UnlockBeyond = 1_000_000
