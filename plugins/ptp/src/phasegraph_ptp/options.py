"""Options of the ``ptp`` clock, as a graph writes them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from phasegraph import ClockConfig, ClockRef, Duration, InputFile, Live, OutputFile

from .profiles import Dscp, ProfileName

EXAMPLE = """\
[clocks.house]
kind = "ptp"
interface = "eth0"
profile = "aes67"
"""

Byte = Annotated[int | None, Meta(ge=0, le=255)]
LogInterval = Annotated[int | None, Meta(ge=-7, le=6)]
CodePoint = Annotated[int | None, Meta(ge=0, le=63)]
LockWithin = Annotated[
    Duration, Meta(ge=100, le=1_000_000_000, description="Locked once three sigmas are within this."), Live()
]
UnlockBeyond = Annotated[
    Duration,
    Meta(ge=1000, le=1_000_000_000_000, description="Holdover ends when its bound has grown beyond this."),
    Live(),
]


class PtpConfig(ClockConfig, frozen=True, kw_only=True):
    """Options of the ``ptp`` clock. What is left out comes from the profile."""

    interface: Annotated[
        str | tuple[str, ...],
        Meta(
            description="Network interface, by name or address; left out, the only one that is not the loopback. Of a "
            "redundant pair (SMPTE ST 2022-7) both: a follower makes one clock of both paths."
        ),
    ] = ""
    role: Annotated[
        Literal["follower", "grandmaster", "ordinary"],
        Meta(
            description="Follow the best grandmaster; be one, while no better one announces itself; or whichever "
            "of the two the best master clock algorithm decides."
        ),
    ] = "follower"
    profile: Annotated[ProfileName, Meta(description="Presets of a standard for the options below.")] = "aes67"
    domain: Annotated[int | None, Meta(ge=0, le=127, description="PTP domain number.")] = None
    transport: Annotated[Literal["udp4", "udp6"], Meta(description="UDP over IPv4 or over IPv6.")] = "udp4"
    delay_mechanism: Annotated[
        Literal["e2e", "p2p"],
        Meta(description="Measure the delay to the grandmaster (end to end), or to the neighbour (peer to peer)."),
    ] = "e2e"
    unicast: Annotated[
        Literal["off", "hybrid", "negotiated"] | None,
        Meta(
            description="Send Delay_Req to the grandmaster alone (hybrid; back to multicast after three unanswered "
            "ones), or negotiate all of it with the servers below."
        ),
    ] = None
    unicast_servers: Annotated[
        tuple[str, ...],
        Meta(description="IP addresses of the grandmasters to negotiate with, for unicast = negotiated."),
    ] = ()
    accept: Annotated[
        tuple[str, ...],
        Meta(
            description="Identities of the only grandmasters to follow, or to defer to as a grandmaster, such as "
            "00-1D-C1-FF-FE-12-34-56."
        ),
    ] = ()
    master_only: Annotated[
        bool, Meta(description="A grandmaster defers to no other one, however good that is (masterOnly).")
    ] = False
    sa_file: Annotated[
        InputFile | None,
        Meta(description="Keys, as linuxptp's sa_file: all messages are signed, and unsigned ones are dropped."),
    ] = None
    spp: Annotated[
        int | None, Meta(ge=0, le=255, description="Security association of the sa_file; left out, its only one.")
    ] = None
    active_key_id: Annotated[
        int | None, Meta(ge=0, le=2**32 - 1, description="Key that signs; left out, the least of the association.")
    ] = None
    event_port: Annotated[
        int, Meta(ge=1, le=65535, description="UDP port of event messages; above 1023 it needs no privilege.")
    ] = 319
    general_port: Annotated[int, Meta(ge=1, le=65535, description="UDP port of general messages.")] = 320
    ttl: Annotated[int, Meta(ge=1, le=255, description="Routers that multicast may pass, less one.")] = 1
    dscp: Annotated[Dscp, Meta(description="Whose code points event and general messages carry.")] = "aes67"
    event_dscp: Annotated[CodePoint, Meta(description="Code point of event messages, over that of dscp.")] = None
    general_dscp: Annotated[CodePoint, Meta(description="Code point of general messages, over that of dscp.")] = None
    hardware_stamps: Annotated[
        bool, Meta(description="Take the interface's own stamps where it has them; else the kernel's.")
    ] = True
    estimator: Annotated[
        Literal["kalman", "linear-regression", "median"], Meta(description="How stamps become a clock.")
    ] = "kalman"
    asymmetry: Annotated[
        Duration,
        Meta(
            ge=-1_000_000_000,
            le=1_000_000_000,
            description="By how much the way from the grandmaster is longer than the mean of both ways "
            "(delayAsymmetry); it cannot be measured, so it is 0 unless you know better.",
        ),
    ] = 0
    lock_within: LockWithin = 20_000
    unlock_beyond: UnlockBeyond = 1_000_000
    priority1: Annotated[Byte, Meta(description="First priority of a grandmaster; the least wins.")] = None
    priority2: Annotated[Byte, Meta(description="Second priority, after the clock's quality.")] = None
    clock_class: Annotated[
        int,
        Meta(ge=6, le=255, description="Clock class that a grandmaster announces; 248 is a clock without a reference."),
    ] = 248
    log_announce_interval: Annotated[LogInterval, Meta(description="Of a grandmaster; 1 is every 2 s.")] = None
    announce_receipt_timeout: Annotated[
        int | None, Meta(ge=2, le=255, description="Missed Announces after which a grandmaster is gone.")
    ] = None
    log_sync_interval: Annotated[LogInterval, Meta(description="Of a grandmaster; -3 is 8 a second.")] = None
    log_min_delay_req_interval: Annotated[
        LogInterval, Meta(description="How often at most Delay_Req is sent; a grandmaster may slow it down.")
    ] = None
    log_min_pdelay_req_interval: Annotated[
        LogInterval, Meta(description="How often Pdelay_Req is sent, for delay-mechanism = p2p.")
    ] = None
    minor_version: Annotated[int, Meta(ge=0, le=1, description="1 writes version 2.1, which some devices drop.")] = 0
    path_trace: Annotated[bool, Meta(description="A grandmaster writes the path trace TLV.")] = False
    reference: Annotated[
        ClockRef | None,
        Meta(
            description="Clock of this graph whose time a grandmaster serves; left out, its own oscillator's, started "
            "at the system's time."
        ),
    ] = None
    utc_offset: Annotated[
        int,
        Meta(
            ge=-32768,
            le=32767,
            description="TAI less UTC in seconds, as a grandmaster announces it without a better source.",
        ),
    ] = 37
    leap_seconds: Annotated[
        InputFile | None,
        Meta(
            description="List by which a grandmaster announces the UTC offset and coming leap seconds, such as "
            "/usr/share/zoneinfo/leap-seconds.list; left out, by what it last followed, or by utc-offset."
        ),
    ] = None
    frame_rate: Annotated[
        str,
        Meta(
            pattern=r"^[1-9]\d{0,5}(/(1|1001))?$",
            description="Frames a second that a grandmaster of SMPTE ST 2059-2 names as the system's, such as 25 or "
            "30000/1001.",
        ),
    ] = "25"
    time_zone: Annotated[
        str, Meta(description="Time zone that a grandmaster of SMPTE ST 2059-2 sends, such as Europe/Berlin.")
    ] = "UTC"
    management_socket: Annotated[
        OutputFile | None, Meta(description="Path of a UNIX socket that answers pmc; none if left out.")
    ] = None
