"""Reference clocks and media clocks (RFC 7273), in every spelling seen."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

_PTP = re.compile(r"ptp=(IEEE1588-20\d\d|IEEE802\.1AS-20\d\d)(?::(.*))?\Z", re.IGNORECASE | re.ASCII)
_IDENTITY = re.compile(r"[0-9A-F]{2}([-:.]?)(?:[0-9A-F]{2}\1){3,6}[0-9A-F]{2}\Z", re.IGNORECASE | re.ASCII)
_DOMAIN = re.compile(r"(?:domain-nmbr=|domain-name=)?(\d{1,3})\Z", re.IGNORECASE | re.ASCII)
_DIRECT = re.compile(r"direct=(\d{1,20})", re.ASCII)


class ReferenceClock(msgspec.Struct, frozen=True, kw_only=True):
    """One ``a=ts-refclk`` (RFC 7273, section 4)."""

    kind: Literal["ptp", "gptp", "ntp", "gps", "gal", "glonass", "localmac", "local", "private", "unknown"]
    identity: str = ""
    """clockIdentity in the form ``00-1D-C1-FF-FE-12-34-56``, an NTP server, or a MAC; empty where none is said."""
    domain: int | None = None
    """PTP domain number; None where none is said."""
    traceable: bool = False
    """Any clock that is traceable to TAI will do."""

    def __str__(self) -> str:
        if self.kind in ("ptp", "gptp"):
            name = "PTP" if self.kind == "ptp" else "gPTP (IEEE 802.1AS)"
            if self.traceable:
                return f"any {name} grandmaster that is traceable to TAI"
            domain = "" if self.domain is None else f" in domain {self.domain}"
            unknown = not self.identity or not self.identity.replace("-", "").strip("0FEfe")
            return f"{name}{domain}, no grandmaster known" if unknown else f"{name} grandmaster {self.identity}{domain}"
        if self.kind == "localmac":
            return f"the device's own clock ({self.identity})"
        return " ".join(part for part in (self.kind, "traceable" if self.traceable else self.identity) if part)


def parse_reference(value: str) -> ReferenceClock:
    """Read the value of an ``a=ts-refclk``; what cannot be read is of kind ``unknown``.

    Erratum 4450 of RFC 7273 dropped the words ``domain-nmbr=``, which occur; so do ``ptp=traceable`` alone, identities
    in small letters and of six octets, and gPTP without a domain.
    """
    word, _, rest = value.strip().partition("=")
    word = word.strip().lower()
    if word == "ptp":
        return _ptp(value.strip())
    if word == "ntp":
        server = rest.strip()
        return ReferenceClock(
            kind="ntp", identity="" if "traceable" in server else server, traceable="traceable" in server
        )
    if word == "localmac":
        return ReferenceClock(kind="localmac", identity=_hyphened(rest.strip()))
    name = word.partition(":")[0]
    if name in ("gps", "gal", "glonass", "local", "private"):
        return ReferenceClock(kind=name, traceable="traceable" in value)  # type: ignore[arg-type]
    return ReferenceClock(kind="unknown", identity=value.strip())


def _ptp(value: str) -> ReferenceClock:
    if value[4:].strip().lower() == "traceable":
        return ReferenceClock(kind="ptp", traceable=True)
    match = _PTP.match(value)
    if match is None:
        return ReferenceClock(kind="unknown", identity=value)
    kind: Literal["ptp", "gptp"] = "gptp" if "802" in match[1] else "ptp"
    rest = (match[2] or "").strip()
    if rest.lower() == "traceable":
        return ReferenceClock(kind=kind, traceable=True)
    identity, domain = rest, None
    head, colon, tail = rest.rpartition(":")
    number = _DOMAIN.match(tail) if colon else None
    if number is not None and _IDENTITY.match(head):
        identity, domain = head, int(number[1])
    if not _IDENTITY.match(identity):
        return ReferenceClock(kind="unknown", identity=value)
    return ReferenceClock(kind=kind, identity=_hyphened(identity), domain=domain)


def _hyphened(identity: str) -> str:
    octets = re.sub("[-:.]", "", identity).upper()
    return "-".join(octets[at : at + 2] for at in range(0, len(octets), 2))


def direct_offset(values: list[str]) -> int | None:
    """The offset of the first ``a=mediaclk:direct=N``, unsigned: Dante sends values above 2**31."""
    for value in values:
        match = _DIRECT.search(value)
        if match is not None:
            return int(match[1]) % 2**32
    return None
