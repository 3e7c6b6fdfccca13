"""Options of the ``airplay`` clock, as a graph writes them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, TypeVar

from msgspec import Meta

from phasegraph import ClockConfig

if TYPE_CHECKING:
    from .engine import TimingPeer

EXAMPLE = """\
[clocks.group]
kind = "airplay"
interface = "eth0"
peers = ["192.168.1.20"]
"""

Port = Annotated[int, Meta(ge=1, le=65535)]


class AirplayConfig(ClockConfig, frozen=True, kw_only=True):
    """Options of the ``airplay`` clock."""

    interface: Annotated[str, Meta(description="Network interface, by name or address.")]
    mode: Annotated[
        Literal["ptp", "compact", "ntp"],
        Meta(
            description="AirPlay 2's dialect of PTP; airplay2-rs's packet of 24 octets; or AirPlay 1's timing requests."
        ),
    ] = "ptp"
    role: Annotated[
        Literal["follow", "lead", "auto"],
        Meta(
            description="Follow the leader; be it; or, with mode = 'ptp', be it until a clock insists that outranks "
            "priority 250, as HomePods do. With mode = 'ntp' a follower asks, and a leader answers."
        ),
    ] = "follow"
    peers: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses of the devices that take part: '192.168.1.20', or with a port '192.168.1.20:6002', "
            "'[fe80::1]:6002'. With mode = 'ptp' that is the event port, and the general one is the next. "
            "Left out, every device that sends to us takes part."
        ),
    ] = ()
    filter: Annotated[
        Literal["envelope", "median", "nqptp"], Meta(description="How stamps become a clock; see the plugin's README.")
    ] = "envelope"
    event_port: Annotated[Port, Meta(description="UDP port of PTP's event messages, ours and the peers'.")] = 319
    general_port: Annotated[Port, Meta(description="UDP port of PTP's general messages, ours and the peers'.")] = 320
    timing_port: Annotated[
        int,
        Meta(ge=0, le=65535, description="Our UDP port with mode = 'compact' or 'ntp'; 0 takes any that is free."),
    ] = 0


def parse_peer(text: str, event_port: int, general_port: int) -> TimingPeer:
    """A peer as the option writes it, with these ports where it names none. Raises ValueError."""
    from .engine import TimingPeer  # the protocols, which a graph without this clock does not need

    try:
        return TimingPeer(str(ipaddress.ip_address(text)), event_port, general_port)
    except ValueError:
        host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
        number = int(port)
    except ValueError:
        raise ValueError(f"expected an address such as 192.168.1.20 or [fe80::1]:6002, got {text!r}") from None
    if not 1 <= number <= 65534:
        raise ValueError(f"{number} is no port that has a next one")
    return TimingPeer(str(address), number, number + 1)


def problems_of(config: AirplayConfig) -> Iterator[tuple[str, str, str]]:
    """Problems of a clock's options, beyond their types: (option, message, hint)."""
    ported = []
    for text in config.peers:
        try:
            ported.append(parse_peer(text, 0, 0).event_port > 0)
        except ValueError as error:
            yield "peers", str(error), ""
            return
    if config.mode == "ptp":
        if config.event_port == config.general_port:
            yield "general-port", "event and general messages need two ports", ""
        return
    if config.role == "auto":
        yield "role", f"mode = {config.mode!r} has no announcements to choose a leader by", "follow or lead"
    asks = "follow" if config.mode == "ntp" else "lead"
    if config.role == asks and not config.peers:
        yield "peers", f"role = {asks!r} sends first, and has no peer to send to", "name address and port"
    if config.role == asks and not all(ported):
        yield "peers", f"role = {asks!r} sends first, and needs the port of each peer", "such as 192.168.1.20:6002"
    if config.mode == "ntp" and config.role == "follow" and len(config.peers) > 1:
        yield "peers", "a follower asks one server", "name one"


class Clock(Protocol):
    """The part of a graph's node that is used."""

    @property
    def id(self) -> str:
        """Its name in the graph."""

    @property
    def config(self) -> object:
        """Its options."""


C = TypeVar("C", bound=Clock)


def clocks_without_unicast(clocks: Iterable[C]) -> Iterator[tuple[C, str]]:
    """Clocks, of those that start in this order, that would receive no unicast, each with the clock that would instead.

    Several sockets may have a port, and multicast reaches them all; but unicast, as AirPlay's, the last one alone.
    """
    before: list[tuple[C, tuple[str, int]]] = []
    for clock in clocks:
        config = clock.config
        if getattr(config, "mode", "ptp") != "ptp":
            continue
        interface = getattr(config, "interface", None)
        ports = [(interface, getattr(config, name, None)) for name in ("event_port", "general_port")]
        for port in ports:
            for other in [each for each, its in before if its == port]:
                yield other, clock.id
                before = [(each, its) for each, its in before if each is not other]
        if isinstance(config, AirplayConfig):
            before += [(clock, (config.interface, config.event_port)), (clock, (config.interface, config.general_port))]
