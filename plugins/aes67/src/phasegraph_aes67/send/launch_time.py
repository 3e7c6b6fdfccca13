"""How early a stream's packets can be handed to a queue that holds them until their time, without costing latency."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from ..options import Pacing

AHEAD_NS = 28_000_000
"""How early packets are handed over: half of it is what a late thread has to spare."""
LEAST_AHEAD_NS = 500_000
"""Less than that would not cover how late a thread is at times."""


class Ahead(NamedTuple):
    """How early."""

    ns: int
    reason: str
    """Why not at all, where ``ns`` is 0 and nobody asked for that."""


def ahead_of(pacing: Pacing, *, addresses: list[str], follows: bool, lead_ns: int, packet_ns: int) -> Ahead:
    """How early the packets of a stream may be, by its option ``pacing``, where it goes, and what it is made of.

    The frames of an input that does not follow (a live one) are all there one packet time after the first of them: what
    the lead is longer than that, its packets can be early. They are never read sooner than with the shortest lead.
    """
    if pacing == "thread":
        return Ahead(0, "")
    if pacing == "auto" and not all(ipaddress.IPv4Address(address).is_multicast for address in addresses):
        return Ahead(0, "what is sent to a host may leave by another interface; pacing = 'queue' says that it does not")
    ahead_ns = AHEAD_NS if follows else min(AHEAD_NS, lead_ns - packet_ns)
    if ahead_ns < LEAST_AHEAD_NS:
        enough_us = (packet_ns + LEAST_AHEAD_NS) // 1000
        return Ahead(0, f"the last frames of a live input come too late for it; a lead of {enough_us} us would do")
    return Ahead(ahead_ns, "")
