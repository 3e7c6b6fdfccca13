"""Mode ``ntp``: AirPlay 1. The receiver of the audio (``follow``) asks, its sender (``lead``) answers."""

from __future__ import annotations

from collections.abc import Iterable

from ..filters import LeaderSync, TimingSample
from ..wire import ntp
from ..wire.fixed_point import from_ntp, ntp_difference_ns, to_ntp
from ..wire.malformed_packet import MalformedPacket
from .delay_requests import DelayRequests
from .engine_actions import LeaderChanged, SampleTaken, SendDatagram, TimingPeer, TimingRole
from .timing_engine import ExchangeStreaks, TimingEngine

ASK_NS = 3_000_000_000
FIRST_NS = 300_000_000
FIRST = 8
"""Requests at the start, in quick succession: the least delay of eight is a good one."""


class NtpEngine(TimingEngine):
    """See the module. A follower asks the first of its peers."""

    def __init__(self, role: TimingRole, peers: Iterable[TimingPeer], now_ns: int) -> None:
        super().__init__(peers, now_ns)
        self.readiness = ExchangeStreaks(3 * ASK_NS)
        self.leads = role is TimingRole.LEAD
        self._server: TimingPeer | None = None
        self._questions = DelayRequests(self._drop)
        self._asked = 0
        self._epoch: int | None = None
        """The first time received, 32.32. Later times count from it, so that they do not wrap."""
        if self.leads:
            self._todo.append(LeaderChanged("local", own=True))

    def receive(self, data: bytes, source: tuple[str, int], local_ns: int, now_ns: int) -> None:
        """See `TimingEngine.receive`."""
        try:
            packet = ntp.decode(data)
        except MalformedPacket as refusal:
            self._drop(refusal.reason.value)
            return
        peer = self._peer_at(source, now_ns, (source[1], source[1]))
        if peer is None:
            self._drop("stranger")
        elif self.leads and not packet.reply:
            self._todo.append(SendDatagram(data=ntp.encode(ntp.reply_to(packet, local_ns, now_ns)), destination=source))
            self.counters["answers"] += 1
            if self.readiness.note(peer.address, now_ns):
                self._notice("peer_ready", peer=peer.address)
        elif packet.reply and self._server is not None and peer == self._server:
            self._answer(packet, local_ns)
        else:
            self._drop("unused")

    def departed(self, token: int, local_ns: int) -> None:
        """See `TimingEngine.departed`."""
        key = self._tokens.redeem(token)
        if isinstance(key, int):
            self._measured(self._questions.departed(key, local_ns))

    def tick(self, now_ns: int) -> None:
        """See `TimingEngine.tick`."""
        self._forget_silent(now_ns)
        server = next(iter(self._named.values()), None)
        if self.leads or server is None:
            self.deadline_ns = now_ns + ASK_NS
            return
        if server != self._server:
            self._server, self._epoch, self._asked = server, None, 0
            self._questions = DelayRequests(self._drop)
            self._todo.append(LeaderChanged(f"{server.address}:{server.event_port}"))
        if now_ns >= self.deadline_ns:
            key = to_ntp(now_ns)
            self._questions.ask(key, now_ns)
            request = ntp.encode(ntp.request(now_ns))
            destination = (server.address, server.event_port)
            self._todo.append(SendDatagram(data=request, destination=destination, token=self._tokens.issue(key)))
            self._asked += 1
            self.deadline_ns = now_ns + (FIRST_NS if self._asked < FIRST else ASK_NS)

    def _answer(self, packet: ntp.Timing, local_ns: int) -> None:
        if self._epoch is None:
            self._epoch = packet.transmit
        left_ns, reached_ns = (
            from_ntp(self._epoch) + ntp_difference_ns(each, self._epoch) for each in (packet.transmit, packet.receive)
        )
        sync = LeaderSync(origin_ns=left_ns, arrived_ns=local_ns, told_ns=local_ns)
        self._measured(self._questions.answered(packet.origin, reached_ns, sync))

    def _measured(self, sample: TimingSample | None) -> None:
        # The filter gets the way back with the request that it answers: alone it could be from any host.
        if sample is not None and not isinstance(sample, LeaderSync):
            self._todo += [SampleTaken(sample.sync), SampleTaken(sample)]
            self.counters["exchanges"] += 1
            if self._server is not None and self.readiness.note(self._server.address, sample.sync.arrived_ns):
                self._notice("ready", leader=self._server.address)
