"""What PTP traffic means for a clock that follows it."""

from __future__ import annotations

import pytest

from phasegraph_console.doctor.ptp_checks import check_described, check_follower, check_traffic
from phasegraph_console.doctor.ptp_traffic import AnnouncedClock, PtpTraffic

GRANDMASTER = AnnouncedClock(0, "62-D2-11-FF-FE-00-00-01", 6, 128, "192.168.1.9", gptp=False)
GPTP = AnnouncedClock(0, "00-11-22-FF-FE-33-44-55", 248, 246, "192.168.1.8", gptp=True)


def traffic(*clocks: AnnouncedClock, version_1: int = 0, refusal: str = "") -> PtpTraffic:
    return PtpTraffic(interface="eth0", listened_s=3.0, clocks=clocks, version_1=version_1, refusal=refusal)


@pytest.mark.parametrize(
    ("domain", "arrived", "severity", "text", "remedy"),
    [
        (0, traffic(GRANDMASTER), "ok", "grandmaster 62-D2-11-FF-FE-00-00-01", ""),
        (3, traffic(GRANDMASTER), "wrong", "no Announce in domain 3 on eth0 within 3 s", "set domain = 0"),
        (0, traffic(GPTP), "wrong", "only gPTP", "IEEE 1588"),
        (0, traffic(version_1=9), "wrong", "only PTP version 1", "version 2"),
        (0, traffic(), "wrong", "no Announce", "start a grandmaster"),
        (0, traffic(refusal="Permission denied"), "wrong", "cannot listen: Permission denied", "PTP ports"),
    ],
)
def test_a_follower(domain: int, arrived: PtpTraffic, severity: str, text: str, remedy: str) -> None:
    finding = check_follower("clocks.house", domain, arrived)
    assert (finding.check, finding.severity) == ("clocks.house", severity)
    assert text in finding.text
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("described", "arrived", "texts"),
    [
        ("ptp=IEEE1588-2008:62-d2-11-ff-fe-00-00-01:0", traffic(GRANDMASTER), []),
        (
            "ptp=IEEE1588-2008:00-11-22-FF-FE-33-44-55",
            traffic(GRANDMASTER),
            [
                "the description names grandmaster 00-11-22-FF-FE-33-44-55, "
                "and 62-D2-11-FF-FE-00-00-01 is in domain 0 on eth0"
            ],
        ),
        ("ptp=IEEE1588-2008:00-11-22-FF-FE-33-44-55", traffic(GPTP), []),
        ("ptp=IEEE1588-2008:traceable", traffic(GRANDMASTER), []),
        ("localmac=02-00-00-00-00-01", traffic(GRANDMASTER), []),
        ("", traffic(GRANDMASTER), []),
    ],
)
def test_the_grandmaster_of_a_description(described: str, arrived: PtpTraffic, texts: list[str]) -> None:
    findings = [*check_described("sources.stage", described, 0, arrived)]
    assert [finding.text for finding in findings] == texts
    assert all((finding.severity, finding.check) == ("attention", "sources.stage") for finding in findings)


def test_the_best_grandmaster_of_the_domain_is_named() -> None:
    better = AnnouncedClock(0, "AA-00-00-FF-FE-00-00-01", 6, 100, "192.168.1.7", gptp=False)
    assert better.grandmaster in check_follower("clocks.house", 0, traffic(GRANDMASTER, better)).text


@pytest.mark.parametrize(
    ("arrived", "severities"),
    [
        (traffic(), ["ok"]),
        (traffic(GRANDMASTER, GPTP), ["ok", "ok"]),
        (traffic(GRANDMASTER, version_1=1), ["ok", "attention"]),
        (traffic(refusal="in use"), ["attention"]),
    ],
)
def test_an_interface_without_a_graph(arrived: PtpTraffic, severities: list[str]) -> None:
    assert [finding.severity for finding in check_traffic(arrived)] == severities
