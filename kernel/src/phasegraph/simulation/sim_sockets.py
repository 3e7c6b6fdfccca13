"""Simulated sockets: the ends of a simulated wire, through which nodes send and receive batches of packets."""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..net import Interface, PacketBatch, SendBuffer, ipv4_number
from .impairments import Stamping
from .link import Packets
from .local_clock import SimLocalClock, true_now_ns

_ABOUT = np.dtype([(name, np.int64) for name in ("length", "arrival", "destination", "source", "port", "interface")])


def is_group(address: str) -> bool:
    """Whether an address is a multicast group."""
    return ipaddress.ip_address(address).is_multicast


class SimHost(Protocol):
    """A host of a wire, as its sockets see it."""

    local: SimLocalClock
    number: int
    """Its number on the wire."""
    version: int
    """Changes when a listener is added, changed or removed."""
    holds: bool
    """Whether its senders can hold packets until their time."""
    socket_packets: int
    stamping: Stamping

    @property
    def wire(self) -> Carrier:
        """The wire that it is on."""

    def unplugged(self, interface: Interface) -> bool:
        """Whether an interface has no link."""

    def free_port(self) -> int:
        """A port that no socket has."""

    def unicast_receiver(self, address: str, port: int) -> WireListener | None:
        """The socket that gets unicast packets to an address and port."""

    def closed(self, receiver: WireListener) -> None:
        """A socket is closed."""


class Carrier(Protocol):
    """A wire, as the sockets of its hosts see it."""

    destinations: list[str]
    """Address of every flow, by its number."""

    def flow(self, address: str, port: int) -> int:
        """The number of the flow to an address and port."""

    def carry(self, sender: WireSender, packets: Packets, at_ns: int | None = None) -> None:
        """Carry packets to the listeners that accept them, now or from a later true time on."""


class WireSender(Protocol):
    """A socket that sends over a wire."""

    host: SimHost
    interface: Interface
    address: str
    """Source address of its packets."""
    source: int
    """The same as a number, if it is IPv4."""
    port: int


class WireListener(Protocol):
    """A socket that receives from a wire."""

    port: int
    address: str
    """The address that it is bound to; empty for all."""

    def accepts(self, flow: tuple[str, int], interface: Interface, source: str) -> bool:
        """Whether it accepts packets from a source address to a flow's address and port, on an interface."""

    def deliver(self, packets: Packets, addresses: NDArray[np.int64], sender: WireSender, interface: int) -> None:
        """Queue packets until they arrive; ``addresses`` has the IPv4 destination of every flow."""


class SimReceiver:
    """A simulated socket bound to a port. Packets wait in arrays until they have arrived and are read."""

    def __init__(self, host: SimHost, port: int, address: str, batch: int, packet_bytes: int, limit: int) -> None:
        self.port = port
        self.address = address
        self._host = host
        self._limit = limit
        self._batch = PacketBatch(batch, packet_bytes)
        self._joined: dict[tuple[str, int], set[str | None]] = {}
        self._closed = False
        self._dropped = 0
        self._count = 0
        self._data: NDArray[np.uint8] = np.zeros((batch, packet_bytes), np.uint8)
        self._about: NDArray[np.void] = np.zeros(batch, _ABOUT)

    @property
    def room(self) -> int:
        """See `Receiver.room`."""
        return self._limit

    def join(self, group: str, interface: Interface, source: str | None = None) -> None:
        """See `Receiver.join`."""
        self._joined.setdefault((group, interface.index), set()).add(source)
        self._host.version += 1

    def leave(self, group: str, interface: Interface, source: str | None = None) -> None:
        """See `Receiver.leave`."""
        sources = self._joined.get((group, interface.index), set())
        if source not in sources:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        sources.discard(source)
        self._host.version += 1

    def interface_lost(self, index: int) -> None:
        """Forget the groups that were joined on an interface."""
        self._joined = {key: sources for key, sources in self._joined.items() if key[1] != index}

    def accepts(self, flow: tuple[str, int], interface: Interface, source: str) -> bool:
        """See `WireListener.accepts`."""
        address, port = flow
        if port != self.port or self.address not in ("", address):
            return False
        if is_group(address):
            sources = self._joined.get((address, interface.index), set())
            return None in sources or source in sources
        return address == interface.address and self._host.unicast_receiver(address, port) is self

    def deliver(self, packets: Packets, addresses: NDArray[np.int64], sender: WireSender, interface: int) -> None:
        """See `WireListener.deliver`."""
        count = len(packets.flow)
        if self._count + count > len(self._data):
            self._settle()
            more = max(0, 2 * (self._count + count) - len(self._data))
            self._data = np.pad(self._data, ((0, more), (0, 0)))
            self._about = np.concatenate([self._about, np.zeros(more, _ABOUT)])
        end = self._count + count
        limit = self._batch.packet_bytes
        width = min(packets.data.shape[1], limit)
        self._data[self._count : end, :width] = packets.data[:, :width]
        about = self._about[self._count : end]
        about["length"] = np.where(packets.length > limit, -1, packets.length)
        about["arrival"] = packets.arrival
        about["destination"] = addresses[packets.flow]
        about["source"] = sender.source
        about["port"] = sender.port
        about["interface"] = interface
        self._count = end

    def receive(self) -> PacketBatch:
        """See `Receiver.receive`."""
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        batch = self._batch
        batch.count = 0
        if self._count == 0:
            return batch
        due = self._settle()
        count = min(due, batch.capacity)
        batch.count = count
        if count:
            about = self._about[:count]
            batch.data[:count] = self._data[:count]
            batch.length[:count] = about["length"]
            batch.arrival_ns[:count] = self._host.local.at_array(about["arrival"])
            batch.destination[:count] = about["destination"]
            batch.source[:count] = about["source"]
            batch.source_port[:count] = about["port"]
            batch.interface[:count] = about["interface"]
            self._keep(slice(count, self._count))
        return batch

    def _settle(self) -> int:
        # Sorts the packets by arrival, drops those for which a real socket has no room, and returns how many have
        # arrived.
        arrival = self._about["arrival"][: self._count]
        if (arrival[1:] < arrival[:-1]).any():
            self._keep(np.argsort(arrival, kind="stable"))
        due = int(np.searchsorted(arrival, true_now_ns(), "right"))
        if due > self._limit:
            self._dropped += due - self._limit
            self._keep(np.r_[: self._limit, due : self._count])
            due = self._limit
        return due

    def _keep(self, rows: slice | NDArray[np.int64]) -> None:
        data, about = self._data[: self._count][rows].copy(), self._about[: self._count][rows].copy()
        self._count = len(data)
        self._data[: self._count] = data
        self._about[: self._count] = about

    def dropped(self) -> int:
        """See `Receiver.dropped`."""
        return self._dropped

    def close(self) -> None:
        """See `Receiver.close`."""
        self._closed = True
        self._host.closed(self)


class SimSendBuffer(SendBuffer):
    """Rows with the numbers of their flows."""

    def __init__(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> None:
        super().__init__(rows, packet_bytes, destinations)
        self.flow: NDArray[np.int64] = np.zeros(rows, np.int64)


class SimSender:
    """A simulated socket that sends through one interface."""

    def __init__(self, host: SimHost, interface: Interface) -> None:
        self.host = host
        self.interface = interface
        self.address = interface.address
        self.source = ipv4_number(interface.address)
        self.port = host.free_port()
        self.refuse = 0
        """This number of the next rows is refused, as by a full queue or a network that is down."""
        self.refusal_errno = 0
        """See `Sender.refusal_errno`."""
        self._timed = False
        self._closed = False

    def buffer(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> SimSendBuffer:
        """See `Sender.buffer`."""
        buffer = SimSendBuffer(rows, packet_bytes, destinations)
        buffer.flow[:] = [self.host.wire.flow(address, port) for address, port in destinations]
        return buffer

    def send(self, buffer: SendBuffer, first: int, count: int) -> Sequence[int]:
        """See `Sender.send`."""
        assert isinstance(buffer, SimSendBuffer)
        gone = self._closed or self.host.unplugged(self.interface)
        refused = count if gone else min(self.refuse, count)
        if refused:
            self.refusal_errno = errno.ENETDOWN if gone else errno.ENOBUFS
        self.refuse = max(0, self.refuse - refused)
        if count > refused:
            self._transmit(buffer, slice(first + refused, first + count))
        return range(first, first + refused)

    def _transmit(self, buffer: SimSendBuffer, rows: slice) -> None:
        flow = buffer.flow[rows]
        packets = Packets(buffer.data[rows], buffer.length[rows], flow, np.zeros(len(flow), np.int64))
        if not (self._timed and self.host.holds):
            self.host.wire.carry(self, packets)
            return
        departure = np.maximum(buffer.departure_ns[rows], self.host.local.now_ns())
        for local_ns in np.unique(departure):
            which = packets.rows(departure == local_ns)
            self.host.wire.carry(self, which, self.host.local.true_at(int(local_ns)))

    def schedule(self, *, by_ring: bool = False) -> str:
        """See `Sender.schedule`."""
        if by_ring:
            return "a simulated host has no io_uring"
        self._timed = self._timed or self.host.holds
        return "" if self.host.holds else "this simulated host does not hold packets"

    @property
    def room(self) -> int:
        """See `Sender.room`."""
        return 1 << 16

    def close(self) -> None:
        """See `Sender.close`."""
        self._closed = True
