"""What the facts of a computer mean for one graph. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from phasegraph import Graph, GraphNode, Role

from .finding import Finding, Severity
from .host_facts import HostFacts, LinkFacts

PROFILE_DOMAINS = {"st2059-2": 127}
"""Default domains of PTP profiles that are not 0 (SMPTE ST 2059-2, 5.2)."""


def check_graph(graph: Graph, facts: HostFacts, routes: Mapping[str, str] = MappingProxyType({})) -> Iterator[Finding]:
    """Whether the interfaces that its nodes name are there, routes to the other nodes' streams, and unicast ports free.

    ``routes`` has for each of `destinations` the own address by which it is reached; empty without a route.
    """
    for node in graph.nodes.values():
        for name in interfaces_of(node):
            yield _check_interface(node, name, facts)
        for address in _routed(node):
            if address in routes:
                yield _check_route(node, address, routes[address], facts)
        yield from _check_port(node, facts)


def destinations(graph: Graph) -> list[str]:
    """Addresses of streams whose interface the routes decide, since their node names none."""
    return [*dict.fromkeys(address for node in graph.nodes.values() for address in _routed(node))]


def _routed(node: GraphNode) -> list[str]:
    config: Any = node.config
    legs: list[Any] = [leg for leg in (config, getattr(config, "leg_b", None)) if hasattr(leg, "interface")]
    return [leg.group for leg in legs if not leg.interface and getattr(leg, "group", None)]


def interfaces_of(node: GraphNode) -> list[str]:
    """Interfaces that a node's options name, each once: names or addresses."""
    config = node.config
    legs = (config, getattr(config, "leg_b", None))
    return [*dict.fromkeys(name for leg in legs if (name := getattr(leg, "interface", None)))]


class Follower(msgspec.Struct, frozen=True):
    """A clock of kind ptp that follows a grandmaster."""

    path: str
    interface: str
    general_port: int
    domain: int

    @property
    def place(self) -> tuple[str, int]:
        """Interface and port on which its grandmaster announces itself."""
        return self.interface, self.general_port


def followers(graph: Graph) -> list[Follower]:
    """Clocks of kind ptp that follow a grandmaster."""
    found = []
    for node in graph.of_role(Role.CLOCK):
        config = node.config
        if node.kind.kind == "ptp" and config.role != "grandmaster":
            domain = PROFILE_DOMAINS.get(config.profile, 0) if config.domain is None else config.domain
            interfaces = [config.interface] if isinstance(config.interface, str) else config.interface
            found += [Follower(node.path, interface, config.general_port, domain) for interface in interfaces]
    return found


def same_link(interface: str, facts: HostFacts) -> set[str]:
    """Name and address of an interface that is given by one of them."""
    return {
        word for link in facts.links if interface in (link.name, link.address) for word in (link.name, link.address)
    }


def _check_interface(node: GraphNode, name: str, facts: HostFacts) -> Finding:
    link = next((link for link in facts.links if name in (link.name, link.address)), None)
    if link is None and _is_loopback(name):
        link = next((link for link in facts.links if link.loopback), None)
    if link is None:
        known = ", ".join(f"{each.name} ({each.address or 'no address'})" for each in facts.links)
        return Finding(node.path, Severity.WRONG, f"there is no interface {name}", f"set interface to one of: {known}")
    if not (link.up and link.address):
        state = "has no IPv4 address" if link.up else "is switched off"
        remedy = "set an address" if link.up else f"ip link set {link.name} up"
        return Finding(node.path, Severity.WRONG, f"interface {link.name} {state}", remedy)
    return Finding(node.path, Severity.OK, f"interface {_name(link)}")


def _check_route(node: GraphNode, address: str, by: str, facts: HostFacts) -> Finding:
    if not by:
        text = f"no route leads to {address}, and no interface is named"
        return Finding(node.path, Severity.WRONG, text, "set interface; or add a route for 224.0.0.0/4")
    link = next((link.name for link in facts.links if link.address == by), by)
    return Finding(node.path, Severity.OK, f"the routes lead to {address} by {link}")


def _check_port(node: GraphNode, facts: HostFacts) -> Iterator[Finding]:
    port, group = getattr(node.config, "port", None), getattr(node.config, "group", None)
    if node.role is not Role.SOURCE or not isinstance(port, int) or not group or _is_multicast(group):
        return
    holders = facts.port_holders.get(port, ())
    if holders:
        text = f"UDP port {port} is held by {' and '.join(holders)}, and unicast packets reach only one program"
        yield Finding(node.path, Severity.WRONG, text, "stop it, or have the sender use another port")


def _name(link: LinkFacts) -> str:
    return f"{link.name} ({link.address})"


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _is_multicast(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_multicast
    except ValueError:
        return False
