"""Answers to management messages, from the network and from the UNIX socket, out of one instance's data sets."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator

from phasegraph.ieee1588 import MalformedMessage, Management, MessageType

from .port_sockets import PortSockets
from .protocol import OrdinaryClock
from .protocol.management_data import ClockDescription, ManagementView
from .protocol.management_responder import answer


class ClockManagement:
    """Answers for one instance."""

    def __init__(self, engine: OrdinaryClock, sockets: PortSockets, transport: str, user: str) -> None:
        """``user`` is the name that CLOCK_DESCRIPTION gives."""
        self.dropped: Counter[str] = Counter()
        """Requests without an answer, by reason."""
        self._engine = engine
        self._sockets = sockets
        self._ipv6 = transport == "udp6"
        self._user = user

    def responses(self, request: Management, source: str, now_ns: int) -> Iterator[Management]:
        """The answers to a request of an address, within the rate limit."""
        try:
            answers = self.answers(request)
        except MalformedMessage as refusal:
            self.dropped[refusal.reason] += 1
            return
        for message in answers:
            if not self._engine.may_answer(source, now_ns):
                self.dropped["too_many"] += 1
                return
            yield message

    def answers(self, request: Management) -> tuple[Management, ...]:
        """The answers to a request: at most one. Raises MalformedMessage."""
        engine, interface = self._engine, self._sockets.interface
        address = interface.address6 if self._ipv6 else interface.address
        packed = ipaddress.ip_address(address).packed if address else b""
        view = ManagementView(
            data=engine.data,
            description=ClockDescription(mac=interface.mac, address=packed, user=self._user),
            interface=interface.name,
            stamps=self._sockets.stamps,
            received={kind: engine.counters.get(f"received_{kind.name.lower()}", 0) for kind in MessageType},
            sent={kind: engine.counters.get(f"sent_{kind.name.lower()}", 0) for kind in MessageType},
        )
        answered = answer(request, view)
        return () if answered is None else (answered,)
