"""Reference clocks in every spelling seen (RFC 7273 with erratum 4450, and what devices write)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_aes67.sdp.reference_clock import ReferenceClock, parse_media_clock, parse_reference

GM = "00-1D-C1-FF-FE-51-D7-EB"
SPELLINGS: dict[str, tuple[ReferenceClock, str]] = {
    f"ptp=IEEE1588-2008:{GM}:0": (
        ReferenceClock(kind="ptp", identity=GM, domain=0),
        f"PTP grandmaster {GM} in domain 0",
    ),
    f"ptp=IEEE1588-2019:{GM.lower()}:127": (
        ReferenceClock(kind="ptp", identity=GM, domain=127),
        f"PTP grandmaster {GM} in domain 127",
    ),
    f"PTP=ieee1588-2008:{GM}": (ReferenceClock(kind="ptp", identity=GM), f"PTP grandmaster {GM}"),
    f"ptp=IEEE1588-2008:{GM}:domain-nmbr=3": (
        ReferenceClock(kind="ptp", identity=GM, domain=3),
        f"PTP grandmaster {GM} in domain 3",
    ),
    "ptp=IEEE1588-2008:001dc1fffe51d7eb:0": (
        ReferenceClock(kind="ptp", identity=GM, domain=0),
        f"PTP grandmaster {GM} in domain 0",
    ),
    "ptp=IEEE1588-2008:00-1D-C1-51-D7-EB:0": (
        ReferenceClock(kind="ptp", identity="00-1D-C1-51-D7-EB", domain=0),
        "PTP grandmaster 00-1D-C1-51-D7-EB in domain 0",
    ),
    "ptp=IEEE1588-2008:00-00-00-FF-FE-00-00-00:0": (
        ReferenceClock(kind="ptp", identity="00-00-00-FF-FE-00-00-00", domain=0),
        "PTP in domain 0, no grandmaster known",
    ),
    "ptp=IEEE1588-2008:traceable": (
        ReferenceClock(kind="ptp", traceable=True),
        "any PTP grandmaster that is traceable to TAI",
    ),
    "ptp=traceable": (ReferenceClock(kind="ptp", traceable=True), "any PTP grandmaster that is traceable to TAI"),
    f"ptp=IEEE802.1AS-2011:{GM}": (
        ReferenceClock(kind="gptp", identity=GM),
        f"gPTP (IEEE 802.1AS) grandmaster {GM}",
    ),
    "localmac=7c:2e:0d:1e:6f:0e": (
        ReferenceClock(kind="localmac", identity="7C-2E-0D-1E-6F-0E"),
        "the device's own clock (7C-2E-0D-1E-6F-0E)",
    ),
    "ntp=203.0.113.10": (ReferenceClock(kind="ntp", identity="203.0.113.10"), "ntp 203.0.113.10"),
    "ntp=/traceable/": (ReferenceClock(kind="ntp", traceable=True), "ntp traceable"),
    "gps": (ReferenceClock(kind="gps"), "gps"),
    "local": (ReferenceClock(kind="local"), "local"),
    "private:traceable": (ReferenceClock(kind="private", traceable=True), "private traceable"),
    "ptp=IEEE1588-2008:nonsense": (
        ReferenceClock(kind="unknown", identity="ptp=IEEE1588-2008:nonsense"),
        "unknown ptp=IEEE1588-2008:nonsense",
    ),
}


@pytest.mark.parametrize("value", SPELLINGS)
def test_spellings(value: str) -> None:
    clock, words = SPELLINGS[value]
    assert parse_reference(value) == clock
    assert str(parse_reference(value)) == words


@given(st.text(max_size=100))
def test_any_text_is_read(value: str) -> None:
    assert str(parse_reference(value))


@pytest.mark.parametrize(
    ("value", "offset", "problem"),
    [
        ("direct=3969992633 rate=48000", 3_969_992_633, ""),
        ("direct=-5", 4_294_967_291, "negative: it is read as 4294967291"),
        ("direct=0xff", 255, "hexadecimal: it is read as 255"),
        ("direct", None, "without an offset"),
        ("direct rate=48000/1", None, "without an offset"),
        ("direct=soon", None, "not a number"),
        ("direct=12.5", None, "not a number"),
        ("direct=" + "9" * 40, None, "not a number"),
    ],
)
def test_media_clocks(value: str, offset: int | None, problem: str) -> None:
    clock = parse_media_clock(value)
    assert clock is not None
    assert clock.offset == offset
    assert problem in clock.problem
    assert bool(problem) == bool(clock.problem)


@pytest.mark.parametrize("value", ["IEEE1722=38-D6-6D-8E-D2-78-13-2F", "sender", "directly=3", ""])
def test_media_clocks_that_are_not_direct(value: str) -> None:
    assert parse_media_clock(value) is None


@pytest.mark.parametrize(
    "identity", ["0-1d-c1-ff-fe-1-2-3", "001dc1.fffe.010203", "00:1D:C1:FF:FE:01:02:03", "0:1d:c1:ff:fe:1:2:3"]
)
@pytest.mark.parametrize("domain", ["", ":4"])
def test_odd_spellings_of_one_identity(identity: str, domain: str) -> None:
    clock = parse_reference(f"ptp=IEEE1588-2008:{identity}{domain}")
    assert clock.identity == "00-1D-C1-FF-FE-01-02-03"
    assert clock.domain == (4 if domain else None)
