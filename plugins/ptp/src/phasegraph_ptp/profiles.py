"""PTP profiles: presets and ranges (IEEE 1588-2019, clause 20.3 and annex I).

A profile sets how *we* send. A follower never insists on it: it takes the intervals of its grandmaster from the
headers that it receives.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ProfileName = Literal["aes67", "aes-r16", "st2059-2", "default", "enterprise"]


class Preset(msgspec.Struct, frozen=True):
    """One attribute of a profile: its default and the least and greatest value that the profile allows."""

    default: int
    least: int
    most: int


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of a profile. Intervals are base-2 logarithms of seconds: -3 is eight a second."""

    title: str
    domain: Preset = Preset(0, 0, 127)
    priority1: Preset = Preset(128, 0, 255)
    priority2: Preset = Preset(128, 0, 255)
    log_announce_interval: Preset
    announce_receipt_timeout: Preset = Preset(3, 2, 10)
    log_sync_interval: Preset
    log_min_delay_req_interval: Preset
    log_min_pdelay_req_interval: Preset = Preset(0, -4, 5)
    unicast: Literal["off", "hybrid"] = "off"
    """Where a follower's Delay_Req goes."""
    synchronization_metadata: bool = False
    """Whether a grandmaster sends the SMPTE synchronization metadata TLV once a second."""


PROFILES: dict[ProfileName, Profile] = {
    "aes67": Profile(
        title="AES67 media profile (annex A)",
        log_announce_interval=Preset(1, 0, 4),
        log_sync_interval=Preset(-3, -4, 1),
        log_min_delay_req_interval=Preset(-3, -7, 5),
    ),
    "aes-r16": Profile(
        title="AES-R16: meets AES67 and SMPTE ST 2059-2 at once",
        log_announce_interval=Preset(0, 0, 1),
        log_sync_interval=Preset(-3, -4, -1),
        log_min_delay_req_interval=Preset(-3, -4, 1),
    ),
    "st2059-2": Profile(
        title="SMPTE ST 2059-2 broadcast profile",
        domain=Preset(127, 0, 127),
        log_announce_interval=Preset(-2, -3, 1),
        log_sync_interval=Preset(-3, -7, -1),
        log_min_delay_req_interval=Preset(-3, -7, 4),
        log_min_pdelay_req_interval=Preset(-3, -7, 4),
        synchronization_metadata=True,
    ),
    "default": Profile(
        title="IEEE 1588 default profile",
        log_announce_interval=Preset(1, 0, 4),
        log_sync_interval=Preset(0, -1, 1),
        log_min_delay_req_interval=Preset(0, 0, 5),
        log_min_pdelay_req_interval=Preset(0, 0, 5),
    ),
    "enterprise": Profile(
        title="Enterprise profile (RFC 9760)",
        unicast="hybrid",
        log_announce_interval=Preset(0, 0, 0),
        log_sync_interval=Preset(0, -7, 1),
        log_min_delay_req_interval=Preset(0, -7, 6),
    ),
}
"""Every profile by its name in a graph.

Vendors' tables disagree on the interval of Delay_Req in AES67: the range is the union of theirs, and the default what
most of them preset. A grandmaster that wants fewer states so in its answers, and is obeyed.
"""

Dscp = Literal["aes67", "ravenna", "dante"]
DSCP: dict[Dscp, tuple[int, int]] = {"aes67": (46, 46), "ravenna": (48, 46), "dante": (56, 46)}
"""(event, general) messages' differentiated services code points: EF 46, CS6 48, CS7 56."""
