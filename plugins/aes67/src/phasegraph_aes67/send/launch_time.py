"""How early packets may be handed to what holds them until their launch time (SO_TXTIME, io_uring), without latency."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from ..options import Pacing

IO_URING: Pacing = "io-uring"
MAX_EARLY_NS = 28_000_000
"""How early packets are handed over: half of it is what a late thread has to spare."""
MAX_EARLY_NS_OF_RING = 64_000_000
"""The same with io_uring."""
MIN_EARLY_NS = 500_000
"""Less than that would not cover how late a thread is at times."""


class EarlyLimit(NamedTuple):
    """How early."""

    ns: int
    reason: str
    """Why not at all, where ``ns`` is 0 and the option pacing does not say so."""


def early_limit(
    pacing: Pacing, *, addresses: list[str], can_read_ahead: bool, lead_ns: int, packet_ns: int
) -> EarlyLimit:
    """How early the packets of a stream may be, by its option ``pacing``, its destinations, and its input.

    All frames of a live input's packet exist one packet time after the first of them. A lead that is longer leaves the
    rest of it to be early. They are never read sooner than with the shortest lead.
    """
    if pacing == "thread":
        return EarlyLimit(0, "")
    if pacing == "auto" and not all(ipaddress.IPv4Address(address).is_multicast for address in addresses):
        reason = "packets to a host may leave by another interface; pacing = 'queue' states that they do not"
        return EarlyLimit(0, reason)
    most_ns = MAX_EARLY_NS_OF_RING if pacing == IO_URING else MAX_EARLY_NS
    limit_ns = most_ns if can_read_ahead else min(most_ns, lead_ns - packet_ns)
    if limit_ns < MIN_EARLY_NS:
        enough_us = (packet_ns + MIN_EARLY_NS) // 1000
        reason = f"the last frames of a live input arrive too late for it: set lead to at least {enough_us}us"
        return EarlyLimit(0, reason)
    return EarlyLimit(limit_ns, "")
