"""Unicast negotiation (16.1) as a master: grants to clients, within limits."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from phasegraph.ieee1588 import CancelUnicast, GrantUnicast, MessageType, PortIdentity, RequestUnicast

from .intervals import NEVER, NS_PER_S, next_due_ns, stated_period_ns
from .port import Port
from .settings import DelayMechanism


class _Grant(msgspec.Struct):
    client: PortIdentity
    log_interval: int
    period_ns: int
    expires_ns: int
    next_ns: int
    """When to send; never for answers."""


class UnicastMaster:
    """Grants to clients, while the port is a master."""

    def __init__(self, port: Port, send: Callable[[MessageType, str, int], None]) -> None:
        """``send`` sends an Announce or Sync to an address, given the interval's logarithm."""
        self._port = port
        self._send = send
        self._grants: dict[tuple[str, MessageType], _Grant] = {}

    def __len__(self) -> int:
        return len(self._grants)

    @property
    def deadline_ns(self) -> int:
        """When `tick` is wanted."""
        return min((min(grant.next_ns, grant.expires_ns) for grant in self._grants.values()), default=NEVER)

    def answer_request(self, tlv: RequestUnicast, client: PortIdentity, address: str, now_ns: int) -> GrantUnicast:
        """Answer a request: granted as requested, perhaps for a shorter time, or refused with a duration of zero."""
        duration_s = self._duration_s(tlv, address)
        if duration_s:
            kind = MessageType(tlv.message_type)
            period_ns = stated_period_ns(tlv.log_interval)
            assert period_ns is not None
            before = self._grants.get((address, kind))
            due_ns = NEVER if kind is MessageType.DELAY_RESP else now_ns
            if before is not None and before.period_ns == period_ns:
                due_ns = before.next_ns
            expires_ns = now_ns + duration_s * NS_PER_S
            self._grants[address, kind] = _Grant(client, tlv.log_interval, period_ns, expires_ns, due_ns)
        else:
            self._port.drop("unicast_refused")
        return GrantUnicast(tlv.message_type, tlv.log_interval, duration_s, renewal_invited=duration_s > 0)

    def cancel_grant(self, kind: int, address: str) -> None:
        """The client cancels its grant."""
        for key in [key for key in self._grants if key == (address, kind)]:
            del self._grants[key]

    def tick(self, now_ns: int) -> None:
        """Send what is due, and forget what has expired."""
        for (address, kind), grant in tuple(self._grants.items()):
            if now_ns >= grant.expires_ns:
                del self._grants[address, kind]
            elif now_ns >= grant.next_ns:
                self._send(kind, address, grant.log_interval)
                grant.next_ns = next_due_ns(grant.next_ns, grant.period_ns, now_ns)

    def close(self) -> None:
        """Cancel all grants."""
        for (address, kind), grant in self._grants.items():
            tlv = CancelUnicast(kind, maintain_request=True).to_tlv()
            self._port.send_signaling(grant.client, address, tlv)
        self._grants.clear()

    def _duration_s(self, tlv: RequestUnicast, address: str) -> int:
        settings = self._port.settings
        kinds = {MessageType.ANNOUNCE, MessageType.SYNC}
        if settings.delay_mechanism is DelayMechanism.E2E:
            kinds.add(MessageType.DELAY_RESP)
        clients = {client for client, _ in self._grants}
        if (
            tlv.message_type not in kinds
            or tlv.log_interval < settings.grant_log_interval
            or stated_period_ns(tlv.log_interval) is None
            or (address not in clients and len(clients) >= settings.grant_clients)
        ):
            return 0
        return min(tlv.duration_s, settings.grant_duration_s)
