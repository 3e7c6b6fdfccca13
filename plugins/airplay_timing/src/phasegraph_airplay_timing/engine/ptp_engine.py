"""Mode ``ptp``: Apple's dialect, as a follower, as the leader, or as whichever of both the others make of us."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from phasegraph.ieee1588 import (
    Announce,
    DelayReq,
    DelayResp,
    FollowUp,
    MalformedMessage,
    Message,
    PDelayReq,
    PDelayResp,
    PortIdentity,
    Signaling,
    Sync,
    format_clock_identity,
)

from ..filters import SPARES, DelayExchange, TimingSample
from ..wire import apple, compose
from ..wire.compose import AnnouncedDataset
from ..wire.malformed_packet import MalformedPacket
from .engine_actions import LeaderChanged, SampleTaken, SendDatagram, TimingPeer, TimingRole
from .follower import PtpFollower
from .leader import PtpLeader
from .leader_election import LeaderCandidate, LeaderElection
from .timing_engine import TimingEngine

PORT = 0x8008
"""Our portNumber: Apple's are 0x8000 and something."""
LISTEN_NS = 3_000_000_000
"""How long ``auto`` listens for another leader before it leads."""
AUTO_PRIORITY = 250
"""priority1 of ``auto``: macOS has it, and HomePods, with 248, outrank it."""
LOOK_NS = 500_000_000
YIELD_NS = 2_500_000_000
"""How long a leading ``auto`` is silent, to see whether a clock that outranks it takes over. A HomePod of OS 27 does so
2 s after the last Announce and Sync of another clock."""


class PtpEngine(TimingEngine):
    """See the module."""

    def __init__(
        self,
        role: TimingRole,
        identity: int,
        peers: Iterable[TimingPeer],
        now_ns: int,
        *,
        ports: tuple[int, int] = (319, 320),
        number: int = PORT,
        timeline: Callable[[int], int] = int,
        spares: int = SPARES["envelope"],
    ) -> None:
        """``ports`` are the UDP ports (event, general) of peers that were not named.

        ``number`` is our portNumber: engines that share sockets have different ones, else they take each other's
        answers for their own. ``timeline`` makes the time that a leader sends of local time.
        ``spares`` is what `SPARES` has for the filter of the samples.
        """
        self._election = LeaderElection(identity, eager=spares > 0)
        super().__init__(peers, now_ns)
        self.role = role
        self.follower: PtpFollower | None = None
        """The leader that is followed."""
        self._ports = ports
        self._spares = spares
        self._port = PortIdentity(identity, number)
        claims = role in (TimingRole.LEAD, TimingRole.YIELD)
        self._own = AnnouncedDataset(priority1=AUTO_PRIORITY, grandmaster=identity)
        if claims:
            self._own = AnnouncedDataset(
                priority1=compose.SENDER_PRIORITY,
                clock_class=compose.SENDER_CLASS,
                accuracy=compose.SENDER_ACCURACY,
                priority2=compose.SENDER_PRIORITY,
                grandmaster=identity,
            )
        self._leading = PtpLeader(self._port, self._own, self._todo_send, self._tokens.issue, timeline)
        self._silent_until_ns = now_ns
        """Until then ``auto`` leads without a word."""
        self._lead_from_ns = now_ns + (0 if claims else LISTEN_NS)

    def set_yielding(self, yielding: bool) -> None:
        """Of a leader with the best priority: whether it gives way to a clock that never follows."""
        self.role = TimingRole.YIELD if yielding else TimingRole.LEAD
        if not yielding:
            self._election.forget_others(())
            self._silent_until_ns = 0

    def set_peers(self, peers: Iterable[TimingPeer]) -> None:
        """See `TimingEngine.set_peers`. A leader that is not among them is dropped."""
        super().set_peers(peers)
        if self._named:
            self._election.forget_others(self._named.keys())

    @property
    def candidates(self) -> int:
        """Number of clocks that announce themselves."""
        return self._election.candidates

    @property
    def one_way(self) -> bool:
        """See `TimingEngine.one_way`."""
        return self.follower is not None and self.follower.one_way

    def receive(self, data: bytes, source: tuple[str, int], local_ns: int, now_ns: int) -> None:
        """See `TimingEngine.receive`."""
        try:
            message = apple.decode(data)
        except (MalformedMessage, MalformedPacket) as refusal:
            self._drop(refusal.reason.value)
            return
        if message.source.clock == self._port.clock:
            self._drop("own")
            return
        peer = self._peer_at(source, now_ns, self._ports)
        if peer is None:
            self._drop("stranger")
            return
        self._dispatch(message, peer, local_ns, now_ns)

    def departed(self, token: int, local_ns: int) -> None:
        """See `TimingEngine.departed`."""
        match self._tokens.redeem(token):
            case int() as sequence if self.follower is not None:
                self._measured(self.follower.departed(sequence, local_ns), local_ns)
            case (TimingPeer() as peer, int() as sequence):
                self._leading.sync_departed((peer, sequence), local_ns)
            case (TimingPeer() as peer, PDelayResp() as response):
                self._leading.neighbour_departed(peer, response, local_ns)

    def tick(self, now_ns: int) -> None:
        """See `TimingEngine.tick`."""
        self._forget_silent(now_ns)
        self._choose(now_ns)
        due = now_ns + LOOK_NS
        if self.leads:
            due = min(due, self._lead(now_ns))
        follower = self.follower
        if follower is not None:
            leader = follower.leader
            for change in follower.wake_ups(now_ns):
                self.counters["wake_ups"] += 1
                priority = max(0, min(255, leader.data.priority1 + change))
                data = AnnouncedDataset(
                    priority1=priority, priority2=leader.data.priority2, grandmaster=self._port.clock
                )
                self._leading.general(leader.peer, compose.wake_up(self._port, self._leading.next_announce(), data))
            self._report_one_way(follower)
            follower.nudge(now_ns)
            due = min(due, follower.due_ns(now_ns))
        self.deadline_ns = due

    def _dispatch(self, message: Message, peer: TimingPeer, local_ns: int, now_ns: int) -> None:
        match message:
            case Announce():
                reason = "rival" if self.role is TimingRole.LEAD else self._election.announce(message, peer, now_ns)
                if reason is not None:
                    self._drop(reason)
                self._choose(now_ns)
            case Sync() | FollowUp():
                self._receive_time(message, peer, local_ns, now_ns)
            case DelayResp():
                self._receive_answer(message, peer, local_ns, now_ns)
            case DelayReq() if self.leads:
                self._election.asked(message.source.clock, now_ns)
                self._leading.answer(peer, message, local_ns)
                if self.readiness.note(peer.address, now_ns):
                    self._notice("peer_ready", peer=peer.address)
            case PDelayReq():
                self._leading.answer_neighbour(peer, message, local_ns)
            case Signaling():
                self._receive_signaling(message, peer, now_ns)
            case _:
                self._drop("unused")

    def _receive_time(self, message: Sync | FollowUp, peer: TimingPeer, local_ns: int, now_ns: int) -> None:
        candidate = self._election.sync(message.source.clock, peer, now_ns)
        self._choose(now_ns)
        follower = self._of_leader(candidate)
        if follower is None:
            return
        if isinstance(message, Sync):
            sample = follower.sync(message, local_ns, now_ns)
        else:
            sample = follower.follow_up(message, local_ns, now_ns)
        self._measured(sample, now_ns)

    def _receive_answer(self, message: DelayResp, peer: TimingPeer, local_ns: int, now_ns: int) -> None:
        follower = self.follower
        if follower is None or message.source.clock != follower.leader.clock or peer != follower.leader.peer:
            self._drop("other_leader")
        else:
            self._measured(follower.delay_resp(message, local_ns), now_ns)

    def _receive_signaling(self, message: Signaling, peer: TimingPeer, now_ns: int) -> None:
        self.counters["signaling"] += 1
        try:
            lease_s = self._leading.negotiate(peer, message, self.leads)
        except MalformedMessage:
            self._drop("tlv")
        else:
            self._lease(peer, now_ns, lease_s)

    def _of_leader(self, candidate: LeaderCandidate | None) -> PtpFollower | None:
        follower = self.follower
        if candidate is None or follower is None or candidate.clock != follower.leader.clock:
            self._drop("other_leader")
            return None
        return follower

    def _measured(self, sample: TimingSample | None, now_ns: int) -> None:
        follower = self.follower
        if sample is None or follower is None:
            return
        self._todo.append(SampleTaken(sample))
        if isinstance(sample, DelayExchange):
            self.counters["exchanges"] += 1
            if self.readiness.note(follower.leader.peer.address, now_ns):
                self._notice("ready", leader=format_clock_identity(follower.grandmaster))
        else:
            self.counters["syncs"] += 1
        self._report_one_way(follower)

    def _report_one_way(self, follower: PtpFollower) -> None:
        if follower.turned():
            self._notice("one_way" if follower.one_way else "two_way", leader=str(follower.leader.peer.address))

    def _choose(self, now_ns: int) -> None:
        may_lead = self.role is not TimingRole.FOLLOW and now_ns >= self._lead_from_ns
        yielding = self.role is TimingRole.YIELD
        own = self._own if self.role is TimingRole.AUTO else None
        best = self._election.best(now_ns, own, syncing=self.leads or yielding, yielded=yielding)
        if best is None:
            if self.follower is not None and self.role is TimingRole.FOLLOW:
                self.follower = None
                self._todo.append(LeaderChanged(""))
            if may_lead and not self.leads:
                self.follower, self.leads = None, True
                self._todo.append(LeaderChanged(format_clock_identity(self._port.clock), own=True))
            return
        follower = self.follower
        same = follower is not None and follower.leader.clock == best.clock
        if follower is not None and same and follower.grandmaster == best.data.grandmaster:
            return
        self.leads = False
        self.follower = PtpFollower(
            best, self._port, self._todo_send, self._tokens.issue, self._drop, now_ns, spares=self._spares
        )
        self.deadline_ns = now_ns
        self._todo.append(LeaderChanged(format_clock_identity(best.data.grandmaster)))

    def _lead(self, now_ns: int) -> int:
        # Sends what is due; returns the next due time.
        if now_ns < self._silent_until_ns:
            return self._silent_until_ns
        rival = None
        if self.role in (TimingRole.AUTO, TimingRole.YIELD):
            rival = self._election.insistent(now_ns, self._own if self.role is TimingRole.AUTO else None)
        if rival is None:
            return self._leading.tick(self.peers, now_ns)
        rival.yielded_to = True
        self._silent_until_ns = now_ns + YIELD_NS
        self._notice("yielding", leader=format_clock_identity(rival.clock))
        return self._silent_until_ns

    def _todo_send(self, send: SendDatagram) -> None:
        self._todo.append(send)
