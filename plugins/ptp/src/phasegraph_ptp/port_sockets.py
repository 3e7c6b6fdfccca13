"""The sockets of all PTP clocks of a run: one pair per interface, transport and ports, shared by their domains.

Sharing is not thrift: of several sockets on one port the system hands a unicast datagram to only one, so that a second
domain, or a grandmaster and a follower side by side, would miss answers that are theirs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from random import Random
from typing import Protocol

import msgspec
import trio

from phasegraph import NodeContext, StampKind
from phasegraph.ieee1588 import MalformedMessage, Message, Reason, TransmitTokens, decode
from phasegraph.net import Arrival, Departure, Interface, StampedSocket

PRIMARY = {"udp4": "224.0.1.129", "udp6": "ff0e::181"}
"""Group of all messages but those of the peer delay mechanism (IEEE 1588-2019, C.3 and D.3)."""
PEER = {"udp4": "224.0.0.107", "udp6": "ff02::6b"}
"""Group of the peer delay mechanism, which no router forwards."""
REJOIN_S = 30.0
"""After this time without a multicast message of another host the groups are joined again: a snooping switch without a
querier forgets its members."""
WATCH_S = 2.0
"""How often the interface is compared with the one that the sockets were opened on."""


READING_S = (0.2, 0.3)
"""How often the sockets of patient listeners are read, from which until which interval: each reading finds what arrived
meanwhile. To wake up for each packet costs four times as much processor time (benchmarks/ptp_cost.py). What is sent
then is sent at random times, so that no queue is met again and again."""
BUSY_ITEMS = 128
"""More at one reading are a flood, which is read as it comes for the next `BUSY_S`. The sockets hold more."""
BUSY_S = 10.0


class PortListener(Protocol):
    """A PTP instance, as its sockets see it."""

    @property
    def patient(self) -> bool:
        """Whether what arrives may wait for `READING_S`, since its stamps say when it arrived."""

    def sockets_read(self) -> None:
        """What had arrived has been passed on; called after each reading while all are patient, and after the last."""

    def message_received(self, message: Message, arrival: Arrival, *, unicast: bool) -> None:
        """A message arrived."""

    def version_refused(self, version: int, source: str, local_ns: int) -> None:
        """A datagram of another PTP version arrived."""

    def message_departed(self, token: int, local_ns: int, stamp: StampKind) -> None:
        """A message that was sent with a token left."""

    def interface_lost(self, reason: str) -> None:
        """The interface is gone: nothing can be sent or received until `interface_found`."""

    def interface_found(self) -> None:
        """The interface is there again, or another of its name."""


class PortSocketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a pair of sockets."""

    interface: str
    transport: str
    event_port: int
    general_port: int
    ttl: int
    event_dscp: int
    general_dscp: int
    hardware_stamps: bool

    @property
    def place(self) -> tuple[str, str, int, int]:
        """Clocks of the same place share sockets."""
        return self.interface, self.transport, self.event_port, self.general_port


class PortSockets:
    """A socket for event messages, one for general messages, and the instances that listen to them."""

    def __init__(
        self,
        settings: PortSocketSettings,
        find: Callable[[], Interface],
        open: Callable[[Interface, int, int, bool], StampedSocket],
    ) -> None:
        """``find`` looks for the interface; ``open`` makes a socket on it, on a port with a code point, with hardware
        stamps if it may. Both raise OSError."""
        self.settings = settings
        self.interface = find()
        self.malformed: Counter[str] = Counter()
        """Datagrams that were no PTP messages, by reason."""
        self.paced = False
        """Whether the sockets are read every `READING_S`, and not as packets arrive: all listeners are patient,
        and no flood came."""
        self._listeners: list[PortListener] = []
        self._tokens: TransmitTokens[tuple[PortListener, int]] = TransmitTokens()
        self._silent_since = 0.0
        self._busy_until = -math.inf
        self._random = Random(self.interface.mac)
        self._reading = trio.Lock()
        self._find = find
        self._make = open
        self._gone = False
        self._open_sockets()

    def send_message(
        self, listener: PortListener, data: bytes, *, event: bool, address: str, token: int | None
    ) -> None:
        """Send a message now; with a token, the listener gets the time when it left. Raises OSError."""
        socket, port = (self._event, self.settings.event_port) if event else (self._general, self.settings.general_port)
        own = None if token is None else self._tokens.issue((listener, token))
        socket.send(data, (address, port), own)

    async def listen(self, listener: PortListener) -> None:
        """Pass everything that arrives to a listener, until cancelled."""
        self._listeners.append(listener)
        try:
            # The first listener reads for all; when it ends the next one takes over.
            async with self._reading:
                while True:
                    if self._gone:
                        await self._come_back()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._read_sockets)
                        nursery.start_soon(self._rejoin_when_silent)
                        reason = await self._interface_change()
                        nursery.cancel_scope.cancel()
                    self._gone = True
                    self.paced = False
                    self.close()
                    for each in tuple(self._listeners):
                        each.interface_lost(reason)
        finally:
            self._listeners.remove(listener)

    def close(self) -> None:
        """Close both sockets."""
        self._event.close()
        self._general.close()

    def notes(self) -> list[str]:
        """What the system refused when the sockets were opened, in sentences."""
        return [*self._event.notes, *self._general.notes]

    @property
    def stamps(self) -> StampKind:
        """The best kind of stamp that event messages get."""
        return self._event.stamps

    def counts(self) -> dict[str, int]:
        """Datagrams that were refused, and stamps that the system could not give."""
        counts = {f"dropped_{reason}": count for reason, count in self.malformed.items()}
        return counts | msgspec.structs.asdict(self._event.counts)

    def _open_sockets(self) -> None:
        settings, interface = self.settings, self.interface
        self._event = self._make(interface, settings.event_port, settings.event_dscp, settings.hardware_stamps)
        try:
            self._general = self._make(interface, settings.general_port, settings.general_dscp, False)
        except OSError:
            self._event.close()
            raise
        for socket, group in self._memberships():
            socket.join(group)

    async def _interface_change(self) -> str:
        # Returns the reason when sockets on the interface no longer reach the network.
        while True:
            await trio.sleep(WATCH_S)
            try:
                found = self._find()
                if self._used_of(found) != self._used_of(self.interface):
                    return f"the interface {self.interface.name} is another one now"
                self.interface = found  # an address of the other family may have changed
            except OSError as error:
                return str(error)

    def _used_of(self, interface: Interface) -> tuple[object, ...]:
        # What the sockets depend on: not the address of a family that they do not use.
        address = interface.address6 if self.settings.transport == "udp6" else interface.address
        return interface.name, interface.index, interface.mac, address

    async def _come_back(self) -> None:
        while self._gone:
            await trio.sleep(WATCH_S)
            with suppress(OSError):  # its loss is reported already
                self.interface = self._find()
                self._open_sockets()
                self._gone = False
        for each in tuple(self._listeners):
            each.interface_found()

    def _memberships(self) -> product[tuple[StampedSocket, str]]:
        transport = self.settings.transport
        return product((self._event, self._general), (PRIMARY[transport], PEER[transport]))

    async def _rejoin_when_silent(self) -> None:
        self._silent_since = trio.current_time()
        while True:
            await trio.sleep_until(self._silent_since + REJOIN_S)
            if trio.current_time() >= self._silent_since + REJOIN_S:
                self._silent_since = trio.current_time()
                self._rejoin()

    def _rejoin(self) -> None:
        # The system reports a leave to the network only when the last socket of an interface has left. It refuses both
        # while the interface is gone.
        for socket, group in self._memberships():
            with suppress(OSError):
                socket.leave(group)
        for socket, group in self._memberships():
            with suppress(OSError):
                socket.join(group)

    async def _read_sockets(self) -> None:
        while True:
            self.paced = self._may_wait
            if self.paced:
                await trio.sleep(self._random.uniform(*READING_S))
                self._read_available()
            else:
                for listener in tuple(self._listeners):  # a patient one sees that another one is not
                    listener.sockets_read()
                async with trio.open_nursery() as nursery:
                    for socket in (self._event, self._general):
                        nursery.start_soon(self._receive_loop, socket, nursery.cancel_scope)

    def _read_available(self) -> None:
        items = [*self._event.receive_available(), *self._general.receive_available()]
        if len(items) > BUSY_ITEMS:
            self._busy_until = trio.current_time() + BUSY_S
        # As they came: a Follow_Up after its Sync, and before many more of them.
        for item in sorted(items, key=lambda item: item.local_ns):
            self._dispatch(item)
        for listener in tuple(self._listeners):
            listener.sockets_read()

    async def _receive_loop(self, socket: StampedSocket, reading: trio.CancelScope) -> None:
        while True:
            for item in await socket.receive():
                self._dispatch(item)
            if self._may_wait:
                reading.cancel()

    @property
    def _may_wait(self) -> bool:
        calm = trio.current_time() >= self._busy_until
        return calm and self.stamps is not StampKind.USER and all(each.patient for each in self._listeners)

    def _dispatch(self, item: Arrival | Departure) -> None:
        if isinstance(item, Departure):
            waiting = self._tokens.redeem(item.token)
            if waiting is not None:
                listener, token = waiting
                listener.message_departed(token, item.local_ns, item.stamp)
            return
        primary = PRIMARY[self.settings.transport]
        if item.destination in ("", primary) and item.source[0] not in (
            self.interface.address,
            self.interface.address6,
        ):
            self._silent_since = trio.current_time()
        try:
            message = decode(item.data)
        except MalformedMessage as refusal:
            self.malformed[refusal.reason.value] += 1
            if refusal.reason is Reason.VERSION:
                for listener in tuple(self._listeners):
                    listener.version_refused(item.data[1] & 0xF, item.source[0], item.local_ns)
            return
        unicast = item.destination not in ("", primary, PEER[self.settings.transport])
        for listener in tuple(self._listeners):
            listener.message_received(message, item, unicast=unicast)


class SharedPortSockets:
    """The sockets of all clocks of a run, by place."""

    def __init__(self, ctx: NodeContext) -> None:
        self._network = ctx.network
        self._by_place: dict[tuple[str, str, int, int], PortSockets] = {}

    def open_sockets(self, settings: PortSocketSettings) -> PortSockets:
        """The sockets of these settings; opened, if they are the first of their place.

        Raises OSError where a port cannot be had, ValueError where another clock of the run uses the same ports with
        other settings.
        """
        sockets = self._by_place.get(settings.place)
        if sockets is None:

            def find() -> Interface:
                return self._network.interface(settings.interface, ipv6=settings.transport == "udp6")

            def open_socket(interface: Interface, port: int, dscp: int, hardware: bool) -> StampedSocket:
                return self._network.stamped(
                    port,
                    interface,
                    ipv6=settings.transport == "udp6",
                    ttl=settings.ttl,
                    dscp=dscp,
                    hardware=hardware,
                )

            sockets = self._by_place[settings.place] = PortSockets(settings, find, open_socket)
        elif sockets.settings != settings:
            raise ValueError("another PTP clock of this graph uses the same ports with another ttl, dscp or stamps")
        return sockets

    def close(self) -> None:
        """Close every socket."""
        for sockets in self._by_place.values():
            sockets.close()
