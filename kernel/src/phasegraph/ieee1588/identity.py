"""Identities of clocks and ports (IEEE 1588-2019, 5.3.4, 5.3.5 and 7.5.2)."""

from __future__ import annotations

import re

import msgspec

_IDENTITY = re.compile(r"[0-9A-Fa-f]{2}([-:.]?)(?:[0-9A-Fa-f]{2}\1){6}[0-9A-Fa-f]{2}\Z")


class PortIdentity(msgspec.Struct, frozen=True, order=True, gc=False):
    """One port of one clock. Compares as the standard orders identities: clock first, then port."""

    clock: int
    """clockIdentity as an unsigned 64-bit number, first octet most significant."""
    port: int
    """portNumber, 1 to 65534 for a real port; 0xFFFF is all ports, 0 is sent by devices that do not care."""

    def __str__(self) -> str:
        return f"{format_clock_identity(self.clock)}/{self.port}"


ALL_PORTS = PortIdentity(0xFFFF_FFFF_FFFF_FFFF, 0xFFFF)
"""The target of a Signaling or Management message that is meant for everybody (13.12, 15.3.1)."""


def format_clock_identity(clock: int) -> str:
    """A clockIdentity as session descriptions write it: ``00-1D-C1-FF-FE-12-34-56`` (RFC 7273, 4.8)."""
    return clock.to_bytes(8, "big").hex("-").upper()


def parse_clock_identity(text: str) -> int:
    """The clockIdentity in 16 hexadecimal digits, bare or with one of ``-``, ``:``, ``.`` between octets.

    Raises ValueError for anything else.
    """
    if _IDENTITY.match(text) is None:
        raise ValueError(f"expected a clock identity such as 00-1D-C1-FF-FE-12-34-56, got {text!r}")
    return int(re.sub("[-:.]", "", text), 16)
