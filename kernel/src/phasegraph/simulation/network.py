"""A simulated network: hosts on a wire, whose links delay, lose, duplicate and swap packets, and count them.

Nothing runs in the background: a sent packet waits at its receiver with its time of arrival, and the receiver reads it
after that time. A simulated hour therefore costs no more than its packets.
"""

from __future__ import annotations

import ipaddress
import itertools
import struct
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..net import Interface
from .impairments import Counts, Faults, Impairment, Stamping
from .link import Link, Packets
from .local_clock import SimLocalClock, true_now_ns
from .sim_sockets import SimHost, SimReceiver, SimSender, WireListener, WireSender, is_group
from .sim_stamped import SimStampedSocket

ListeningFlows = tuple[WireListener, int, NDArray[np.bool_]]
"""A socket, the index of an interface, and which flows (by number) it accepts there."""


class SimWire:
    """Connects hosts. Every link between two hosts has its own state and true counts."""

    def __init__(
        self,
        *,
        impairment: Impairment | None = None,
        faults: Faults | None = None,
        seed: int = 0,
        separate: tuple[str, ...] = (),
    ) -> None:
        """``impairment`` and ``faults`` are the initial ones of every link.

        ``separate`` names interfaces on networks of their own (the legs of a redundant pair), which reach only
        interfaces of the same name.
        """
        self.hosts: list[SimNetwork] = []
        self.flows: dict[tuple[str, int], int] = {}
        """(address, port) -> number."""
        self.destinations: list[str] = []
        """The address of each flow, by number."""
        self.links: dict[tuple[int, int, str], Link] = {}
        self._impairment = impairment or Impairment()
        self._faults = faults or Faults()
        self.seed = seed
        self._separate = separate
        self._addresses: NDArray[np.int64] = np.zeros(0, np.int64)

    def link(self, source: SimNetwork, destination: SimNetwork, interface: str = "") -> Link:
        """The link between two hosts (or from one to itself); of a separate network if its interface is named."""
        return self._link(source, destination, self.segment(interface, source.number))

    def _link(self, source: SimHost, destination: SimHost, segment: str) -> Link:
        key = (source.number, destination.number, segment)
        if key not in self.links:
            seed = (self.seed, source.number, destination.number, *segment.encode())
            self.links[key] = Link(self._impairment, self._faults, seed)
        return self.links[key]

    def impair(self, impairment: Impairment | None = None, faults: Faults | None = None) -> None:
        """Change the impairment and faults of every link from now on."""
        self._impairment = impairment or self._impairment
        self._faults = faults or self._faults
        for link in self.links.values():
            link.impairment, link.faults = self._impairment, self._faults

    @property
    def truth(self) -> Counts:
        """The true counts of all links together."""
        every = [link.truth for link in self.links.values()]
        return Counts(*(sum(getattr(truth, name) for truth in every) for name in Counts.__struct_fields__))

    def segment(self, interface: str, host: int) -> str:
        """The network of an interface: a host's loopback reaches only the host itself."""
        if interface == "lo":
            return f"lo of {host}"
        return interface if interface in self._separate else ""

    def flow(self, address: str, port: int) -> int:
        """The number of the flow to an address and port."""
        number = self.flows.get((address, port))
        if number is not None:
            return number
        destination = ipaddress.ip_address(address)
        key = (str(destination), port)
        if key not in self.flows:
            self.flows[key] = len(self.flows)
            self.destinations.append(key[0])
            self._addresses = np.append(self._addresses, int(destination) if destination.version == 4 else 0)
        return self.flows[key]

    def carry(self, sender: WireSender, packets: Packets, at_ns: int | None = None) -> None:
        """Carry packets to the listeners that accept them, now or from a later true time on."""
        now = true_now_ns() if at_ns is None else at_ns
        segment = self.segment(sender.interface.name, sender.host.number)
        flow = int(packets.flow[0]) if len(packets.flow) == 1 else None
        for host in self.hosts:
            listeners = host.listeners(segment, sender.address)
            if flow is not None:  # a single packet, as most are: no arrays of which ones are accepted
                if accepting := [(receiver, index) for receiver, index, mask in listeners if mask[flow]]:
                    arriving = self._link(sender.host, host, segment).carry(packets, now)
                    for receiver, index in accepting if len(arriving.flow) else ():
                        receiver.deliver(arriving, self._addresses, sender, index)
                continue
            wanted = np.zeros(len(packets.flow), np.bool_)
            for _, _, mask in listeners:
                wanted |= mask[packets.flow]
            if not wanted.any():
                continue
            sent = packets if wanted.all() else packets.rows(wanted)
            arriving = self._link(sender.host, host, segment).carry(sent, now)
            for receiver, index, mask in listeners:
                accepted = mask[arriving.flow]
                if accepted.any():
                    part = arriving if accepted.all() else arriving.rows(accepted)
                    receiver.deliver(part, self._addresses, sender, index)


class SimNetwork:
    """One host's view of a wire: implements `phasegraph.net.Network`. Every interface that is asked for exists."""

    def __init__(
        self,
        local: SimLocalClock | None = None,
        wire: SimWire | None = None,
        *,
        impairment: Impairment | None = None,
        faults: Faults | None = None,
        seed: int = 0,
        separate: tuple[str, ...] = (),
        socket_packets: int = 8192,
        stamping: Stamping | None = None,
        holds: bool = False,
    ) -> None:
        """A host of ``wire``, or of one of its own, for which ``impairment`` to ``separate`` are (see `SimWire`).

        ``local`` is the host's clock, which stamps what arrives; ``socket_packets`` have room in a socket;
        ``stamping`` is how well stamped sockets stamp; ``holds`` is whether its senders can hold packets until their
        time, which may change.
        """
        self.local = local or SimLocalClock()
        self.wire = wire or SimWire(impairment=impairment, faults=faults, seed=seed, separate=separate)
        self.wire.hosts.append(self)
        self.number = len(self.wire.hosts)
        self.receivers: list[WireListener] = []
        self.version = 0
        """Changes when a listener is added, changed or removed."""
        self.interfaces: dict[str, Interface] = {}
        """The interfaces that were looked up, by address."""
        self.stamping = stamping or Stamping()
        self.socket_packets = socket_packets
        self.holds = holds
        self._unplugged: set[str] = set()
        self._indices = 0
        self._ports = itertools.count(49152)
        self._known_listeners: dict[tuple[str, str], tuple[tuple[int, int], list[ListeningFlows]]] = {}

    @property
    def link(self) -> Link:
        """The link from this host to itself: a graph that both sends and receives gets its own packets over it."""
        return self.wire.link(self, self)

    @property
    def truth(self) -> Counts:
        """The true counts of the whole wire."""
        return self.wire.truth

    def interface(self, name_or_address: str, *, ipv6: bool = False) -> Interface:
        """See `Network.interface`: made when first asked for; ``lo``, ::1 and 127.0.0.0/8 are the loopback."""
        for interface in self.interfaces.values():
            if name_or_address in (interface.name, interface.address, interface.address6):
                if interface.name in self._unplugged:
                    raise OSError(f"no network interface {name_or_address!r}")
                return interface
        self._indices += 1
        index = self._indices
        name, address, address6 = name_or_address, f"10.0.{index}.{self.number}", f"fe80::{index}:{self.number}"
        try:
            given = ipaddress.ip_address(name_or_address)
        except ValueError:
            loopback = name == "lo"
        else:
            loopback = given.is_loopback
            name = "lo" if loopback else f"sim{index}"
            if given.version == 4:
                address = str(given)
            else:
                address6 = str(given)
        if loopback:
            address, address6 = address if address.startswith("127.") else "127.0.0.1", "::1"
        mac = b"" if loopback else struct.pack("!HHH", 0x0200, index, self.number)
        interface = self.interfaces[address] = Interface(name, index, address, address6, mac)
        self.version += 1
        return interface

    def unplug(self, name: str) -> None:
        """Remove an interface: it carries no packets, and its group memberships are lost."""
        index = self.interface(name).index
        self._unplugged.add(name)
        for receiver in self.receivers:
            if isinstance(receiver, SimReceiver):
                receiver.interface_lost(index)
        self.version += 1

    def plug(self, name: str, *, new_index: bool = False) -> None:
        """Add a removed interface again, without group memberships. With ``new_index`` it is another interface of the
        same name: senders bound to the old one cannot send."""
        self._unplugged.discard(name)
        if new_index:
            interface = self.interface(name)
            self._indices += 1
            self.interfaces[interface.address] = msgspec.structs.replace(interface, index=self._indices)
        self.version += 1

    def unplugged(self, interface: Interface) -> bool:
        """Whether an interface was removed, even if another one has its name now."""
        newest = self.interfaces.get(interface.address, interface)
        return interface.name in self._unplugged or interface.index != newest.index

    def obstacles(self, interface: Interface) -> Sequence[str]:
        """See `Network.obstacles`."""
        return ()

    def receiver(self, port: int, *, address: str = "", batch: int = 2048, packet_bytes: int = 1500) -> SimReceiver:
        """See `Network.receiver`."""
        if address and not is_group(address):
            self.interface(address)
        receiver = SimReceiver(self, port, address, batch, packet_bytes, self.socket_packets)
        self.receivers.append(receiver)
        self.version += 1
        return receiver

    def sender(self, interface: Interface, *, ttl: int, dscp: int) -> SimSender:
        """See `Network.sender`."""
        return SimSender(self, interface)

    def stamped(
        self,
        port: int,
        interface: Interface,
        *,
        ipv6: bool = False,
        ttl: int = 1,
        dscp: int = 0,
        hardware: bool = False,
    ) -> SimStampedSocket:
        """See `Network.stamped`. Its timestamps are those of `stamping`, whatever is asked for."""
        seed = (self.wire.seed, self.number, len(self.receivers))
        socket = SimStampedSocket(self, port or self.free_port(), interface, ipv6=ipv6, seed=seed)
        self.receivers.append(socket)
        self.version += 1
        return socket

    def free_port(self) -> int:
        """A port that no socket has."""
        return next(self._ports)

    def listeners(self, segment: str, source: str) -> list[ListeningFlows]:
        """The listeners that accept packets from an address over a segment."""
        now = (self.version, len(self.wire.flows))
        known = self._known_listeners.get((segment, source))
        if known is None or known[0] != now:
            listeners = []
            for interface in self.interfaces.values():
                here = self.wire.segment(interface.name, self.number) == segment
                if here and not self.unplugged(interface):
                    for receiver in self.receivers:
                        accepts = [receiver.accepts(flow, interface, source) for flow in self.wire.flows]
                        listeners.append((receiver, interface.index, np.array(accepts, np.bool_)))
            known = self._known_listeners[segment, source] = (now, [entry for entry in listeners if entry[2].any()])
        return known[1]

    def unicast_receiver(self, address: str, port: int) -> WireListener | None:
        """The receiver of unicast packets: the socket bound to the address, else the newest on the port."""
        on_port = [receiver for receiver in self.receivers if receiver.port == port]
        bound = [receiver for receiver in on_port if receiver.address == address]
        return next(reversed(bound or [receiver for receiver in on_port if not receiver.address]), None)

    def closed(self, receiver: WireListener) -> None:
        """A receiver of this host was closed."""
        if receiver in self.receivers:
            self.receivers.remove(receiver)
        self.version += 1
