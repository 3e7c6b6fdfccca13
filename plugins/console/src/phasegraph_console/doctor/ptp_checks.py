"""What the PTP traffic of an interface means for a clock that follows it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .finding import Finding, Severity
from .ptp_traffic import AnnouncedClock, PtpTraffic

_REFERENCE = re.compile(r"ptp=IEEE1588-\d{4}:((?:[0-9A-Fa-f]{2}-){7}[0-9A-Fa-f]{2})")


def check_traffic(traffic: PtpTraffic) -> Iterator[Finding]:
    """What is there, without a graph that needs it."""
    name = f"PTP on {traffic.interface}"
    if traffic.refusal:
        yield Finding(name, Severity.ATTENTION, f"cannot listen: {traffic.refusal}", "see 'PTP ports' above")
        return
    for clock in traffic.clocks:
        yield Finding(name, Severity.OK, _describe(clock))
    if traffic.version_1:
        text = f"{traffic.version_1} messages of PTP version 1, which clocks of version 2 do not follow"
        yield Finding(name, Severity.ATTENTION, text, "set the grandmaster (often a Dante device) to PTP version 2")
    elif not traffic.clocks:
        text = f"no Announce within {traffic.listened_s:g} s"
        yield Finding(name, Severity.OK, f"{text}: no grandmaster is needed unless a graph has a clock of kind ptp")


def check_follower(path: str, domain: int, traffic: PtpTraffic) -> Finding:
    """Whether the clock at ``path`` of a graph, which follows ``domain``, finds a grandmaster."""
    if traffic.refusal:
        return Finding(path, Severity.WRONG, f"cannot listen: {traffic.refusal}", "see 'PTP ports' above")
    if best := _best(domain, traffic):
        return Finding(path, Severity.OK, _describe(best))
    others = [clock for clock in traffic.clocks if not clock.gptp]
    start = f"no Announce in domain {domain} on {traffic.interface} within {traffic.listened_s:g} s"
    if others:
        other = others[0]
        text = f"{start}; grandmaster {other.grandmaster} is in domain {other.domain}"
        return Finding(path, Severity.WRONG, text, f"set domain = {other.domain}")
    if traffic.clocks:
        text = f"{start}; only gPTP (IEEE 802.1AS) arrives"
        return Finding(path, Severity.WRONG, text, "have a grandmaster of IEEE 1588 on this network")
    if traffic.version_1:
        text = f"{start}; only PTP version 1 arrives"
        return Finding(path, Severity.WRONG, text, "set the grandmaster to PTP version 2")
    remedy = "start a grandmaster; or check the interface, and that switches pass 224.0.1.129 (IGMP)"
    return Finding(path, Severity.WRONG, start, remedy)


def check_described(path: str, ts_refclk: str, domain: int, traffic: PtpTraffic) -> Iterator[Finding]:
    """Whether the source at ``path`` has the grandmaster of its description (RFC 7273, 4.8), where that names one."""
    named = _REFERENCE.match(ts_refclk)
    if named is None or not (best := _best(domain, traffic)):
        return
    described = named[1].upper()
    if described != best.grandmaster:
        text = f"the description names grandmaster {described}, and {best.grandmaster} is in domain {domain}"
        remedy = "share one grandmaster with the sender; or take its newest description"
        yield Finding(path, Severity.ATTENTION, f"{text} on {traffic.interface}", remedy)


def _best(domain: int, traffic: PtpTraffic) -> AnnouncedClock | None:
    usable = (clock for clock in traffic.clocks if clock.domain == domain and not clock.gptp)
    return min(usable, key=lambda clock: (clock.priority1, clock.clock_class, clock.grandmaster), default=None)


def _describe(clock: AnnouncedClock) -> str:
    profile = "gPTP, " if clock.gptp else ""
    return (
        f"{profile}domain {clock.domain}: grandmaster {clock.grandmaster} (class {clock.clock_class}, "
        f"priority {clock.priority1}) from {clock.sender}"
    )
