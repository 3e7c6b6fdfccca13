"""Reference clocks and media clocks (RFC 7273), in every spelling seen."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

_PTP = re.compile(r"ptp=(IEEE1588-20\d\d|IEEE802\.1AS-20\d\d)(?::(.*))?\Z", re.IGNORECASE | re.ASCII)
_GROUPS = re.compile(r"[0-9A-F]{1,16}(?:[-:.][0-9A-F]{1,16}){0,7}\Z", re.IGNORECASE | re.ASCII)
_EIGHT_BY_COLONS = re.compile(r"[0-9A-F]{1,2}(?::[0-9A-F]{1,2}){7}\Z", re.IGNORECASE | re.ASCII)
"""An EUI-64 whose last octet is not a domain."""
_DOMAIN = re.compile(r"(?:domain-nmbr=|domain-name=)?(\d{1,3})\Z", re.IGNORECASE | re.ASCII)
_DIRECT = re.compile(r"direct\b(?:\s*=\s*(\S+))?", re.ASCII | re.IGNORECASE)
_OFFSET = re.compile(r"(-?)(?:(\d{1,20})|0x([0-9A-F]{1,16}))\Z", re.ASCII | re.IGNORECASE)
_RATE = re.compile(r"\brate\s*=\s*(\d{1,9})(?:/(\d{1,9}))?", re.ASCII)


class ReferenceClock(msgspec.Struct, frozen=True, kw_only=True):
    """One ``a=ts-refclk`` (RFC 7273, section 4)."""

    kind: Literal["ptp", "gptp", "ntp", "gps", "gal", "glonass", "localmac", "local", "private", "unknown"]
    identity: str = ""
    """clockIdentity in the form ``00-1D-C1-FF-FE-12-34-56``, an NTP server, or a MAC; empty where there is none."""
    domain: int | None = None
    """PTP domain number; None where there is none."""
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
    in small letters, of six octets, without leading zeros or as ptp4l writes them, and gPTP without a domain.
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
        return ReferenceClock(kind="localmac", identity=_hyphenated(rest.strip()))
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
    if number is not None and _hyphenated(head) and not _EIGHT_BY_COLONS.match(rest):
        identity, domain = head, int(number[1])
    hyphenated = _hyphenated(identity)
    if not hyphenated:
        return ReferenceClock(kind="unknown", identity=value)
    return ReferenceClock(kind=kind, identity=hyphenated, domain=domain)


def _hyphenated(identity: str) -> str:
    # An EUI-64, EUI-48 or what devices cut off from one, as 00-1D-C1-...; empty for anything else.
    if _GROUPS.match(identity) is None:
        return ""
    groups = re.split("[-:.]", identity.upper())
    if len(groups) >= 5 and all(len(group) <= 2 for group in groups):
        return "-".join(group.zfill(2) for group in groups)  # some senders leave zeros out
    octets = "".join(groups)  # 001dc1fffe51d7eb, or 001dc1.fffe.51d7eb as ptp4l writes it
    if len(octets) not in (10, 12, 14, 16):
        return ""
    return "-".join(octets[at : at + 2] for at in range(0, len(octets), 2))


class DirectMediaClock(msgspec.Struct, frozen=True):
    """An ``a=mediaclk:direct`` (RFC 7273, 5.2)."""

    offset: int | None
    """RTP timestamp of media time zero, unsigned (Dante sends values above 2**31); None where there is none."""
    rate: tuple[int, int] | None = None
    """Numerator and denominator of ``rate=``."""
    rate_text: str = ""
    problem: str = ""
    """What is wrong with it."""


def parse_media_clock(value: str) -> DirectMediaClock | None:
    """Read the value of an ``a=mediaclk``; None where it is not of the form ``direct``."""
    match = _DIRECT.match(value.strip())
    if match is None:
        return None
    found = _RATE.search(value)
    rate = None if found is None else (int(found[1]), int(found[2] or 1))
    rate_text = "" if found is None else found[0]
    line = f"a=mediaclk:{value.strip()[:60]}"
    text = match[1]
    if text is None:
        problem = f"{line} is without an offset: timestamps have no known relation to the clock"
        return DirectMediaClock(None, rate, rate_text, problem)
    number = _OFFSET.match(text)
    if number is None:
        problem = f"the offset in {line} is not a number: timestamps have no known relation to the clock"
        return DirectMediaClock(None, rate, rate_text, problem)
    signed = int(number[2]) if number[2] is not None else int(number[3], 16)
    offset = (-signed if number[1] else signed) % 2**32
    odd = "negative" if number[1] else "hexadecimal" if number[3] is not None else ""
    problem = f"the offset in {line} is {odd}: it is read as {offset}" if odd else ""
    return DirectMediaClock(offset, rate, rate_text, problem)
