"""A LAN segment in virtual time: an event heap, nodes, and a link from each to each. Deterministic from its seed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random

from phasegraph import StampKind
from phasegraph.ieee1588 import Message, PortIdentity, decode, encode
from phasegraph.testing import Oscillator
from phasegraph_ptp.protocol import PortRole, PortState, SendMessage, Settings

from .links import Link
from .node import Node, S


class World:
    """True time, and all that happens in it."""

    def __init__(self, seed: int = 0, *, link: Link | None = None, through_codec: bool = True) -> None:
        """``link`` is between any two nodes unless `connect` says otherwise. Without ``through_codec`` messages are
        handed over as they are, which is quicker.
        """
        self.now_ns = 0
        self.random = Random(seed)
        self.nodes: list[Node] = []
        self.link = link or Link()
        self.sent: Counter[tuple[str, str]] = Counter()
        """(type of message, "multicast" or "unicast") -> how many left their nodes."""
        self._links: dict[tuple[str, str], Link] = {}
        self._through_codec = through_codec
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def add(
        self,
        settings: Settings,
        *,
        ppm: float = 0.0,
        oscillator: Oscillator | None = None,
        identity: PortIdentity | None = None,
        local_epoch_ns: int | None = None,
    ) -> Node:
        """A node. What is not a follower tells its own oscillator's time."""
        node = Node(
            self,
            settings,
            number=len(self.nodes) + 1,
            oscillator=oscillator or Oscillator(ppm=ppm),
            identity=identity,
            local_epoch_ns=local_epoch_ns,
        )
        self.nodes.append(node)
        if settings.role is not PortRole.FOLLOWER:
            node.serve()
        return node

    def connect(self, source: Node, destination: Node, link: Link) -> None:
        """What lies between two nodes, this way."""
        self._links[source.address, destination.address] = link

    def at(self, true_ns: int, action: Callable[[], None]) -> None:
        """Have something happen."""
        self._count += 1
        heapq.heappush(self._events, (true_ns, self._count, action))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end_ns = self.now_ns + round(seconds * S)
        while self._events and self._events[0][0] <= end_ns:
            self.now_ns, _, action = heapq.heappop(self._events)
            action()
        self.now_ns = end_ns

    def masters(self) -> list[Node]:
        """Those that live and are MASTER."""
        return [node for node in self.nodes if node.alive and node.state is PortState.MASTER]

    def attend(self, node: Node) -> None:
        """Carry out what a node wants done, and wake it when it wants to be."""
        node.obey()
        node.wake += 1
        number = node.wake

        def wake() -> None:
            if node.alive and node.wake == number:
                node.clock.tick(node.local_ns)
                self.attend(node)

        deadline_ns = node.clock.deadline_ns
        if deadline_ns < 2**62:
            self.at(max(self.now_ns, node.true_at(deadline_ns) + 1), wake)

    def send(self, source: Node, send: SendMessage) -> None:
        """A message leaves a node."""
        message = send.message
        token = send.token
        if token is not None and source.stamps(message):
            local_ns = source.local_ns

            def stamped() -> None:
                if source.alive:
                    source.clock.message_departed(token, local_ns, source.stamp_kind)
                    self.attend(source)

            self.at(self.now_ns + source.stamp_delay_ns, stamped)
        unicast = isinstance(send.destination, str)
        self.sent[message.type.name, "unicast" if unicast else "multicast"] += 1
        if not source.passes(message):
            return
        message = source.alters(message)
        if self._through_codec:
            message = decode(encode(message))
        for node in self.nodes:
            if node is source or (unicast and node.address != send.destination):
                continue
            link = self._links.get((source.address, node.address), self.link)
            for delay_ns in link.arrivals(self.random):
                self.at(self.now_ns + delay_ns, self._arrival(node, message, source.address, unicast))

    def inject(self, node: Node, message: Message, *, source: str = "10.9.9.9", unicast: bool = False) -> None:
        """A message from outside comes in at a node, now."""
        self._arrival(node, message, source, unicast)()

    def _arrival(self, node: Node, message: Message, source: str, unicast: bool) -> Callable[[], None]:
        def arrive() -> None:
            if node.alive:
                local_ns = node.local_ns
                node.clock.handle_message(
                    message, source=source, unicast=unicast, local_ns=local_ns, stamp=StampKind.KERNEL
                )
                self.attend(node)

        return arrive
