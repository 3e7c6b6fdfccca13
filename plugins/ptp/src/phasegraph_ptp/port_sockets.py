"""The sockets of all PTP clocks of a run: one pair per interface, transport and ports, shared by their domains.

Sharing is not thrift: of several sockets on one port the system hands a unicast datagram to only one, so that a second
domain, or a grandmaster and a follower side by side, would miss answers that are theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from typing import Protocol

import msgspec
import trio

from phasegraph import NodeContext, StampKind
from phasegraph.ieee1588 import MalformedMessage, Message, decode, encode
from phasegraph.net import Arrival, Departure, Interface, StampedSocket

PRIMARY = {"udp4": "224.0.1.129", "udp6": "ff0e::181"}
"""Group of all messages but those of the peer delay mechanism (IEEE 1588-2019, C.3 and D.3)."""
PEER = {"udp4": "224.0.0.107", "udp6": "ff02::6b"}
"""Group of the peer delay mechanism, which no router forwards."""
REJOIN_S = 30.0
"""After so long without a multicast of another host the groups are joined anew: a snooping switch without a querier
forgets its members."""
WATCH_S = 2.0
"""How often it is looked whether the interface is still the one that the sockets were opened on."""
MOST_TOKENS = 1024


class Listener(Protocol):
    """A PTP instance, as its wire sees it."""

    def heard(self, message: Message, arrival: Arrival, *, unicast: bool) -> None:
        """A message came in."""

    def departed(self, token: int, local_ns: int, stamp: StampKind) -> None:
        """A message that was sent with a token went out."""

    def lost(self, reason: str) -> None:
        """The interface is gone: nothing can be sent or heard until `found`."""

    def found(self) -> None:
        """The interface is there again, or another of its name."""


class WireSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a pair of sockets."""

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
        """Clocks with the same of it share sockets."""
        return self.interface, self.transport, self.event_port, self.general_port


class Wire:
    """A socket for event messages and one for general messages, and who listens to them."""

    def __init__(
        self,
        settings: WireSettings,
        find: Callable[[], Interface],
        open: Callable[[Interface, int, int, bool], StampedSocket],
    ) -> None:
        """``find`` looks for the interface; ``open`` makes a socket on it, on a port with a code point, with hardware
        stamps if it may. Both raise OSError."""
        self.settings = settings
        self.interface = find()
        self.malformed: Counter[str] = Counter()
        """Datagrams that were no PTP messages, by reason."""
        self._listeners: list[Listener] = []
        self._tokens: dict[int, tuple[Listener, int]] = {}
        self._token = 0
        self._silent_since = 0.0
        self._reading = trio.Lock()
        self._find = find
        self._make = open
        self._gone = False
        self._open()

    def send(self, listener: Listener, message: Message, *, event: bool, address: str, token: int | None) -> None:
        """Send a message now; with a token, the listener is told when it left. Raises OSError."""
        socket, port = (self._event, self.settings.event_port) if event else (self._general, self.settings.general_port)
        own = None
        if token is not None:
            self._token = own = self._token + 1
            self._tokens[own] = (listener, token)
            if len(self._tokens) > MOST_TOKENS:
                del self._tokens[next(iter(self._tokens))]
        socket.send(encode(message), (address, port), own)

    async def listen(self, listener: Listener) -> None:
        """Hand a listener all that comes in, until cancelled."""
        self._listeners.append(listener)
        try:
            # Whichever listener is here first reads for all; when it goes the next one takes over.
            async with self._reading:
                while True:
                    if self._gone:
                        await self._come_back()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._read, self._event)
                        nursery.start_soon(self._read, self._general)
                        nursery.start_soon(self._stay_joined)
                        reason = await self._leaving()
                        nursery.cancel_scope.cancel()
                    self._gone = True
                    self.close()
                    for each in tuple(self._listeners):
                        each.lost(reason)
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
        """What was refused, and which stamps the system could not give."""
        counts = {f"dropped_{reason}": count for reason, count in self.malformed.items()}
        return counts | msgspec.structs.asdict(self._event.counts)

    def _open(self) -> None:
        settings, interface = self.settings, self.interface
        self._event = self._make(interface, settings.event_port, settings.event_dscp, settings.hardware_stamps)
        try:
            self._general = self._make(interface, settings.general_port, settings.general_dscp, False)
        except OSError:
            self._event.close()
            raise
        for socket, group in self._memberships():
            socket.join(group)

    async def _leaving(self) -> str:
        # Returns when sockets on the interface lead nowhere any more, with the reason.
        while True:
            await trio.sleep(WATCH_S)
            try:
                if self._find() != self.interface:
                    return f"the interface {self.interface.name} is another one now"
            except OSError as error:
                return str(error)

    async def _come_back(self) -> None:
        while self._gone:
            await trio.sleep(WATCH_S)
            with suppress(OSError):  # it is said already that it is gone
                self.interface = self._find()
                self._open()
                self._gone = False
        for each in tuple(self._listeners):
            each.found()

    def _memberships(self) -> product[tuple[StampedSocket, str]]:
        transport = self.settings.transport
        return product((self._event, self._general), (PRIMARY[transport], PEER[transport]))

    async def _stay_joined(self) -> None:
        self._silent_since = trio.current_time()
        while True:
            await trio.sleep_until(self._silent_since + REJOIN_S)
            if trio.current_time() >= self._silent_since + REJOIN_S:
                self._silent_since = trio.current_time()
                self._rejoin()

    def _rejoin(self) -> None:
        # The system tells the network only when the last socket of an interface has left. It refuses both while the
        # interface is gone.
        for socket, group in self._memberships():
            with suppress(OSError):
                socket.leave(group)
        for socket, group in self._memberships():
            with suppress(OSError):
                socket.join(group)

    async def _read(self, socket: StampedSocket) -> None:
        while True:
            for item in await socket.receive():
                self._dispatch(item)

    def _dispatch(self, item: Arrival | Departure) -> None:
        if isinstance(item, Departure):
            listener, token = self._tokens.pop(item.token, (None, 0))
            if listener is not None:
                listener.departed(token, item.local_ns, item.stamp)
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
            return
        unicast = item.destination not in ("", primary, PEER[self.settings.transport])
        for listener in tuple(self._listeners):
            listener.heard(message, item, unicast=unicast)


class Wires:
    """The wires of a run, by place."""

    def __init__(self, ctx: NodeContext) -> None:
        self._network = ctx.network
        self._wires: dict[tuple[str, str, int, int], Wire] = {}

    def open(self, settings: WireSettings) -> Wire:
        """The wire of these settings; opened, if it is the first of its place.

        Raises OSError where a port cannot be had, ValueError where another clock of the run uses the same ports with
        other settings.
        """
        wire = self._wires.get(settings.place)
        if wire is None:

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

            wire = self._wires[settings.place] = Wire(settings, find, open_socket)
        elif wire.settings != settings:
            raise ValueError("another PTP clock of this graph uses the same ports with another ttl, dscp or stamps")
        return wire

    def close(self) -> None:
        """Close every socket."""
        for wire in self._wires.values():
            wire.close()
