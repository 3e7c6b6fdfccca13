"""What each fact of a computer means."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from phasegraph import NtpState
from phasegraph_console.doctor.finding import Severity
from phasegraph_console.doctor.host_checks import check_host
from phasegraph_console.doctor.host_facts import HostFacts, IgmpState
from phasegraph_console.doctor.host_reader import igmp_states, read_routes

from .facts import ETH0, HEALTHY, LOOPBACK

ETH1 = replace(ETH0, name="eth1", address="192.168.1.21")


def test_a_healthy_computer() -> None:
    assert {finding.severity for finding in check_host(HEALTHY)} == {Severity.OK}
    assert not any(finding.remedy for finding in check_host(HEALTHY))


@pytest.mark.parametrize(
    ("change", "check", "severity", "text", "remedy"),
    [
        ({"links": [LOOPBACK]}, "network", "attention", "only the loopback", "connect an interface"),
        ({"links": [replace(ETH0, address=""), ETH1]}, "eth0", "attention", "no IPv4 address", "DHCP"),
        ({"links": [replace(ETH0, multicast=False)]}, "eth0", "attention", "multicast", "multicast on"),
        ({"links": [replace(ETH0, obstacles=("eth0 has no link",))]}, "eth0", "wrong", "no link", "change it"),
        ({"links": [replace(ETH0, igmp=IgmpState(2, ()))]}, "IGMP eth0", "attention", "version 2", "querier"),
        ({"port_holders": {319: ["ptp4l (process 8)"]}}, "port 319", "attention", "ptp4l (process 8)", "kind ptp4l"),
        ({"port_holders": {5004: ["vlc (process 9)"]}}, "port 5004", "attention", "vlc", "stop it"),
        ({"capabilities": frozenset({"CAP_SYS_NICE"})}, "PTP ports", "attention", "privilege", "CAP_NET_BIND_SERVICE"),
        ({"capabilities": frozenset({"CAP_NET_BIND_SERVICE"})}, "priority", "attention", "real-time", "LimitRTPRIO=4"),
        ({"receive_buffer_limit": 212_992}, "socket buffer", "attention", "208 KiB", "rmem_max=4194304"),
        ({"clock_source": "hpet"}, "clock source", "attention", "hpet", "clocksource=tsc"),
        ({"governor": "powersave"}, "processor", "attention", "slowly", "performance"),
        ({"ntp": NtpState(False, 16_000_000_000)}, "system time", "attention", "not synchronised", "chrony"),
        ({"portaudio": False}, "sound", "attention", "PortAudio", "libportaudio2"),
    ],
)
def test_a_fact_that_stands_in_the_way(
    change: dict[str, Any], check: str, severity: str, text: str, remedy: str
) -> None:
    facts: HostFacts = replace(HEALTHY, **change)
    (finding,) = [each for each in check_host(facts) if each.severity is not Severity.OK]
    assert (finding.check, finding.severity) == (check, severity)
    assert text in finding.text
    assert remedy in finding.remedy


def test_ports_from_319_on_may_be_free_for_all() -> None:
    facts = replace(HEALTHY, capabilities=frozenset({"CAP_SYS_NICE"}), first_unprivileged_port=319)
    assert {finding.severity for finding in check_host(facts)} == {Severity.OK}


def test_facts_that_the_system_does_not_report_are_left_out() -> None:
    facts = replace(HEALTHY, clock_source=None, governor=None, ntp=None, receive_buffer_limit=None, realtime_limit=None)
    checks = {finding.check for finding in check_host(facts)}
    assert not checks & {"clock source", "processor", "socket buffer"}


IGMP = """Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
2\teth0      :     2      V2
\t\t\t\t070809EF     3 0:00000000\t\t0
\t\t\t\t010000E0     1 0:00000000\t\t0
"""


def test_igmp_as_linux_reports_it() -> None:
    assert igmp_states(IGMP) == {
        "lo": IgmpState(3, ("224.0.0.1",)),
        "eth0": IgmpState(2, ("239.9.8.7", "224.0.0.1")),
    }
    assert igmp_states("") == {}


@pytest.mark.parametrize(("kind", "text"), [("fq", "at the time that is given"), ("pfifo_fast", "root fq")])
def test_the_queue_of_an_interface(kind: str, text: str) -> None:
    (queue,) = [
        each for each in check_host(replace(HEALTHY, links=[replace(ETH0, queue=kind)])) if "queue" in each.check
    ]
    assert (queue.check, queue.severity) == ("queue eth0", "ok")
    assert text in queue.text


@pytest.mark.realtime
def test_the_loopback_interface_is_reached_from_itself() -> None:
    assert read_routes(["127.0.0.7"]) == {"127.0.0.7": "127.0.0.1"}
