"""What the facts of a computer mean for a graph."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from phasegraph import Graph, GraphNode, Role
from phasegraph_console.doctor.graph_checks import check_graph, destinations, followers

from .facts import ETH0, HEALTHY, LOOPBACK


def graph(role: Role, kind: str, /, **options: Any) -> Graph:
    """A graph of one node, with as much of its kind as the checks use."""
    node = GraphNode(id="it", role=role, kind=SimpleNamespace(kind=kind), config=SimpleNamespace(**options))  # type: ignore[arg-type]
    return Graph(schema=1, nodes={"it": node}, edges=(), order=("it",), folder=Path())


@pytest.mark.parametrize(
    ("interface", "link", "severity", "text"),
    [
        ("eth0", ETH0, "ok", "eth0 (192.168.1.20)"),
        ("192.168.1.20", ETH0, "ok", "eth0"),
        ("127.0.0.5", LOOPBACK, "ok", "lo (127.0.0.1)"),
        ("eth1", ETH0, "wrong", "no interface eth1"),
        ("eth0", replace(ETH0, up=False), "wrong", "switched off"),
        ("eth0", replace(ETH0, address=""), "wrong", "no IPv4 address"),
    ],
)
def test_an_interface_of_a_node(interface: str, link: Any, severity: str, text: str) -> None:
    (finding,) = check_graph(graph(Role.SINK, "aes67", interface=interface), replace(HEALTHY, links=[link]))
    assert (finding.check, finding.severity) == ("sinks.it", severity)
    assert text in finding.text
    assert (finding.severity == "ok") == (not finding.remedy)


@pytest.mark.parametrize(
    ("by", "severity", "text"),
    [("192.168.1.20", "ok", "lead to 239.1.1.1 by eth0"), ("", "wrong", "no route leads to 239.1.1.1")],
)
def test_a_route_where_no_interface_is_named(by: str, severity: str, text: str) -> None:
    unnamed = graph(Role.SOURCE, "aes67", interface="", group="239.1.1.1", port=5004)
    assert destinations(unnamed) == ["239.1.1.1"]
    (finding,) = check_graph(unnamed, HEALTHY, {"239.1.1.1": by})
    assert (finding.check, finding.severity) == ("sources.it", severity)
    assert text in finding.text


def test_both_legs_of_a_redundant_source() -> None:
    options = {"interface": "eth0", "leg_b": SimpleNamespace(interface="eth1"), "group": "239.1.1.1", "port": 5004}
    findings = [*check_graph(graph(Role.SOURCE, "aes67", **options), HEALTHY)]
    assert [finding.severity for finding in findings] == ["ok", "wrong"]


@pytest.mark.parametrize(
    ("group", "held", "wrong"), [("127.0.0.1", True, 1), ("239.1.1.1", True, 0), ("127.0.0.1", False, 0)]
)
def test_a_unicast_port_that_is_held(group: str, held: bool, wrong: int) -> None:
    facts = replace(HEALTHY, port_holders={5004: ["vlc (process 9)"]} if held else {})
    findings = [*check_graph(graph(Role.SOURCE, "aes67", group=group, port=5004), facts)]
    assert len(findings) == wrong
    assert all("vlc" in finding.text for finding in findings)


@pytest.mark.parametrize(
    ("role", "profile", "domain", "expected"),
    [
        ("follower", "aes67", None, [0]),
        ("ordinary", "st2059-2", None, [127]),
        ("follower", "st2059-2", 5, [5]),
        ("grandmaster", "aes67", None, []),
    ],
)
def test_which_clocks_follow(role: str, profile: str, domain: int | None, expected: list[int]) -> None:
    options = {"role": role, "profile": profile, "domain": domain, "interface": "eth0", "general_port": 320}
    found = followers(graph(Role.CLOCK, "ptp", **options))
    assert [clock.domain for clock in found] == expected
    assert [clock.place for clock in found] == [("eth0", 320)] * len(expected)
