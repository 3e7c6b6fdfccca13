"""The leader's side of PTP: Announce, Sync and Follow_Up to each peer alone, and answers to what they ask."""

from __future__ import annotations

from collections.abc import Callable

from phasegraph.ieee1588 import (
    AcknowledgeCancelUnicast,
    CancelUnicast,
    DelayReq,
    GrantUnicast,
    Message,
    MessageType,
    PDelayReq,
    PDelayResp,
    PortIdentity,
    RequestUnicast,
    Signaling,
    Tlv,
    encode,
    understand,
)

from ..wire import compose
from ..wire.compose import AnnouncedDataset
from .engine_actions import SendDatagram, TimingPeer

SYNC_NS = 125_000_000
ANNOUNCE_NS = 250_000_000
LEASE_S = 300
"""Longest grant; a peer that wants more asks again."""
MOST_ANSWERS = 8
"""No more requests of one message are answered."""
_GRANTED = {MessageType.ANNOUNCE, MessageType.SYNC, MessageType.DELAY_RESP}
SyncToken = tuple[TimingPeer, int]
"""Who a Sync was sent to, and its sequence."""


class PtpLeader:
    """Messages of a leader. Its time is local time, or a timeline made of it: Apple's devices send their uptime."""

    def __init__(
        self,
        port: PortIdentity,
        data: AnnouncedDataset,
        send: Callable[[SendDatagram], None],
        remember: Callable[[object], int],
        timeline: Callable[[int], int] = int,
    ) -> None:
        self.data = data
        self._port = port
        self._send = send
        self._remember = remember
        self._timeline = timeline
        self._sequence = 0
        self._announced = 0
        self._signaled = 0
        self._sync_due_ns = 0
        self._announce_due_ns = 0

    def tick(self, peers: list[TimingPeer], now_ns: int) -> int:
        """Send what is due; returns the next due time."""
        if now_ns >= self._announce_due_ns:
            self._announce_due_ns = _next(self._announce_due_ns, now_ns, ANNOUNCE_NS)
            for peer in peers:
                self.general(peer, compose.announce(self._port, self.next_announce(), self.data))
        if now_ns >= self._sync_due_ns:
            self._sync_due_ns = _next(self._sync_due_ns, now_ns, SYNC_NS)
            self._sequence = (self._sequence + 1) % 2**16
            for peer in peers:
                token: SyncToken = peer, self._sequence
                self._event(peer, compose.sync(self._port, self._sequence), self._remember(token))
        return min(self._announce_due_ns, self._sync_due_ns)

    def next_announce(self) -> int:
        """The sequence of the next Announce."""
        self._announced = (self._announced + 1) % 2**16
        return self._announced

    def sync_departed(self, token: SyncToken, local_ns: int) -> None:
        """A Sync left: a Follow_Up with its time goes to its own peer, since each copy has its own time."""
        peer, sequence = token
        self.general(peer, compose.follow_up(self._port, sequence, self._timeline(local_ns)))

    def answer(self, peer: TimingPeer, request: DelayReq, local_ns: int) -> None:
        """Answer a Delay_Req."""
        self.general(peer, compose.delay_resp(self._port, request, self._timeline(local_ns)))

    def answer_neighbour(self, peer: TimingPeer, request: PDelayReq, local_ns: int) -> None:
        """Answer a Pdelay_Req: never seen of Apple's devices, but others ask so."""
        response = compose.pdelay_resp(self._port, request, self._timeline(local_ns))
        self._event(peer, response, self._remember((peer, response)))

    def neighbour_departed(self, peer: TimingPeer, response: PDelayResp, local_ns: int) -> None:
        """The answer to a Pdelay_Req left."""
        self.general(peer, compose.pdelay_follow_up(response, self._timeline(local_ns)))

    def negotiate(self, peer: TimingPeer, message: Signaling, leads: bool) -> int | None:
        """Answer what is asked for by unicast negotiation (IEEE 1588-2019, 16.1): peers have it anyway, or not at all.

        Returns for how many seconds it is to take part, if it has asked; 0 where it wants to no longer. Raises
        MalformedMessage.
        """
        answers: list[Tlv] = []
        granted_s = None
        for tlv in map(understand, message.tlvs):
            if isinstance(tlv, RequestUnicast):
                lease_s = min(tlv.duration_s, LEASE_S) if leads and tlv.message_type in _GRANTED else 0
                granted_s = max(granted_s or 0, lease_s)
                answers.append(GrantUnicast(tlv.message_type, tlv.log_interval, lease_s, lease_s > 0).to_tlv())
            elif isinstance(tlv, CancelUnicast):
                granted_s = 0
                answers.append(
                    AcknowledgeCancelUnicast(tlv.message_type, tlv.maintain_request, tlv.maintain_grant).to_tlv()
                )
        if answers:
            self._signaled = (self._signaled + 1) % 2**16
            self.general(peer, compose.signaling(self._port, self._signaled, message.source, answers[:MOST_ANSWERS]))
        return granted_s

    def general(self, peer: TimingPeer, message: Message) -> None:
        """Send to a peer's general port."""
        self._send(SendDatagram(data=encode(message), destination=(peer.address, peer.general_port), event=False))

    def _event(self, peer: TimingPeer, message: Message, token: int) -> None:
        self._send(SendDatagram(data=encode(message), destination=(peer.address, peer.event_port), token=token))


def _next(due_ns: int, now_ns: int, interval_ns: int) -> int:
    # Evenly spaced, and not all at once what was missed.
    return due_ns + interval_ns if now_ns - due_ns < interval_ns else now_ns + interval_ns
