"""Mode ``compact``: Sync, Delay_Req and Delay_Resp of 24 octets over one port. Roles are fixed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from phasegraph.ieee1588 import format_clock_identity

from ..filters import DelayExchange, LeaderSync, TimingSample
from ..wire import compact
from ..wire.compact import CompactPacket, CompactType
from ..wire.malformed_packet import MalformedPacket
from .delay_requests import DelayRequests
from .engine_actions import LeaderChanged, SampleTaken, SendDatagram, TimingPeer, TimingRole
from .leader import SYNC_NS
from .leader_election import ALIVE_NS
from .timing_engine import TimingEngine

STEP_NS = 15_259
"""Times are cut off to this: a true time is that of the packet, or up to a step later."""


class CompactEngine(TimingEngine):
    """See the module."""

    def __init__(self, role: TimingRole, identity: int, peers: Iterable[TimingPeer], now_ns: int) -> None:
        super().__init__(peers, now_ns)
        self.leads = role is TimingRole.LEAD
        self._identity = identity
        self._sequence = 0
        self._leader: tuple[int, str] | None = None
        """Identity and address."""
        self._heard_ns = 0
        self._last: LeaderSync | None = None
        self._done: deque[int] = deque(maxlen=32)
        self._questions = DelayRequests(self._drop)
        self._one_way = False
        if self.leads:
            self._todo.append(LeaderChanged(format_clock_identity(identity), own=True))

    @property
    def one_way(self) -> bool:
        """See `TimingEngine.one_way`."""
        return self._one_way

    def receive(self, data: bytes, source: tuple[str, int], local_ns: int, now_ns: int) -> None:
        """See `TimingEngine.receive`."""
        try:
            packet = compact.decode(data)
        except MalformedPacket as refusal:
            self._drop(refusal.reason.value)
            return
        peer = self._peer_at(source, now_ns, (source[1], source[1]))
        if peer is None:
            self._drop("stranger")
        elif packet.type is CompactType.DELAY_REQ and self.leads:
            self._send(source, CompactType.DELAY_RESP, packet.sequence, local_ns)
            if self.readiness.note(peer.address, now_ns):
                self._notice("peer_ready", peer=peer.address)
        elif packet.type is CompactType.SYNC and not self.leads:
            self._sync(packet, source, local_ns, now_ns)
        elif packet.type is CompactType.DELAY_RESP and not self.leads:
            self._answer(packet, source, now_ns)
        else:
            self._drop("unused")

    def departed(self, token: int, local_ns: int) -> None:
        """See `TimingEngine.departed`."""
        sequence = self._tokens.redeem(token)
        if isinstance(sequence, int):
            self._measured(self._questions.departed(sequence, local_ns), local_ns)

    def tick(self, now_ns: int) -> None:
        """See `TimingEngine.tick`."""
        self._forget_silent(now_ns)
        if self.leads and now_ns >= self.deadline_ns:
            self._sequence = (self._sequence + 1) % 2**16
            for peer in self.peers:
                self._send((peer.address, peer.event_port), CompactType.SYNC, self._sequence, now_ns)
        self._questions.expire(now_ns)
        self._look()
        self.deadline_ns = now_ns + SYNC_NS

    def _sync(self, packet: CompactPacket, source: tuple[str, int], local_ns: int, now_ns: int) -> None:
        leader = packet.clock, source[0]
        if leader != self._leader:
            if self._leader is not None and now_ns - self._heard_ns <= ALIVE_NS:
                self._drop("other_leader")
                return
            self._leader, self._last, self._questions = leader, None, DelayRequests(self._drop)
            self._done.clear()
            self._todo.append(LeaderChanged(format_clock_identity(packet.clock)))
        if packet.sequence in self._done:
            self._drop("duplicate")
            return
        last, self._heard_ns = self._last, now_ns
        self._done.append(packet.sequence)
        # The seconds wrap: of all times that the packet may mean, the one that goes on from the last.
        origin_ns = packet.time_ns if last is None else packet.time_near(last.origin_ns + local_ns - last.arrived_ns)
        self._last = sample = LeaderSync(origin_ns=origin_ns, arrived_ns=local_ns, told_ns=local_ns)
        self._measured(sample, now_ns)
        self._questions.ask(packet.sequence, now_ns, sample)
        self._send(source, CompactType.DELAY_REQ, packet.sequence, now_ns, token=self._tokens.issue(packet.sequence))

    def _answer(self, packet: CompactPacket, source: tuple[str, int], now_ns: int) -> None:
        if (packet.clock, source[0]) != self._leader or self._last is None:
            self._drop("other_leader")
            return
        # A step later, so that what was cut off cannot make the way there look shorter than it was.
        reached_ns = packet.time_near(self._last.origin_ns) + STEP_NS
        self._measured(self._questions.answered(packet.sequence, reached_ns), now_ns)

    def _measured(self, sample: TimingSample | None, now_ns: int) -> None:
        if sample is None:
            return
        self._todo.append(SampleTaken(sample))
        exchange = isinstance(sample, DelayExchange)
        self.counters["exchanges" if exchange else "syncs"] += 1
        if exchange and self._leader is not None and self.readiness.note(self._leader[1], now_ns):
            self._notice("ready", leader=format_clock_identity(self._leader[0]))
        self._look()

    def _look(self) -> None:
        if self._one_way != self._questions.silent and self._leader is not None:
            self._one_way = self._questions.silent
            self._notice("one_way" if self._one_way else "two_way", leader=self._leader[1])

    def _send(
        self, destination: tuple[str, int], type: CompactType, sequence: int, time_ns: int, token: int | None = None
    ) -> None:
        packet = CompactPacket(type=type, sequence=sequence, time=compact.wire_time(time_ns), clock=self._identity)
        self._todo.append(SendDatagram(data=compact.encode(packet), destination=destination, token=token))
