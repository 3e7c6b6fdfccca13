"""Unicast negotiation (16.1) as a client: requests messages of servers, and renews each grant before it expires."""

from __future__ import annotations

import msgspec

from phasegraph.ieee1588 import ALL_PORTS, CancelUnicast, GrantUnicast, MessageType, RequestUnicast

from .intervals import NEVER, NS_PER_S, period_ns, stated_period_ns
from .port import Port
from .settings import DelayMechanism

_FIRST_RETRY_NS = NS_PER_S
_LONGEST_RETRY_NS = 16 * NS_PER_S
_REFUSED_RETRY_NS = 10 * NS_PER_S


class _Contract(msgspec.Struct):
    log_interval: int
    next_ns: int
    """When to ask, for the first time or again."""
    retry_ns: int = _FIRST_RETRY_NS
    asked: bool = False
    """Whether an answer is awaited."""
    expires_ns: int = 0
    period_ns: int = 0


class UnicastClient:
    """Contracts of this port: Announces of every server; Sync and Delay_Resp of the one it follows."""

    def __init__(self, port: Port, now_ns: int) -> None:
        self._port = port
        self._contracts: dict[tuple[str, MessageType], _Contract] = {}
        for server in port.settings.servers:
            self._want(server, MessageType.ANNOUNCE, port.settings.log_announce_interval, now_ns)

    @property
    def deadline_ns(self) -> int:
        """When `tick` is wanted."""
        return min((contract.next_ns for contract in self._contracts.values()), default=NEVER)

    def period_ns(self, address: str, kind: MessageType, now_ns: int) -> int | None:
        """How often a server sends these messages; None where it has granted none, or the grant expired."""
        contract = self._contracts.get((address, kind))
        return contract.period_ns if contract is not None and now_ns < contract.expires_ns else None

    def request_sync_from(self, address: str, now_ns: int) -> None:
        """Request Sync and Delay_Resp of this server, and of no other."""
        self.cancel_sync()
        settings = self._port.settings
        self._want(address, MessageType.SYNC, settings.log_sync_interval, now_ns)
        if settings.delay_mechanism is DelayMechanism.E2E:
            self._want(address, MessageType.DELAY_RESP, settings.log_min_delay_req_interval, now_ns)

    def cancel_sync(self) -> None:
        """Cancel all but Announces."""
        for server, kind in tuple(self._contracts):
            if kind is not MessageType.ANNOUNCE:
                self._end(server, kind)

    def tick(self, now_ns: int) -> None:
        """Request what is not granted, or is about to expire."""
        for (server, kind), contract in self._contracts.items():
            if now_ns < contract.next_ns:
                continue
            tlv = RequestUnicast(kind, contract.log_interval, self._port.settings.request_duration_s).to_tlv()
            self._port.send_signaling(ALL_PORTS, server, tlv)
            contract.asked = True
            contract.next_ns = now_ns + contract.retry_ns
            contract.retry_ns = min(2 * contract.retry_ns, _LONGEST_RETRY_NS)

    def granted(self, tlv: GrantUnicast, address: str, now_ns: int) -> None:
        """A server answers a request."""
        contract = self._find(tlv.message_type, address)
        if contract is None or not contract.asked:
            self._port.drop("grant_unasked")
            return
        contract.asked = False
        if tlv.duration_s == 0:
            contract.next_ns = now_ns + _REFUSED_RETRY_NS
            kind = MessageType(tlv.message_type).name
            self._port.emit_event_rarely(now_ns, "unicast_refused", address=address, message=kind)
            return
        duration_ns = tlv.duration_s * NS_PER_S
        contract.retry_ns = _FIRST_RETRY_NS
        contract.period_ns = stated_period_ns(tlv.log_interval) or period_ns(contract.log_interval)
        contract.expires_ns = now_ns + duration_ns
        contract.next_ns = now_ns + max(duration_ns * 3 // 4, NS_PER_S)

    def cancelled(self, kind: int, address: str, now_ns: int) -> None:
        """A server cancels a grant; it is requested again later."""
        contract = self._find(kind, address)
        if contract is not None:
            contract.expires_ns = 0
            contract.asked = False
            contract.next_ns = now_ns + _REFUSED_RETRY_NS

    def close(self) -> None:
        """Cancel all contracts."""
        for server, kind in tuple(self._contracts):
            self._end(server, kind)

    def _find(self, kind: int, address: str) -> _Contract | None:
        return next((contract for key, contract in self._contracts.items() if key == (address, kind)), None)

    def _want(self, server: str, kind: MessageType, log_interval: int, now_ns: int) -> None:
        self._contracts[server, kind] = _Contract(log_interval, now_ns)

    def _end(self, server: str, kind: MessageType) -> None:
        contract = self._contracts.pop((server, kind))
        if contract.expires_ns:
            self._port.send_signaling(ALL_PORTS, server, CancelUnicast(kind, maintain_grant=True).to_tlv())
