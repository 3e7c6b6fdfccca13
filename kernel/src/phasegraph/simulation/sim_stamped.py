"""Stamped sockets on the simulated wire: they wait in virtual time and timestamp in their host's local time."""

from __future__ import annotations

import errno
import heapq
import itertools
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import trio
from numpy.typing import NDArray

from .._core.localtime import StampKind
from ..net import Arrival, Departure, Interface, StampCounts, ipv4_number
from ..net.stamped.foreign_clock import ForeignClock
from ..net.stamped.system_stamped_socket import TRANSMIT_STAMP_TIMEOUT_S
from ..net.stamped.udp_socket import DATAGRAM_BYTES
from .impairments import chosen
from .link import Packets
from .local_clock import true_now_ns
from .sim_sockets import SimHost, WireSender, is_group


class _Event(NamedTuple):
    # An arrival or a departure that the socket's reader will get. Times are true.
    due_ns: int
    order: int
    read_ns: int
    """When the reader reads it, unless it reads another event before."""
    passed_ns: int
    stamped: bool
    token: int = 0
    arrival: tuple[bytes, tuple[str, int], str] | None = None


class SimStampedSocket:
    """Implements `phasegraph.net.StampedSocket`. How it stamps is its host's `SimNetwork.stamping`."""

    def __init__(self, host: SimHost, port: int, interface: Interface, *, ipv6: bool, seed: tuple[int, ...]) -> None:
        self.host = host
        self.interface = interface
        self.port = port
        self.address = interface.address6 if ipv6 else interface.address
        self.source = 0 if ipv6 else ipv4_number(interface.address)
        self.notes: Sequence[str] = ()
        self.counts = StampCounts()
        self._groups: set[str] = set()
        self._events: list[_Event] = []
        self._order = itertools.count()
        self._sent = 0
        self._random = np.random.default_rng(seed)
        self._realtime = ForeignClock(host.local, host.local.realtime_offset_ns)
        self._waiting: trio.CancelScope | None = None
        self._closed = False

    @property
    def stamps(self) -> StampKind:
        """See `StampedSocket.stamps`."""
        return self.host.stamping.kind

    def join(self, group: str) -> None:
        """See `StampedSocket.join`."""
        self._groups.add(group)
        self.host.version += 1

    def leave(self, group: str) -> None:
        """See `StampedSocket.leave`."""
        if group not in self._groups:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        self._groups.discard(group)
        self.host.version += 1

    def accepts(self, flow: tuple[str, int], interface: Interface, source: str) -> bool:
        """See `WireListener.accepts`."""
        address, port = flow
        if port != self.port or interface.index != self.interface.index:
            return False
        if is_group(address):
            return address in self._groups
        return address == self.address and self.host.unicast_receiver(address, port) is self

    def deliver(self, packets: Packets, addresses: NDArray[np.int64], sender: WireSender, interface: int) -> None:
        """See `WireListener.deliver`."""
        source = (sender.address, sender.port)
        for row, (flow, length) in enumerate(zip(packets.flow.tolist(), packets.length.tolist(), strict=True)):
            if length > DATAGRAM_BYTES:
                self.counts.too_long += 1
                continue
            if len(self._events) >= self.host.socket_packets:
                continue  # a full socket drops packets without a notice
            arrival = (packets.data[row, :length].tobytes(), source, self.host.wire.destinations[flow])
            at = int(packets.arrival[row])
            self._expect(at, at, True, arrival=arrival)

    def send(self, data: bytes, destination: tuple[str, int], token: int | None = None) -> None:
        """See `StampedSocket.send`."""
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flow = np.array([self.host.wire.flow(*destination)], np.int64)
        row = np.frombuffer(data, np.uint8)[np.newaxis]
        self.host.wire.carry(self, Packets(row, np.array([len(data)], np.int64), flow, np.zeros(1, np.int64)))
        if token is None:
            return
        now = true_now_ns()
        stamped = not chosen(self.host.stamping.missing_transmit, np.array([self._sent]))[0]
        self._sent += 1
        due = now if stamped else now + round(TRANSMIT_STAMP_TIMEOUT_S * 1e9)
        self._expect(due, now, stamped, token=token)

    def _expect(self, due: int, passed: int, stamped: bool, **what: Any) -> None:
        event = _Event(due, next(self._order), due + self._latency(), passed, stamped, **what)
        heapq.heappush(self._events, event)
        if self._waiting is not None:
            self._waiting.deadline = min(self._waiting.deadline, event.read_ns / 1e9)

    async def receive(self) -> Sequence[Arrival | Departure]:
        """See `StampedSocket.receive`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._closed:
            read_ns = min((event.read_ns for event in self._events), default=None)
            if read_ns is not None and read_ns <= true_now_ns():
                await trio.lowlevel.cancel_shielded_checkpoint()
                return self._due_events()
            try:
                with trio.CancelScope(deadline=math.inf if read_ns is None else read_ns / 1e9) as self._waiting:
                    await trio.sleep_forever()
            finally:
                self._waiting = None
        raise trio.ClosedResourceError("this socket is closed")

    def receive_available(self) -> Sequence[Arrival | Departure]:
        """See `StampedSocket.receive_available`."""
        if self._closed:
            raise trio.ClosedResourceError("this socket is closed")
        return self._due_events()

    def _latency(self) -> int:
        mean = self.host.stamping.latency_ns
        return round(self._random.exponential(mean)) if mean else 0

    def _due_events(self) -> list[Arrival | Departure]:
        now = true_now_ns()
        stepped = self._realtime.offset_ns() is None and self.stamps is StampKind.KERNEL
        self.counts.clock_steps = self._realtime.steps
        departures: list[Arrival | Departure] = []
        arrivals: list[Arrival | Departure] = []
        while self._events and self._events[0].due_ns <= now:
            event = heapq.heappop(self._events)
            usable = event.stamped and not stepped
            if event.arrival is None:
                self.counts.transmit_stamps_missing += not usable
                # By the clock reads around the call: before the packet went by about as long as they come after.
                stamp = self._stamp(event, usable, event.passed_ns - self._latency())
                departures.append(Departure(event.token, *stamp))
            else:
                self.counts.receive_stamps_missing += not usable
                arrivals.append(Arrival(*event.arrival, *self._stamp(event, usable, now)))
        return departures + arrivals

    def _stamp(self, event: _Event, usable: bool, user_ns: int) -> tuple[int, StampKind]:
        how = self.host.stamping
        if not usable or how.kind is StampKind.USER:
            return self.host.local.at(user_ns), StampKind.USER
        noise = round(self._random.normal(0.0, how.noise_ns)) if how.noise_ns else 0
        return self.host.local.at(event.passed_ns) + noise, how.kind

    def close(self) -> None:
        """See `StampedSocket.close`."""
        self._closed = True
        self.host.closed(self)
        if self._waiting is not None:
            self._waiting.cancel()
