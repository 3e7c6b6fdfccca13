"""Interfaces and addresses as a graph writes them; shared by what receives and what sends."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from phasegraph import NodeContext, NodeError
from phasegraph.net import Interface, InterfaceWithoutAddress

ADDRESS_CHECK_NS = 500_000_000
"""How often an interface is checked for an address that it does not have yet."""


def interface_or_route(find: Callable[[str], Interface], name: str) -> Interface:
    """An interface by name or address; with no name, the one that the system's routes choose. Raises NodeError."""
    if not name:
        return Interface("", 0, "0.0.0.0")
    try:
        return find(name)
    except OSError as error:
        raise NodeError(str(error), option="interface") from error


async def wait_for_addresses(ctx: NodeContext, names: list[str], report: Callable[[str], object]) -> None:
    """Wait until each interface that exists has an IPv4 address, as after DHCP; other interfaces are not waited for.

    ``report`` gets the reason while it waits, and an empty text afterwards.
    """
    for name in dict.fromkeys(names):
        if not lacks_address(ctx, name):
            continue
        ctx.event("waiting_for_address", interface=name)
        report(f"waiting for the network interface {name} to get an IPv4 address")
        while lacks_address(ctx, name):
            await ctx.sleep(ADDRESS_CHECK_NS)
        ctx.event("interface_found", interface=name)
    report("")


def lacks_address(ctx: NodeContext, name: str) -> bool:
    """Whether an interface exists without an IPv4 address."""
    if not name:
        return False
    try:
        ctx.network.interface(name)
    except InterfaceWithoutAddress:
        return True
    except OSError:
        return False  # opening it gives the reason
    return False


def check_address(text: str | None, option: str) -> None:
    """Raises NodeError for a text that is no IPv4 address; None is left out."""
    if text is None:
        return
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        raise NodeError(f"{text!r} is not an IPv4 address", option=option) from None
